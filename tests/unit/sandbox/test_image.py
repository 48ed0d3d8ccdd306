"""The image's tag and the package index that reaches its build."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from labwright.sandbox import base, image


def test_tag_is_stable_and_names_every_part() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", image.content_tag())
    assert image.content_tag() == image.content_tag()
    names = [name for name, _ in image.sources()]
    assert {"Dockerfile", "requirements.txt", "supervisor.py", "src/labwright/__init__.py"} <= set(names)
    assert "src/labwright/tools/analysis/__init__.py" in names
    assert not [name for name in names if "__pycache__" in name]


def test_tag_changes_with_any_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = image.content_tag()
    parts = list(image.sources())
    (tmp_path / "supervisor.py").write_text("pass\n")
    for position, (name, _) in enumerate(parts[:4]):
        changed = [*parts[:position], (name, tmp_path / "supervisor.py"), *parts[position + 1 :]]
        monkeypatch.setattr(image, "sources", lambda changed=changed: iter(changed))
        assert image.content_tag() != before
    monkeypatch.setattr(image, "sources", lambda: iter(parts))
    assert image.content_tag() == before
    monkeypatch.setattr(base, "VERSION", "3.99")
    assert image.content_tag() != before


def test_package_index_of_the_machine_reaches_the_build(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://index.invalid/simple\ncert = /a/ca.pem\nfind-links = /wheels\n")
    settings = image.pip_settings({"PIP_CERT": "/b/ca.pem", "PIP_FIND_LINKS": "/wheels"}, [config])
    assert settings == {"PIP_INDEX_URL": "https://index.invalid/simple", "PIP_CERT": "/b/ca.pem"}


def test_an_index_in_a_folder_stays_out_of_the_build() -> None:
    assert image.pip_settings({"PIP_INDEX_URL": "file:///srv/simple"}, []) == {}


def test_every_requirement_is_pinned_with_a_hash() -> None:
    package = resources.files("labwright.sandbox")
    locked = (package / "requirements.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^([a-z0-9_.-]+)==\S+ \\\n\s+--hash=sha256:", locked, flags=re.M)
    assert len(entries) == len(re.findall(r"^[a-z]", locked, flags=re.M))
    assert "://" not in locked
    wanted = {line.split("==")[0] for line in (Path(str(package)) / "requirements.in").read_text().splitlines()}
    assert {name for name in wanted if name and not name.startswith("#")} <= set(entries)
