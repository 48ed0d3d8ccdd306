"""The protocol as Markdown: everything a person needs to judge it, sources spelled out."""

from __future__ import annotations

from pathlib import Path

import pytest

from labwright.domain import Dataset, Objective, Paper, Part, Protocol, Ref, Step
from labwright.errors import RunFailed
from labwright.store import RunStore
from labwright.tools.analysis.contracts import OPERATORS
from labwright.workflows.protocol_text import protocol_markdown

WHOLE, STEPS = Ref(paper="hu2006", part="P1"), Ref(paper="old", part="P2", steps=("S1", "S3"))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path)
    for paper in (
        Paper(id="hu2006", title="Hu and others", abstract="", source="embedded", year=2006),
        Paper(id="old", title="An old one", abstract="", source="embedded"),
    ):
        store.write(store.path("papers", f"{paper.id}.json"), paper)
    return store


def protocol(*steps: Step, refs: tuple[Ref, ...] = (WHOLE,), **objective: str) -> Protocol:
    dataset = Dataset(
        id="gse1992", accession="GSE1992", title="UNC", organism="Homo sapiens", assay="array", n_samples=123,
        verification="123 samples counted",
    )  # fmt: skip
    part = Part(id="Part 1", title="Genes", purpose="To rank.", outline="Rank the genes.", refs=refs, steps=steps)
    return Protocol(
        objective=Objective(text="Which genes?", **objective), logic="First this.", parts=(part,), datasets=(dataset,)
    )


def step(**more) -> Step:
    values = {"id": "Part 1.1", "details": "Test every gene.", "kind": "dry", "datasets": ("gse1992",)}
    return Step(**{**values, "operator": "differential_expression", **more})


def test_the_whole_text(store):
    parameters = {"group_column": "er", "block_column": None, "seed": 7}
    text = protocol_markdown(protocol(step(parameters=parameters, inputs=("Part 0.1",), refs=(STEPS,))), store)
    assert text.split("\n") == [
        "# Protocol: Which genes?",
        "",
        "First this.",
        "",
        "## Data",
        "",
        "- **gse1992**, GSE1992: UNC. Homo sapiens, array, n = 123. 123 samples counted",
        "",
        "## Part 1. Genes",
        "",
        "*Purpose.* To rank.",
        "",
        "Rank the genes.",
        "",
        "*Sources:* Hu and others (2006; hu2006:P1; Retraction: not checked)",
        "",
        "### Step Part 1.1 (dry)",
        "",
        "Test every gene.",
        "",
        "- analysis: `differential_expression`",
        "- data: gse1992",
        f"- method: {OPERATORS['differential_expression'].reference}",
        "- group_column: er",
        "- input: outputs of step Part 0.1",
        "",
        "*Sources:* An old one (no year; old:P2/S1/S3; Retraction: not checked)",
        "",
    ]


def test_what_no_source_supports_is_said(store):
    text = protocol_markdown(protocol(step(), refs=()), store)
    assert text.count("*Sources:* none, no source supports this.") == 2


def test_several_sources_stand_in_one_line(store):
    text = protocol_markdown(protocol(step(refs=(WHOLE,)), refs=(WHOLE, STEPS)), store)
    assert (
        "*Sources:* Hu and others (2006; hu2006:P1; Retraction: not checked); An old one (no year; old:P2/S1/S3; Retraction: not checked)\n"
        in text
    )


def test_conditions_and_requirements_are_shown_where_there_are_any(store):
    text = protocol_markdown(protocol(conditions="Public data.", requirements="Adjust for age."), store)
    assert "**Conditions:** Public data.\n\n**Requirements:** Adjust for age.\n\nFirst this." in text
    assert "**Conditions:**" not in protocol_markdown(protocol(requirements="Adjust."), store)


def test_a_wet_step_names_no_method(store):
    text = protocol_markdown(protocol(step(kind="wet", operator="", datasets=())), store)
    assert "### Step Part 1.1 (wet)" in text
    assert "- method:" not in text


def test_a_source_that_the_run_does_not_hold_is_an_error(store):
    with pytest.raises(RunFailed, match=r"nobody\.json is missing"):
        protocol_markdown(protocol(refs=(Ref(paper="nobody", part="P1"),)), store)
