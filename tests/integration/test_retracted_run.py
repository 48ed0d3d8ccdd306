"""A whole run on a scripted model, with every paper that it would like best retracted: none of them is evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from fake_run import materials

from labwright.domain import Paper, Protocol
from labwright.eval.report import write_report
from labwright.tools.retractions import RetractionRegister, check
from labwright.workflows.control import invoke
from labwright.workflows.data import data_folder

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module", autouse=True)
def _data(sandbox):
    """The data set that the objective needs, converted once by the real sandbox."""
    data_folder("gbsg2", sandbox.run)


def cited(folder: Path) -> set[str]:
    protocol = Protocol.model_validate_json((folder / "protocol.json").read_text())
    return {r.paper for p in protocol.parts for r in (*p.refs, *(x for s in p.steps for x in s.refs))}


def test_no_retracted_paper_is_read_quoted_or_cited(tmp_path):
    before = materials(tmp_path / "before")
    assert invoke(before, review=False) == "done"
    liked = [
        before.store.read(before.store.path("papers", f"{name}.json"), Paper) for name in cited(before.store.folder)
    ]
    gone = {paper.ids.doi: paper.id for paper in liked if paper.ids.doi}
    assert gone
    rows = ["Record ID,OriginalPaperDOI,OriginalPaperPubMedID,RetractionNature,RetractionDate,Reason"]
    rows += [f'{i},"{doi}",0,Retraction,1/2/2021,Fraud' for i, doi in enumerate(gone)]
    (tmp_path / "rw.csv").write_text("\n".join(rows) + "\n")
    notices = RetractionRegister(tmp_path / "retractions.sqlite")
    notices.load(tmp_path / "rw.csv", date(2026, 3, 4))

    m = replace(materials(tmp_path / "after"), check_retractions=lambda papers: check(papers, notices, None))
    assert invoke(m, review=False) == "done"
    folder = m.store.folder
    assert cited(folder)
    assert not cited(folder) & set(gone.values())
    assert not {p.name.split(".")[0] for p in (folder / "reports").iterdir()} & set(gone.values())
    screened = json.loads((folder / "papers" / "_screening.json").read_text())
    assert {p["reason"].split(" (")[0] for p in screened if p["id"] in gone.values()} <= {"dropped: retracted"}
    html = write_report(folder).read_text(encoding="utf-8")
    assert "Retracted" in html
    assert "Retraction: none known (Retraction Watch" in (folder / "protocol.md").read_text()
