"""Data sets on this machine: converted once, in the sandbox; and whether an accession is what it is said to be."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeSandbox

from labwright.config import Config, LiteratureConfig
from labwright.errors import NoUsableData, RunFailed, SourceUnavailable
from labwright.sandbox.contract import Job, Result
from labwright.tools.catalogue import catalogue, gene_sets
from labwright.workflows.data import CONVERSION, data_folder, run_conversion, verified
from labwright.workflows.verification import verify_accession

RAW, SAMPLES = b"a,b\n1,2\n", b"samples as parquet"
EMPTY = (
    '<?xml version="1.0"?>\n<!DOCTYPE eSearchResult PUBLIC "-//NLM//DTD esearch 20060628//EN" '
    '"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20060628/esearch.dtd">\n<eSearchResult><Count>{n}</Count>'
    "<RetMax>{n}</RetMax><RetStart>0</RetStart><IdList>{ids}</IdList><TranslationSet/>"
    "<QueryTranslation>x</QueryTranslation></eSearchResult>"
)
SUMMARY = (
    '<?xml version="1.0"?>\n<!DOCTYPE eSummaryResult PUBLIC "-//NLM//DTD esummary v1 20041029//EN" '
    '"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20041029/esummary-v1.dtd">\n<eSummaryResult><DocSum><Id>1</Id>'
    '<Item Name="Accession" Type="String">GSE777777</Item><Item Name="title" Type="String">Airway cells</Item>'
    '<Item Name="taxon" Type="String">{organism}</Item><Item Name="gdsType" Type="String">RNA sequencing</Item>'
    '<Item Name="n_samples" Type="Integer">16</Item></DocSum></eSummaryResult>'
)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Converter(FakeSandbox):
    """Writes what the conversion of the toy data set writes, or ends as it is told to."""

    def __init__(self, *, cause: str = "exit", exit_code: int = 0, **counted: Any) -> None:
        super().__init__()
        self.ends = {"cause": cause, "exit_code": exit_code}
        self.counted = counted

    def run(self, job: Job, out_dir: Path, *, stop: Any = None) -> Result:
        self.jobs.append(job)
        loaded = json.loads(job.inputs["source_card.json"].read_text()) if "source_card.json" in job.inputs else {}
        (out_dir / "samples.parquet").write_bytes(SAMPLES)
        (out_dir / "card.json").write_text(json.dumps({**loaded, **self.counted}))
        return replace(self._result(out_dir, job, stderr="x" * 900 + "KeyError: 'grade'"), **self.ends)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of one data set whose shipped file is in the cache already."""
    described = {
        "id": "toy", "accession": "GSE1", "organism": "Homo sapiens", "assay": "toy", "n_samples": 2, "n_features": 0,
        "groups": {"er": {"negative": 1, "positive": 1}}, "size_mb": 0.0,
        "source": {
            "archives": [{"package": "toy-data", "version": "1.0", "archive": "x.whl", "archive_sha256": "0"}],
            "members": [{"package": "toy-data", "member": "toy/x.csv", "name": "x.csv", "sha256": sha(RAW)}],
        },
        "files": {"samples.parquet": sha(SAMPLES)},
    }  # fmt: skip
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setattr(catalogue, "load_cards", lambda: (described,))
    (tmp_path / "raw" / "toy").mkdir(parents=True)
    (tmp_path / "raw" / "toy" / "x.csv").write_bytes(RAW)
    return tmp_path


def test_a_conversion_runs_once_in_the_sandbox_with_its_own_limits(toy):
    sandbox = Converter()
    folder = data_folder("toy", sandbox.run)
    assert folder == toy / "datasets" / "toy"
    assert (folder / "samples.parquet").read_bytes() == SAMPLES
    assert data_folder("GSE1", sandbox.run) == folder
    [job] = sandbox.jobs
    assert job.limits == CONVERSION
    assert set(job.inputs) == {"x.csv", "source_card.json"}


@pytest.mark.parametrize(("cause", "exit_code"), [("exit", 1), ("oom", None), ("wall", None)])
def test_a_conversion_that_fails_says_why_and_leaves_nothing(toy, cause, exit_code):
    """Also when it wrote its files before it was stopped."""
    with pytest.raises(RunFailed, match=rf"failed \({cause}\): x+KeyError: 'grade'$") as caught:
        data_folder("toy", Converter(cause=cause, exit_code=exit_code).run)
    assert len(str(caught.value)) < 500
    assert list((toy / "datasets").iterdir()) == []


def test_a_conversion_gets_its_script_and_inputs_as_they_are(tmp_path):
    sandbox = Converter()
    (tmp_path / "out").mkdir()
    run_conversion(sandbox.run, "print(1)", {"x": tmp_path}, tmp_path / "out")
    assert (sandbox.jobs[0].script, sandbox.jobs[0].inputs) == ("print(1)", {"x": tmp_path})


def test_data_that_nobody_catalogued_are_refused_before_anything_runs(toy):
    sandbox = Converter()
    with pytest.raises(NoUsableData, match="'gse99999' is not in the catalogue; it holds toy"):
        data_folder("gse99999", sandbox.run)
    assert sandbox.jobs == []


def test_the_gene_sets_need_no_sandbox(tmp_path, monkeypatch):
    gmt = b"set\t\tG1\n"
    folder = tmp_path / "gene_sets" / "go_bp_2023"
    folder.mkdir(parents=True)
    (folder / "go_bp_2023.gmt").write_bytes(gmt)
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setattr(gene_sets, "load_gene_sets", lambda: ({"id": "go_bp_2023", "sha256": sha(gmt)},))
    sandbox = Converter()
    assert data_folder("go_bp_2023", sandbox.run) == folder
    assert sandbox.jobs == []


def test_a_card_is_compared_with_its_data(toy):
    ok, line = verified("toy", Converter().run)
    assert ok
    assert "2 samples" in line


@pytest.mark.parametrize("counted", [{"n_samples": 3}, {"organism": "Mus musculus"}, {"groups": {}}])
def test_a_card_that_says_otherwise_than_its_data_is_not_verified(toy, counted):
    ok, line = verified("toy", Converter(**counted).run)
    assert not ok
    assert next(iter(counted)) in line


@pytest.fixture
def ncbi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A local server in the place of NCBI."""
    path = Path(__file__).parents[1] / "tools" / "ncbi_server.py"
    spec = importlib.util.spec_from_file_location("ncbi_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["ncbi_server"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.serving() as server:
        for name in ("NCBI", "GEO_PAGES", "GEO_FILES"):
            monkeypatch.setenv(f"LABWRIGHT_{name}_URL", server.base_url)
        monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path))
        yield server


SERIES = "^SERIES = GSE777777\n!Series_title = Airway cells\n"
SAMPLE = (
    "^SAMPLE = GSM{n}\n!Sample_title = s{n}\n!Sample_geo_accession = GSM{n}\n!Sample_organism_ch1 = {organism}\n"
    "!Sample_characteristics_ch1 = treatment: {level}\n!Sample_characteristics_ch1 = donor: d{n}\n"
)
LISTING = '<a href="GSE777777_series_matrix.txt.gz">GSE777777_series_matrix.txt.gz</a> 1K'


def geo_answers(ncbi, *, n=16, organism="Homo sapiens", listing=LISTING, size=1000):
    """What NCBI and GEO say of a series of 16 samples, and what its sample records and files really hold."""
    ncbi.answer(EMPTY.format(n=1, ids="<Id>1</Id>")).answer(SUMMARY.format(organism="Homo sapiens"))
    levels = ["drug" if i % 2 else "none" for i in range(n)]
    ncbi.answer(SERIES + "".join(SAMPLE.format(n=i, organism=organism, level=v) for i, v in enumerate(levels)))
    ncbi.answer(listing)
    if listing:
        ncbi.answer(b"x" * size)


def test_a_geo_series_is_verified_by_its_sample_records_and_files(ncbi):
    geo_answers(ncbi)
    found = verify_accession("GSE777777", Config())
    assert (found["id"], found["verified"], found["n_samples"]) == ("GSE777777", True, 16)
    assert found["groups"] == {"treatment": {"none": 8, "drug": 8}}
    assert found["size_mb"] == 0.001
    assert "Airway cells; Homo sapiens; RNA sequencing; 16 samples; treatment: none 8, drug 8" in found["detail"]
    assert ncbi.asked[0][1]["term"] == ["GSE777777[ACCN]"]
    assert [tool for tool, _ in ncbi.asked][2:] == ["acc.cgi", "", "GSE777777_series_matrix.txt.gz"]


@pytest.mark.parametrize(
    ("differs", "why"),
    [
        ({"n": 15}, "15 sample records, not 16"),
        ({"organism": "Mus musculus"}, "the samples are of Mus musculus, not Homo sapiens"),
        ({"n": 1}, "no characteristic parts the samples into groups"),
        ({"listing": "<html></html>"}, "no series matrix to download"),
        ({"size": 2_000_000}, "larger than [literature] max_download_mib = 1"),
    ],
)
def test_a_geo_series_that_is_not_what_it_is_said_to_be_is_not_verified(ncbi, differs, why):
    geo_answers(ncbi, **differs)
    found = verify_accession("GSE777777", Config(literature=LiteratureConfig(max_download_mib=1)))
    assert found["verified"] is False
    assert why in found["detail"]


def test_an_accession_that_geo_does_not_know_is_a_result(ncbi):
    ncbi.answer(EMPTY.format(n=0, ids=""))
    assert verify_accession("GSE777777", Config()) == {
        "id": "GSE777777",
        "verified": False,
        "detail": "GEO knows no GSE777777",
    }


@pytest.mark.parametrize("name", ["", "GSE", "gse777777", "GSE12x", "SRP1", "xGSE5", "GSE 99", "../cards", "GSE1\n"])
def test_what_is_no_accession_is_refused_without_asking_anybody(ncbi, name):
    with pytest.raises(NoUsableData, match="not in the catalogue"):
        verify_accession(name, Config())
    assert ncbi.asked == []


def test_a_geo_that_does_not_answer_is_no_verdict(ncbi):
    ncbi.answer("no", 400)
    with pytest.raises(SourceUnavailable):
        verify_accession("GSE777777", Config())
