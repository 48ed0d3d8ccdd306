"""A wheel comes from the index that pip is configured for, only with the pinned sha256, and nothing of it is run."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from labwright.errors import HashMismatch, SourceUnavailable
from labwright.packages import fetch_npm, fetch_wheel, open_member, sha256_of

WHEEL = "toy_data-1.0-py3-none-any.whl"


class Index:
    """A package index on this machine; `asked` is what was requested of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "simple"
        self.asked: list[str] = []
        handler = partial(_Handler, directory=str(folder), asked=self.asked)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple/"

    def publish(self, project: str, name: str, content: bytes, *, said: str = "") -> str:
        """Offer one file, with the sha256 that the index says it has; returns the true one."""
        true = hashlib.sha256(content).hexdigest()
        (self.folder / project).mkdir(parents=True, exist_ok=True)
        (self.folder / project / name).write_bytes(content)
        page = f'<a href="{name}#sha256={said or true}">{name}</a>'
        (self.folder / project / "index.html").write_text(page, encoding="utf-8")
        return true


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, asked: list[str], **kwargs: Any) -> None:
        self.asked = asked
        super().__init__(*args, **kwargs)

    def log_message(self, _format: str, *_args: Any) -> None:
        self.asked.append(self.path)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    served = Index(tmp_path / "served")
    settings = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": served.url,
        "PIP_RETRIES": "0",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    thread = Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join()


def a_wheel(table: str = "a,b\n1,2\n") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("toy_data/x.csv", table)
        file.writestr("toy_data-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-data\nVersion: 1.0\n")
        file.writestr("toy_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("toy_data-1.0.dist-info/RECORD", "")
    return content.getvalue()


def test_the_digest_is_that_of_the_standard(tmp_path: Path) -> None:
    """FIPS 180-2, appendix B.1."""
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_wheel_is_fetched_once_and_again_when_it_was_damaged(index: Index, tmp_path: Path) -> None:
    pin = index.publish("toy-data", WHEEL, a_wheel())
    folder = tmp_path / "new" / "wheels"
    path = fetch_wheel("toy-data", "1.0", pin, folder)
    assert (path, sha256_of(path)) == (folder / WHEEL, pin)
    assert f"/simple/toy-data/{WHEEL}" in " ".join(index.asked)
    index.asked.clear()
    assert fetch_wheel("toy-data", "1.0", pin, folder) == path
    assert index.asked == []
    path.write_bytes(a_wheel("damaged"))
    assert sha256_of(fetch_wheel("toy-data", "1.0", pin, folder)) == pin
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("index_says", ["what it serves", "what is pinned"])
def test_another_wheel_under_the_name_is_refused(index_says: str, index: Index, tmp_path: Path) -> None:
    pin = hashlib.sha256(a_wheel()).hexdigest()
    index.publish("toy-data", WHEEL, a_wheel("something else"), said=pin if index_says == "what is pinned" else "")
    with pytest.raises(HashMismatch, match=r"toy-data==1\.0: the package index serves a file with another sha256"):
        fetch_wheel("toy-data", "1.0", pin, tmp_path / "wheels")
    assert list((tmp_path / "wheels").iterdir()) == []


def test_a_source_archive_is_never_built(index: Index, tmp_path: Path) -> None:
    content, ran = io.BytesIO(), tmp_path / "ran"
    script = f"open({str(ran)!r}, 'w'); from setuptools import setup; setup(name='toy-data', version='1.0')".encode()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        info = tarfile.TarInfo("toy_data-1.0/setup.py")
        info.size = len(script)
        archive.addfile(info, io.BytesIO(script))
    pin = index.publish("toy-data", "toy_data-1.0.tar.gz", content.getvalue())
    with pytest.raises(SourceUnavailable, match="No matching distribution"):
        fetch_wheel("toy-data", "1.0", pin, tmp_path / "wheels")
    assert not ran.exists()


@pytest.mark.parametrize(("package", "version"), [("toy-data", "2.0"), ("absent-data", "1.0")])
def test_what_the_index_does_not_hold_is_one_line(package: str, version: str, index: Index, tmp_path: Path) -> None:
    pin = index.publish("toy-data", WHEEL, a_wheel())
    with pytest.raises(SourceUnavailable, match=f"{package}=={version} cannot be fetched") as missing:
        fetch_wheel(package, version, pin, tmp_path / "wheels")
    assert "\n" not in str(missing.value)
    assert any(f"/simple/{package}/" in line for line in index.asked)


def test_an_index_that_does_not_answer_is_no_mismatch(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    with pytest.raises(SourceUnavailable) as missing:
        fetch_wheel("toy-data", "1.0", "0" * 64, tmp_path / "wheels")
    assert "\n" not in str(missing.value)
    assert list((tmp_path / "wheels").iterdir()) == []


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm that copies the archive beside it to where it is asked to pack, and notes how it was called."""
    home = tmp_path / "bin"
    home.mkdir()
    script = home / "npm"
    script.write_text(
        f"#!{sys.executable}\nimport pathlib, shutil, sys\nhome = pathlib.Path({str(home)!r})\n"
        "(home / 'asked').open('a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "if not (home / 'archive').is_file(): sys.exit('npm error 404 Not Found')\n"
        "shutil.copy(home / 'archive', pathlib.Path(sys.argv[-1]) / 'scope-toy-1.0.tgz')\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(home))
    with tarfile.open(home / "archive", "w:gz") as archive:
        info = tarfile.TarInfo("package/models/x.bin")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    return home


def test_an_archive_of_npm_is_fetched_once_without_running_its_scripts(npm: Path, tmp_path: Path) -> None:
    pin = sha256_of(npm / "archive")
    for _ in range(2):
        path = fetch_npm("@scope/toy", "1.0", pin, tmp_path / "archives")
        with open_member(path, "package/models/x.bin") as stream:
            assert stream.read() == b"abc"
    (asked,) = (npm / "asked").read_text().splitlines()
    assert asked.startswith("pack @scope/toy@1.0 ")
    assert "--ignore-scripts" in asked
    assert list((tmp_path / "archives").iterdir()) == [path]
    with pytest.raises(KeyError), open_member(path, "package/absent"):
        pass


def test_npm_that_serves_another_file_or_none_or_is_not_there(npm: Path, tmp_path: Path) -> None:
    with pytest.raises(HashMismatch, match=r"@scope/toy 1\.0: the registry of npm serves a file with another sha256"):
        fetch_npm("@scope/toy", "1.0", "0" * 64, tmp_path / "archives")
    (npm / "archive").unlink()
    with pytest.raises(SourceUnavailable, match=r"cannot be fetched by npm: npm error 404 Not Found"):
        fetch_npm("@scope/toy", "1.0", "0" * 64, tmp_path / "archives")
    (npm / "npm").unlink()
    with pytest.raises(SourceUnavailable, match=r"npm is not installed \(Debian: `apt install npm`\)"):
        fetch_npm("@scope/toy", "1.0", "0" * 64, tmp_path / "archives")
    assert list((tmp_path / "archives").iterdir()) == []
