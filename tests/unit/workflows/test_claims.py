"""Evidence for a claim and a quote's verdict, over sources as a user has them, and through the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import hashed_encoder
from typer.testing import CliRunner

from labwright import cli
from labwright.domain import Paper, Retraction
from labwright.errors import WrongUse
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat
from labwright.tools.evidence import is_verbatim
from labwright.workflows import claims

TEXTS = {
    "for": "Aspirin lowered fever in 40 mice within an hour.\nThe weather in spring was mild and wet.",
    "against": "Aspirin did not lower fever in mice at any dose.",
    "withdrawn": "Aspirin lowered fever in mice, every single time.",
}


class Shelf:
    """A source of three papers, one of them retracted."""

    name = "shelf"

    def papers(self) -> list[Paper]:
        return [
            Paper(
                id=name,
                title=f"Paper {name}",
                abstract="",
                source="shelf",
                retraction=Retraction(status="retracted" if name == "withdrawn" else "none"),
            )
            for name in TEXTS
        ]

    def search(self, query: str, limit: int) -> list[Paper]:
        return self.papers()[:limit] if "aspirin" in query.casefold() else []

    def text(self, paper: Paper) -> str:
        return TEXTS[paper.id]


def session(tmp_path: Path) -> Session:
    rules = [
        {"match": "did not lower", "probabilities": {"contradict": 0.7, "neither": 0.3}},
        {"match": "Aspirin lowered fever in 40", "probabilities": {"support": 0.8, "neither": 0.2}},
        {"match": "weather", "probabilities": {"neither": 1.0}},
    ]
    return Session(role="reviewer", backend="s", chat=ScriptedChat(rules=rules), log=CallLog(tmp_path / "calls.sqlite"))


def test_each_sentence_is_a_span_with_its_stance_and_no_retracted_paper_speaks(tmp_path: Path) -> None:
    found = claims.evidence_for("Aspirin lowers fever in mice", [Shelf()], hashed_encoder, session(tmp_path))
    said = {one.quote.text: one.stance.label for one in found if one.stance is not None}
    assert {text.split()[1]: label for text, label in said.items()} == {
        "lowered": "support", "did": "contradict", "weather": "neither",
    }  # fmt: skip
    assert all(is_verbatim(one.quote, TEXTS[one.paper.id]) for one in found)
    assert "withdrawn" not in {one.paper.id for one in found}
    unasked = claims.evidence_for("Aspirin lowers fever", [Shelf()], hashed_encoder, None, limit=1)
    assert [one.stance for one in unasked] == [None]
    assert claims.evidence_for("Zebras", [Shelf()], hashed_encoder, None) == []


def test_a_quote_is_found_in_its_paper_or_the_nearest_text_is_told() -> None:
    found = claims.verdict("aspirin lowered  fever in 40 mice", [Shelf()])
    assert found.quote is not None
    assert (found.quote.paper, found.quote.text) == ("for", "Aspirin lowered fever in 40 mice")
    fake = claims.verdict("Aspirin lowered fever in 41 mice within an hour.", [Shelf()])
    assert (fake.quote, fake.nearest) == (None, "Aspirin lowered fever in 40 mice within an hour.")
    assert fake.paper is not None
    assert fake.paper.id == "for"
    elsewhere = claims.verdict("Aspirin lowered fever in 40 mice", [Shelf()], "against")
    assert elsewhere.quote is None
    assert claims.verdict("Aspirin lowered fever, every", [Shelf()]).quote is None
    assert claims.verdict("Zebras have stripes", [Shelf()]).paper is None
    with pytest.raises(WrongUse, match="no paper 'nobody' in shelf"):
        claims.verdict("Aspirin", [Shelf()], "nobody")


def test_the_commands_print_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.workflows.literature_sources.open_sources", lambda *_: [Shelf()])
    monkeypatch.setattr("labwright.models.embedding.CachedEncoder", lambda _: hashed_encoder)
    run = CliRunner().invoke
    done = run(cli.app, ["evidence", "Aspirin lowers fever", "--corpus", "shelf", "--no-model", "--json"])
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    first = printed["sentences"][0]
    assert TEXTS[first["paper"]][first["quote"]["start"] : first["quote"]["end"]] == first["quote"]["text"]
    assert "label" not in first
    done = run(cli.app, ["quote", "Aspirin did not lower fever", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["paper"]) == (0, "against")
    done = run(cli.app, ["quote", "Aspirin did lower fever in mice at any dose.", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["nearest"] == TEXTS["against"]
    assert "nearest, in against" in run(cli.app, ["quote", "Aspirin did lower fever at any dose"]).stdout
