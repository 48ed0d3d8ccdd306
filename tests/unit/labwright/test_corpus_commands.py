"""`labwright corpus`: what is added is indexed, searched with filters, and ordered anew by a model when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import hashed_encoder
from typer.testing import CliRunner, Result

from labwright import cli

PAPERS = [
    {"id": "old", "title": "Aspirin and fever in mice", "text": "Aspirin lowered fever in mice.", "year": 1999},
    {"id": "new", "title": "Aspirin and fever in rats", "text": "Aspirin lowered fever in rats too.", "year": 2020},
    {"id": "off", "title": "Stripes of zebrafish", "text": "Stripes were counted.", "year": 2020},
]


@pytest.fixture
def labwright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command in an empty folder with an empty cache, with an encoder that needs no weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("labwright.models.embedders.encoder", lambda _: ("hashed", hashed_encoder))
    (tmp_path / "papers.jsonl").write_text("\n".join(map(json.dumps, PAPERS)))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, list(arguments))

    assert "1 files in corpus mine, 3 papers indexed" in run("corpus", "add", "mine", "papers.jsonl").stdout
    return run


def found(done: Result) -> list[str]:
    assert done.exit_code == 0, done.output
    return [paper["id"] for paper in json.loads(done.stdout)]


def test_an_added_corpus_is_listed_and_searched_by_words_and_years(labwright) -> None:
    assert "mine" in [row["name"] for row in json.loads(labwright("corpus", "list", "--json").stdout)]
    search = ("corpus", "search", "mine", "aspirin fever", "--json")
    assert found(labwright(*search))[:2] == ["old", "new"] or found(labwright(*search))[:2] == ["new", "old"]
    assert found(labwright(*search, "--since", "2010"))[0] == "new"
    assert found(labwright(*search, "--until", "2000")) == ["old"]
    assert found(labwright("search", "aspirin in rats", "--source", "mine", "--limit", "1", "--json")) == ["new"]


def test_a_model_orders_the_first_hits_anew(labwright, tmp_path: Path) -> None:
    rules = [
        {"match": "Stripes", "probabilities": {"yes": 0.9, "no": 0.1}},
        {"match": "Document:", "probabilities": {"no": 0.9, "yes": 0.1}},
    ]
    (tmp_path / "script.json").write_text(json.dumps({"rules": rules}))
    (tmp_path / "labwright.toml").write_text(
        '[backends.s]\nkind = "scripted"\nscript = "script.json"\n[roles]\n'
        + "".join(f'{role} = "s"\n' for role in ("search", "literature", "design", "programming", "reviewer", "judge"))
    )
    assert found(labwright("corpus", "search", "mine", "aspirin fever", "--rerank", "--json"))[0] == "off"


def test_files_of_a_corpus_that_is_not_there_are_asked_for(labwright) -> None:
    done = labwright("corpus", "search", "nowhere", "aspirin")
    assert done.exit_code != 0
    assert "labwright corpus add nowhere" in str(done.exception)
