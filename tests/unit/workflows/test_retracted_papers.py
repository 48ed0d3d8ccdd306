"""A retracted paper is never evidence in a run: the nodes on a scripted model, and a register of notices.

The whole graph with the same register is run in tests/integration/test_retracted_run.py.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from labwright.domain import Paper, Ref
from labwright.errors import RetractedEvidence
from labwright.tools.retractions import RetractionRegister, check
from labwright.workflows.edits import resolve
from labwright.workflows.materials import Materials
from labwright.workflows.nodes import read
from labwright.workflows.search_nodes import find_papers

spec = importlib.util.spec_from_file_location("fake_run", Path(__file__).parents[2] / "integration" / "fake_run.py")
assert spec is not None
assert spec.loader is not None
fake_run = sys.modules["fake_run"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake_run)


def register(folder: Path, **natures: str) -> RetractionRegister:
    """A register of these notices, by DOI."""
    rows = ["Record ID,OriginalPaperDOI,OriginalPaperPubMedID,RetractionNature,RetractionDate,Reason"]
    rows += [f'{i},"{doi}",0,{nature},1/2/2021,Fraud' for i, (doi, nature) in enumerate(natures.items())]
    (folder / "rw.csv").write_text("\n".join(rows) + "\n")
    made = RetractionRegister(folder / "retractions.sqlite")
    made.load(folder / "rw.csv", date(2026, 3, 4))
    return made


def kept(m: Materials) -> list[str]:
    return list(find_papers({}, m=m)["papers"])


def checked_by(m: Materials, notices: RetractionRegister) -> Materials:
    return replace(m, check_retractions=lambda papers: check(papers, notices, None))


@pytest.fixture
def first(tmp_path: Path) -> Paper:
    """The paper that a run without a register likes best among those with a DOI."""
    m = fake_run.materials(tmp_path / "before")
    papers = [m.store.read(m.store.path("papers", f"{i}.json"), Paper) for i in kept(m)]
    assert all(p.retraction.words == "not checked" for p in papers)
    return next(p for p in papers if p.ids.doi)


def test_a_retracted_paper_is_found_but_not_kept_and_the_screening_says_why(tmp_path: Path, first: Paper) -> None:
    m = checked_by(fake_run.materials(tmp_path / "run"), register(tmp_path, **{first.ids.doi: "Retraction"}))
    assert first.id not in kept(m)
    screened = json.loads((m.store.path("papers") / "_screening.json").read_text())
    (entry,) = [p for p in screened if p["id"] == first.id]
    assert entry["reason"] == "dropped: retracted (Retraction Watch (newest notice 2021-01-02))"
    assert not m.store.path("papers", f"{first.id}.txt").exists()
    others = [p for p in screened if p["ids"]["doi"] and p["id"] != first.id]
    assert {p["retraction"]["status"] for p in others} == {"none"}
    assert {p["retraction"]["checked_at"] for p in others} == {"2026-03-04"}
    unnamed = [p for p in screened if not p["ids"]["doi"] and not p["ids"]["pmid"]]
    assert {p["retraction"]["status"] for p in unnamed} <= {"unknown"}


def test_a_paper_that_is_retracted_after_it_was_kept_is_not_read_nor_cited(tmp_path: Path, first: Paper) -> None:
    """The register was imported between the search and the reading, as on a resumed run."""
    m = fake_run.materials(tmp_path / "run")
    assert first.id in kept(m)
    m = checked_by(m, register(tmp_path, **{first.ids.doi: "Retraction"}))
    assert read({"id": first.id}, m=m) == {}
    assert not m.store.path("reports", f"{first.id}.json").exists()
    assert any("cannot be evidence; it was not read" in note for note in m.log.notes())
    other = fake_run.materials(tmp_path / "other")
    kept(other)
    read({"id": first.id}, m=other)
    stored = other.store.read(other.store.path("papers", f"{first.id}.json"), Paper)
    said = check([stored], register(tmp_path, **{first.ids.doi: "Retraction"}), None)[0]
    other.store.write(other.store.path("papers", f"{first.id}.json"), said)
    with pytest.raises(RetractedEvidence):
        resolve(other.store, Ref(paper=first.id, part="P1"))


def test_an_expression_of_concern_is_kept_and_shown(tmp_path: Path, first: Paper) -> None:
    m = checked_by(fake_run.materials(tmp_path / "run"), register(tmp_path, **{first.ids.doi: "Expression of concern"}))
    assert first.id in kept(m)
    assert read({"id": first.id}, m=m) == {"read": [first.id]}
    from labwright.eval.report import write_report

    html = write_report(m.store.folder).read_text(encoding="utf-8")
    assert "Expression of concern" in html
    assert "Retraction Watch (newest notice 2021-01-02), 2026-03-04" in html
    assert "2021-01-02: Fraud" in html


def test_full_texts_that_only_the_user_can_add_are_listed_in_the_run_folder(tmp_path: Path) -> None:
    m = fake_run.materials(tmp_path / "run")
    papers = kept(m)
    wanted: list[dict[str, Any]] = json.loads((m.store.path("papers") / "_full_text_wanted.json").read_text())
    assert len(wanted) == len(papers)
    assert {w["why"] for w in wanted} == {"only a summary written for labwright is stored"}
    assert all(set(w) == {"title", "doi", "pmid", "why"} for w in wanted)
