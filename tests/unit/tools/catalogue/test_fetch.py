"""Archives come from the index pip is configured for, are checked, and are never run."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import HashMismatch, SourceUnavailable
from labwright.tools.catalogue.archives import fetch_archive
from labwright.tools.catalogue.fetch import fetch_members


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index in a folder, with one sdist and one wheel."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "simple" / "toy-data"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "toy_data-1.0.tar.gz", "w:gz") as sdist:
        for name, content in (
            ("toy_data-1.0/setup.py", b"raise SystemExit('ran')"),
            ("toy_data-1.0/d/x.csv", b"a,b\n1,2\n"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            sdist.addfile(info, io.BytesIO(content))
    with zipfile.ZipFile(folder / "toy_data-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_data/x.csv", "wheel,b\n")
    names = [path.name for path in folder.iterdir()]
    page = "".join(f'<a href="{name}#sha256=0">{name}</a>' for name in names)
    (folder / "index.html").write_text(page, encoding="utf-8")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    return folder


def _source(index: Path, archive: str, member: str, content: bytes) -> dict[str, Any]:
    pin = sha((index / archive).read_bytes())
    return {
        "archives": [{"package": "toy-data", "version": "1.0", "archive": archive, "archive_sha256": pin}],
        "members": [{"package": "toy-data", "member": member, "name": "x.csv", "sha256": sha(content)}],
    }


def test_a_member_of_a_source_archive_is_read_without_running_it(index: Path, tmp_path: Path) -> None:
    source = _source(index, "toy_data-1.0.tar.gz", "toy_data-1.0/d/x.csv", b"a,b\n1,2\n")
    (path,) = fetch_members(source, tmp_path / "raw", tmp_path / "archives")
    assert path.read_bytes() == b"a,b\n1,2\n"


def test_a_member_of_a_wheel_is_read(index: Path, tmp_path: Path) -> None:
    source = _source(index, "toy_data-1.0-py3-none-any.whl", "toy_data/x.csv", b"wheel,b\n")
    (path,) = fetch_members(source, tmp_path / "raw", tmp_path / "archives")
    assert path.read_bytes() == b"wheel,b\n"


def test_a_second_fetch_needs_no_index(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source(index, "toy_data-1.0.tar.gz", "toy_data-1.0/d/x.csv", b"a,b\n1,2\n")
    fetch_members(source, tmp_path / "raw", tmp_path / "archives")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "nowhere").as_uri())
    assert fetch_members(source, tmp_path / "raw", tmp_path / "archives")
    assert fetch_members(source, tmp_path / "raw2", tmp_path / "archives")


def test_an_installed_package_needs_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "toy_data-1.0.dist-info").mkdir(parents=True)
    (site / "toy_data-1.0.dist-info" / "METADATA").write_text("Name: toy-data\nVersion: 1.0\n")
    (site / "toy_data").mkdir()
    (site / "toy_data" / "x.csv").write_text("installed\n")
    monkeypatch.syspath_prepend(str(site))
    source = {
        "archives": [{"package": "toy-data", "version": "1.0", "archive": "none.whl", "archive_sha256": "0"}],
        "members": [
            {"package": "toy-data", "member": "toy_data/x.csv", "name": "x.csv", "sha256": sha(b"installed\n")}
        ],
    }
    (path,) = fetch_members(source, tmp_path / "raw", tmp_path / "archives")
    assert path.read_text() == "installed\n"


def test_another_archive_under_the_name_is_refused(index: Path, tmp_path: Path) -> None:
    with pytest.raises(HashMismatch, match="another sha256"):
        fetch_archive("toy-data", "toy_data-1.0.tar.gz", "0" * 64, tmp_path / "archives")
    assert not list((tmp_path / "archives").iterdir())


def test_another_member_in_the_archive_is_refused(index: Path, tmp_path: Path) -> None:
    source = _source(index, "toy_data-1.0.tar.gz", "toy_data-1.0/d/x.csv", b"something else")
    with pytest.raises(HashMismatch, match="not the pinned file"):
        fetch_members(source, tmp_path / "raw", tmp_path / "archives")


def test_an_archive_no_index_lists_says_how_to_mend(index: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="PIP_INDEX_URL"):
        fetch_archive("toy-data", "toy_data-9.tar.gz", "0" * 64, tmp_path)


def test_an_index_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1"):
        fetch_archive("toy-data", "toy_data-1.0.tar.gz", "0" * 64, tmp_path)


def test_a_folder_of_archives_is_used_first(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "nowhere").as_uri())
    pin = sha((index / "toy_data-1.0.tar.gz").read_bytes())
    assert fetch_archive("toy-data", "toy_data-1.0.tar.gz", pin, tmp_path / "archives").is_file()
