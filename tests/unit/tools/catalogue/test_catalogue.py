"""Materialising a data set: once, whole, checked, and never half a folder."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import HashMismatch
from labwright.tools.catalogue import catalogue, gene_sets
from labwright.tools.catalogue.refresh import refreshed

CONTENT = b"a,b\n1,2\n"
SAMPLES = b"parquet of samples"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _card() -> dict[str, Any]:
    return {
        "id": "toy",
        "accession": "GSE1",
        "organism": "Homo sapiens",
        "assay": "toy",
        "n_samples": 2,
        "n_features": 0,
        "groups": {"er": {"negative": 1, "positive": 1}},
        "columns": {"er": {"type": "categorical"}},
        "source": {
            "reader": "arff",
            "archives": [{"package": "toy-data", "version": "1.0", "archive": "x.whl", "archive_sha256": "0"}],
            "members": [{"package": "toy-data", "member": "toy_data/x.csv", "name": "x.csv", "sha256": sha(CONTENT)}],
        },
        "files": {"samples.parquet": sha(SAMPLES)},
    }


class FakeSandbox:
    """Writes what a conversion would write, and remembers what it was given."""

    def __init__(self, samples: bytes = SAMPLES, **counted: Any) -> None:
        self.samples = samples
        self.counted = counted
        self.jobs: list[dict[str, Path]] = []

    def run(self, script: str, inputs: Mapping[str, Path], out: Path) -> None:
        self.jobs.append(dict(inputs))
        assert "convert(" in script
        (out / "samples.parquet").write_bytes(self.samples)
        loaded = json.loads(inputs["source_card.json"].read_text())
        counted = {
            "missing": {"er": 0},
            **{k: loaded[k] for k in ("organism", "assay", "n_samples", "n_features", "groups")},
        }
        (out / "card.json").write_text(json.dumps({**counted, **self.counted}))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that already holds the raw member, and a catalogue of one card."""
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setattr(catalogue, "load_cards", lambda: (_card(),))
    raw = tmp_path / "raw" / "toy"
    raw.mkdir(parents=True)
    (raw / "x.csv").write_bytes(CONTENT)
    return tmp_path


def test_a_data_set_is_converted_once(cache: Path) -> None:
    sandbox = FakeSandbox()
    folder = catalogue.materialise("toy", sandbox.run)
    assert folder == cache / "datasets" / "toy"
    assert catalogue.materialise("GSE1", sandbox.run) == folder
    assert len(sandbox.jobs) == 1
    assert set(sandbox.jobs[0]) == {"x.csv", "source_card.json"}


def test_two_that_need_a_data_set_at_once_convert_it_once(cache: Path) -> None:
    """The second enters while the first converts, waits, and finds what the first has made."""
    sandbox, begun = FakeSandbox(), threading.Event()

    def slowly(script: str, inputs: Mapping[str, Path], out: Path) -> None:
        begun.set()
        time.sleep(0.3)
        sandbox.run(script, inputs, out)

    with ThreadPoolExecutor(2) as both:
        first = both.submit(catalogue.materialise, "toy", slowly)
        assert begun.wait(10)
        second = both.submit(catalogue.materialise, "toy", slowly)
        assert first.result() == second.result()
    assert len(sandbox.jobs) == 1


def test_a_changed_file_is_converted_again(cache: Path) -> None:
    sandbox = FakeSandbox()
    folder = catalogue.materialise("toy", sandbox.run)
    (folder / "samples.parquet").write_bytes(b"tampered")
    catalogue.materialise("toy", sandbox.run)
    assert (folder / "samples.parquet").read_bytes() == SAMPLES
    assert len(sandbox.jobs) == 2


def test_another_conversion_than_pinned_leaves_nothing(cache: Path) -> None:
    with pytest.raises(HashMismatch, match=r"samples\.parquet"):
        catalogue.materialise("toy", FakeSandbox(b"other").run)
    assert list((cache / "datasets").iterdir()) == []


def test_verify_says_what_was_compared(cache: Path) -> None:
    verified, line = catalogue.verify("toy", FakeSandbox().run)
    assert verified
    assert "2 samples" in line
    assert "toy-data 1.0" in line


def test_verify_names_what_differs(cache: Path) -> None:
    verified, line = catalogue.verify("toy", FakeSandbox(n_samples=3).run)
    assert not verified
    assert "n_samples" in line


def test_refresh_takes_counts_and_hashes_from_the_conversion(tmp_path: Path) -> None:
    (tmp_path / "samples.parquet").write_bytes(SAMPLES)
    counted = {"n_samples": 9, "n_features": 4, "groups": {"er": {"positive": 9}}, "missing": {"er": 1}}
    (tmp_path / "card.json").write_text(json.dumps(counted))
    fresh = refreshed({**_card(), "n_samples": 0, "files": {}}, tmp_path)
    assert fresh["n_samples"] == 9
    assert fresh["files"] == {"samples.parquet": sha(SAMPLES)}
    assert fresh["columns"]["er"] == {"type": "categorical", "missing": 1, "levels": ["positive"]}


def test_gene_sets_are_cleaned_and_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b"b\t\tG2\tG1\t\na\t\tG3\n"
    site = tmp_path / "site"
    (site / "toy_sets-1.0.dist-info").mkdir(parents=True)
    (site / "toy_sets-1.0.dist-info" / "METADATA").write_text("Name: toy-sets\nVersion: 1.0\n")
    (site / "sets.gmt").write_bytes(raw)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    entry = {
        "id": "toy",
        "sha256": sha(b"a\t\tG3\nb\t\tG1\tG2\n"),
        "source": {
            "archives": [{"package": "toy-sets", "version": "1.0", "archive": "x", "archive_sha256": "0"}],
            "members": [{"package": "toy-sets", "member": "sets.gmt", "name": "sets.gmt", "sha256": sha(raw)}],
        },
    }
    monkeypatch.setattr(gene_sets, "load_gene_sets", lambda: (entry,))
    folder = gene_sets.materialise_gene_sets("toy")
    assert [path.name for path in folder.iterdir()] == ["toy.gmt"]
    monkeypatch.setattr(gene_sets, "load_gene_sets", lambda: ({**entry, "id": "other", "sha256": "0" * 64},))
    with pytest.raises(HashMismatch):
        gene_sets.materialise_gene_sets("other")
