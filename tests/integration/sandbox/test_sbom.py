"""The bill of materials of the real image."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from labwright.sandbox.connect import sbom_dir
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.sbom import bill_of, pinned_versions

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("sbom")]  # one fixture for all


@pytest.fixture(scope="module")
def parts(sandbox: DockerSandbox) -> dict[str, dict[str, Any]]:
    document = json.loads(bill_of(sandbox, sbom_dir()).path.read_text())
    assert document["metadata"]["component"]["bom-ref"] == sandbox.image.id
    return {part["bom-ref"]: part for part in document["components"]}


def said(part: dict[str, Any]) -> dict[str, str]:
    return {p["name"].removeprefix("labwright:"): p["value"] for p in part["properties"]}


def test_all_that_is_locked_is_in_it_and_no_file_differs(parts: dict[str, dict[str, Any]]) -> None:
    for name, locked in pinned_versions().items():
        part = parts[f"pkg:pypi/{name}@{locked}"]
        assert said(part)["pinned-in"] == "requirements.txt"
        assert int(said(part)["files"]) > 0
        assert said(part)["files-differing"] == "0", name
        assert len(part["hashes"][0]["content"]) == 64
    licensed = [ref for ref, part in parts.items() if ref.startswith("pkg:pypi/") and part.get("licenses")]
    assert len(licensed) > 0.9 * len(pinned_versions())


def test_interpreter_libraries_and_labwright_are_in_it(parts: dict[str, dict[str, Any]]) -> None:
    assert f"labwright@{version('labwright')}" in parts
    assert int(said(parts[f"labwright@{version('labwright')}"])["files"]) > 20
    assert any(ref.startswith("pkg:generic/cpython@3.11") for ref in parts)
    libraries = {part["name"] for part in parts.values() if part["type"] == "file"}
    assert "libc.so.6" in libraries
    assert any("_ssl" in name for name in libraries)


def test_made_again_it_has_the_digest_of_the_policy(sandbox: DockerSandbox, tmp_path: Path) -> None:
    digest = sandbox.policy()["image"]["sbom_sha256"]
    kept = bill_of(sandbox, sbom_dir())
    assert digest == kept.sha256 == hashlib.sha256(kept.path.read_bytes()).hexdigest()
    again = bill_of(sandbox, tmp_path)
    assert again.path != kept.path
    assert again.sha256 == digest
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(again.path.read_text()) is None
