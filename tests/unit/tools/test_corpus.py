"""The embedded literature: whole, well-formed, checked, and judged."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from itertools import combinations
from typing import Any

import pytest
import yaml

from labwright.tools.analysis.contracts import OPERATORS
from labwright.tools.corpus.records import Record, load_records
from labwright.tools.sources import EmbeddedCorpus

RECORDS = load_records()
IDS = {record.id for record in RECORDS}
CATALOGUE = {
    "gse7390", "nki70", "gse4335", "gse1992", "dlbcl_chop", "ovarian_meta", "airway", "gdsc17", "pbmc68k",
    "oligodendroglioma", "tissue_expression", "nci60", "gbsg2", "veteran", "whas500", "colon", "pbc",
    "actg320",
}  # fmt: skip
DOI = re.compile(r"10\.\d{4,9}/\S+")
by_id = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)


def _yaml(*parts: str) -> Any:
    """A suite's YAML file."""
    return yaml.safe_load(files("labwright.eval.suites").joinpath(*parts).read_text(encoding="utf-8"))


def _objectives() -> list[dict[str, Any]]:
    """The bundled objectives."""
    folder = files("labwright.eval.suites").joinpath("objectives")
    every = [_yaml("objectives", e.name) for e in folder.iterdir() if e.name.endswith(".yaml")]
    return [item for item in every if item.get("bundled")]


def test_there_are_enough_and_all_are_distinct() -> None:
    """Ids, titles and every identifier that is given."""
    assert len(RECORDS) >= 54
    for field in ("id", "title", "pmid", "doi"):
        counts = Counter(getattr(record, field).casefold() for record in RECORDS)
        counts.pop("", None)
        assert max(counts.values()) == 1, field


def test_about_a_third_are_near_misses() -> None:
    """Between 30 and 40 percent; none of them stands behind a data set or an operator."""
    near = [record for record in RECORDS if record.near_miss]
    assert 0.30 <= len(near) / len(RECORDS) <= 0.40
    assert not any(record.datasets or record.methods_operators for record in near)


@by_id
def test_identifiers_are_well_formed(record: Record) -> None:
    """An identifier that could not be checked is empty, never a guess; the id can be a file name."""
    assert re.fullmatch(r"[a-z][a-z0-9_]+", record.id)
    assert re.fullmatch(r"|[1-9]\d{5,7}", record.pmid)
    assert not record.doi or DOI.fullmatch(record.doi)
    assert record.kind == "summary"
    assert record.year is None or 1950 <= record.year <= 2026


@by_id
def test_every_record_says_where_it_was_checked(record: Record) -> None:
    """The title at least; a named source for each fact."""
    assert record.checked
    assert any("title" in item.fact or "book" in item.fact for item in record.checked)
    assert all(item.fact.strip() and len(item.source.strip()) > 8 for item in record.checked)
    for name in ("pmid", "doi"):
        if getattr(record, name):
            assert any(name in f"{item.fact} {item.source}".casefold() for item in record.checked), name


@by_id
def test_summaries_are_sentences_of_reasonable_length(record: Record) -> None:
    """Six to fourteen, each a whole sentence; methods are there to be cited."""
    sections = record.sections
    sentences = [*sections.background, *sections.methods, *sections.findings]
    assert 6 <= len(sentences) <= 16
    assert all((sections.background, sections.methods, sections.findings))
    for sentence in sentences:
        assert 4 <= len(sentence.split()) <= 50, sentence
        assert sentence.endswith("."), sentence
        assert sentence[0].isupper() or sentence[0].isdigit(), sentence
    assert len(set(sentences)) == len(sentences)


def test_every_data_set_has_a_paper() -> None:
    """And no record names a data set or an operator that does not exist."""
    named = {dataset for record in RECORDS for dataset in record.datasets}
    assert named == CATALOGUE
    assert {o for record in RECORDS for o in record.methods_operators} <= set(OPERATORS)
    assert {o for record in RECORDS for o in record.methods_operators} == set(OPERATORS)


@by_id
def test_the_document_holds_every_sentence_on_its_own_line(record: Record) -> None:
    """So that a quote is a span of the stored text."""
    text = record.text()
    lines = text.splitlines()
    assert lines[0] == record.title
    for sentence in (*record.sections.background, *record.sections.methods, *record.sections.findings):
        assert sentence in lines
    assert record.text() == text


def test_papers_carry_no_judgement() -> None:
    """Whether a record is a near miss is not visible to what chooses papers."""
    papers = EmbeddedCorpus(lambda _: (_ for _ in ()).throw(AssertionError)).papers()
    assert len(papers) == len(RECORDS)
    assert not any("near" in paper.model_dump_json(exclude={"title", "abstract"}) for paper in papers)


def test_every_objective_judges_every_record() -> None:
    """0, 1 or 2; something to read and something to reject; no near miss is a must."""
    near = {record.id for record in RECORDS if record.near_miss}
    for item in _objectives():
        assert set(item["relevance"]) == IDS, item["id"]
        assert set(item["relevance"].values()) == {0, 1, 2}, item["id"]
        assert not {i for i, grade in item["relevance"].items() if grade == 2} & near, item["id"]


def test_bundled_objectives_are_well_formed() -> None:
    """Five, over four data sets or more; every output and property can be looked up."""
    items = _objectives()
    assert len(items) == 5
    assert len({d for item in items for d in item["datasets_allowed"]}) >= 4
    for item in items:
        assert set(item["datasets_allowed"]) <= CATALOGUE
        for output in item["required_outputs"]:
            files_of = {o.type for o in OPERATORS[output["operator"]].outputs}
            assert output["type"] in files_of, output
            named = output["dataset"]
            assert {named} <= CATALOGUE if isinstance(named, str) else set(named) <= CATALOGUE
        for gold in item["gold"]:
            assert gold["statement"].endswith(".")
            assert gold["source"].strip()
            assert gold["tolerance"].strip()
            _assert_check(gold["check"])
        names = [x["id"] for x in (*item["required_outputs"], *item["gold"])]
        assert len(set(names)) == len(names)


def _assert_check(check: dict[str, Any]) -> None:
    """One of the two forms, over a table that an operator writes."""
    if "finding" in check:
        assert {"low", "high"} & set(check)
    else:
        assert check["table"] in {o.name for c in OPERATORS.values() for o in c.outputs}
        assert check["column"]
        assert 1 <= check["min_hits"] <= len(check["any_of"])
        assert set(check) <= {"table", "column", "n", "where", "any_of", "min_hits"}


@pytest.mark.parametrize(("name", "answerable", "refused"), [("choices", 30, 10), ("development", 8, 4)])
def test_choice_objectives_are_well_formed(name: str, answerable: int, refused: int) -> None:
    """Counts, ids that exist, and no record both relevant and irrelevant."""
    items = _yaml("choices", f"{name}.yaml")["objectives"]
    good = [item for item in items if item.get("answerable", True)]
    assert (len(good), len(items) - len(good)) == (answerable, refused)
    for item in items:
        assert item["text"].strip()
        assert item.get("why") or item.get("reason")
    for item in good:
        assert set(item["datasets"]) <= CATALOGUE
        assert item["operators"]["required"]
        assert {*item["operators"]["required"], *item["operators"]["acceptable"]} <= set(OPERATORS)
        assert not set(item["operators"]["required"]) & set(item["operators"]["acceptable"])
        assert {*item["papers"], *item["papers_irrelevant"]} <= IDS, item["id"]
        assert not set(item["papers"]) & {r.id for r in RECORDS if r.near_miss}


def test_choices_cover_the_catalogue_and_differ_from_one_another() -> None:
    """All data sets and operators; no two texts share half of their words."""
    items = _yaml("choices", "choices.yaml")["objectives"]
    good = [item for item in items if item.get("answerable", True)]
    assert {d for item in good for d in item["datasets"]} == CATALOGUE
    assert {o for item in good for o in item["operators"]["required"]} == set(OPERATORS)
    texts = [*items, *_yaml("choices", "development.yaml")["objectives"], *_objectives()]
    words = {item["id"]: set(re.findall(r"[a-z0-9]{4,}", item["text"].casefold())) for item in texts}
    assert len(words) == len(texts)
    for one, two in combinations(words, 2):
        shared = len(words[one] & words[two]) / min(len(words[one]), len(words[two]))
        assert shared < 0.6, (one, two)
