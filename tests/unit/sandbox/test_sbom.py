"""The bill of materials: what it says of given parts, that it is valid, and that the same parts give the same bytes."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from labwright.errors import SandboxBroken
from labwright.sandbox import components, sbom
from labwright.sandbox.contract import Job, Result
from labwright.sandbox.image import ImageInfo

IMAGE = ImageInfo(id="sha256:" + "a" * 64, tag="labwright-sandbox:0123456789abcdef", size_mib=1.0, base="base:1")
NUMPY: dict[str, Any] = {
    "name": "NumPy", "version": "2.4.6", "expression": "BSD-3-Clause AND MIT", "licence": "",
    "classifiers": [], "record_sha256": "b" * 64, "files": 900, "differing": 0,
}  # fmt: skip
FACTS: dict[str, Any] = {
    "interpreter": {"name": "cpython", "version": "3.11.7", "path": "/usr/local/bin/python3.11", "sha256": "c" * 64},
    "machine": "x86_64",
    "recipe": "0" * 16,
    "distributions": [NUMPY, NUMPY | {"name": "typing_extensions", "version": "4", "expression": "", "files": 1}],
    "labwright": {"sha256": "d" * 64, "files": 30, "path": "/opt/labwright"},
    "libraries": [{"path": f"/usr/lib/{name}", "sha256": "e" * 64} for name in ("libm.so.6", "libc.so.6")],
}


def told(facts: dict[str, Any]) -> str:
    return components.document(facts, IMAGE, version="0.1.0", pinned={"numpy": "2.4.6"})


def part(document: str, ref: str) -> dict[str, Any]:
    [found] = [c for c in json.loads(document)["components"] if c["bom-ref"] == ref]
    return dict(found)


def said(found: dict[str, Any]) -> dict[str, str]:
    return {p["name"]: p["value"] for p in found["properties"]}


def test_the_document_is_valid_by_the_strict_schema() -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(told(FACTS)) is None
    assert validator.validate_str(told(FACTS).replace('"library"', '"book"')) is not None


def test_every_part_is_there_with_its_digest() -> None:
    document = told(FACTS)
    numpy = part(document, "pkg:pypi/numpy@2.4.6")
    assert (numpy["name"], numpy["version"], numpy["purl"]) == ("NumPy", "2.4.6", "pkg:pypi/numpy@2.4.6")
    assert numpy["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert numpy["licenses"] == [{"expression": "BSD-3-Clause AND MIT", "acknowledgement": "declared"}]
    assert said(numpy)["labwright:pinned-in"] == "requirements.txt"
    assert said(numpy)["labwright:files-differing"] == "0"
    assert "labwright:pinned-in" not in said(part(document, "pkg:pypi/typing-extensions@4"))
    assert part(document, "labwright@0.1.0")["hashes"][0]["content"] == "d" * 64
    assert "purl" not in part(document, "labwright@0.1.0")
    assert part(document, "pkg:generic/cpython@3.11.7")["hashes"][0]["content"] == "c" * 64
    assert part(document, "/usr/lib/libc.so.6")["name"] == "libc.so.6"
    assert json.loads(document)["metadata"]["component"]["bom-ref"] == IMAGE.id


def test_the_same_parts_in_any_order_give_the_same_bytes_and_others_do_not() -> None:
    turned = copy.deepcopy(FACTS)
    turned["distributions"].reverse()
    turned["libraries"].reverse()
    assert told(turned) == told(FACTS)
    turned["libraries"][0]["sha256"] = "f" * 64
    assert told(turned) != told(FACTS)


def test_nothing_in_it_changes_with_the_time_and_no_graph_is_claimed() -> None:
    document = json.loads(told(FACTS))
    assert set(document) == {"$schema", "bomFormat", "components", "metadata", "specVersion", "version"}
    assert set(document["metadata"]) == {"component"}


@pytest.mark.parametrize(
    ("expression", "licence", "classifiers", "expected"),
    [
        ("MIT", "BSD", ["License :: OSI Approved :: Apache Software License"], [("id", "MIT")]),
        ("", "Apache-2.0", ["License :: OSI Approved"], [("id", "Apache-2.0")]),
        ("", "BSD", ["License :: OSI Approved :: BSD License"], [("name", "BSD License")]),
        ("", "Permission is hereby\ngranted", ["License :: X", "License :: Y"], [("name", "X"), ("name", "Y")]),
        ("", "My own terms\nin many lines", [], [("name", "My own terms")]),
        ("not an expression", "MIT", [], [("id", "MIT")]),
        ("", "UNKNOWN", [], []),
        ("", "", [], []),
    ],
)
def test_the_most_exact_word_on_a_licence_is_taken(expression, licence, classifiers, expected) -> None:
    found = components.licences(expression, licence, classifiers)
    assert [("id", f.id) if f.id else ("name", f.name) for f in found] == expected


def test_the_lock_is_read_whole() -> None:
    pinned = sbom.pinned_versions()
    assert pinned["numpy"] == "2.4.6"
    assert len(pinned) > 40


class Lister:
    """A sandbox whose job writes given facts."""

    def __init__(self, staging: Path, exit_code: int = 0) -> None:
        self.image, self.staging, self.jobs, self.exit_code = IMAGE, staging, 0, exit_code

    def run(self, job: Job, out_dir: Path, *, stop: Any = None) -> Result:
        self.jobs += 1
        out_dir.mkdir()
        (out_dir / "components.json").write_text(json.dumps(FACTS))
        facts = {"stdout": "", "stderr": "no such file", "outputs": (), "inputs_read": (), "peak_memory_mib": None}
        return Result(cause="exit", exit_code=self.exit_code, duration_s=0, total_s=0, image_id=IMAGE.id, **facts)


def test_the_bill_is_made_once_and_again_when_it_is_gone_or_spoilt(tmp_path: Path) -> None:
    lister: Any = Lister(tmp_path / "staging")
    first = sbom.bill_of(lister, tmp_path / "sbom")
    assert first.path == tmp_path / "sbom" / f"{'a' * 64}.json"
    assert first.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert (sbom.bill_of(lister, tmp_path / "sbom"), lister.jobs) == (first, 1)
    whole = first.path.read_text()
    for old, new in ((whole, ""), (whole, "{}"), (whole, "[]"), (IMAGE.id, "sha256:other"), (sbom.recipe(), "older")):
        spoilt = whole.replace(old, new)
        assert spoilt != whole
        first.path.write_text(spoilt)
        assert sbom.bill_of(lister, tmp_path / "sbom") == first
    first.path.unlink()
    assert sbom.bill_of(lister, tmp_path / "sbom") == first
    assert lister.jobs == 7
    assert list((tmp_path / "sbom").iterdir()) == [first.path]


def test_a_job_that_fails_leaves_no_bill(tmp_path: Path) -> None:
    failing: Any = Lister(tmp_path / "staging", exit_code=1)
    with pytest.raises(SandboxBroken, match="no such file"):
        sbom.bill_of(failing, tmp_path / "sbom")
    assert not (tmp_path / "sbom").exists()
