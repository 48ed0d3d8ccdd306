"""Protocols of any system: labwright's run folder, foreign JSON, Markdown; and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.domain import Objective, Paper, Part, Protocol, Ref, Report, ReportPart, ReportStep, Step
from labwright.errors import WrongUse
from labwright.eval.protocol_file import read_protocol
from labwright.eval.protocol_quality import code_scores
from labwright.eval.protocol_reading import text_of

MARKDOWN = """\
# Protocol: Does a statin change survival after sepsis?

Users are compared with non-users.

## Data

- **GSE65682**: whole blood

## 1. Cohort

*Purpose.* Who is studied.

1. Download GSE65682 with `GEOquery` and keep 479 adults [1].
2. Exclude patients without age, from the results of step 1.1.

## Part 2. Analysis

### Step 2.1 (dry)

Fit a Cox model at 0.05 [1, 7].

- tool: lifelines
- data: GSE65682, gbsg2
- covariates: [age, sex]
- folds: 5
- input: outputs of step 1.2

### Bench work (wet)

Stain 3 sections.

## References

1. Scicluna 2017
"""
FOREIGN = {
    "goal": "Does a statin change survival?",
    "references": [{"id": "R1", "pmid": "123"}],
    "datasets": [{"accession": "GSE65682", "n_samples": 802}],
    "phases": [
        {"name": "Cohort", "description": "Who.", "tasks": ["Load the data.", {"action": "Check it", "depends_on": "1.1"}]},
        {"name": "Model", "steps": [{"id": "m", "text": "Fit.", "software": "lifelines", "params": {"folds": 5},
                                     "data": "GSE65682, gbsg2", "citations": ["R1"], "type": "x"}]},
    ],
}  # fmt: skip


def write(tmp_path: Path, text: str, name: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_markdown_is_read(tmp_path):
    reading = read_protocol(write(tmp_path, MARKDOWN, "p.md"))
    assert reading.objective == "Does a statin change survival after sepsis?"
    assert reading.logic == "Users are compared with non-users."
    assert [(p.id, p.title, p.purpose) for p in reading.parts] == [
        ("1", "Cohort", "Who is studied."),
        ("Part 2", "Analysis", ""),
    ]
    assert [d["id"] for d in reading.datasets] == ["GSE65682"]
    assert reading.sources == {"1"}
    first, second, third, fourth = reading.steps()
    assert (first.id, first.tool, first.datasets, first.refs) == ("1.1", "GEOquery", ("GSE65682",), ("1",))
    assert (second.id, second.inputs) == ("1.2", ("1.1",))
    assert (third.id, third.tool, third.datasets) == ("2.1", "lifelines", ("GSE65682", "gbsg2"))
    assert (third.parameters, third.inputs, third.refs) == (
        {"covariates": ["age", "sex"], "folds": 5},
        ("1.2",),
        ("1", "7"),
    )
    assert (fourth.id, fourth.kind) == ("2.2", "wet")
    assert fourth.text == "Bench work Stain 3 sections."


def test_foreign_json_is_read(tmp_path):
    reading = read_protocol(write(tmp_path, json.dumps(FOREIGN), "p.json"))
    first, second, third = reading.steps()
    assert (reading.objective, [p.title for p in reading.parts]) == (
        "Does a statin change survival?",
        ["Cohort", "Model"],
    )
    assert (first.id, first.text) == ("1.1", "Load the data.")
    assert (second.text, second.inputs) == ("Check it", ("1.1",))
    assert (third.id, third.tool, third.parameters, third.datasets, third.refs) == (
        "m", "lifelines", {"folds": 5}, ("GSE65682", "gbsg2"), ("R1",),
    )  # fmt: skip
    assert reading.datasets == ({"n_samples": 802, "id": "GSE65682"},)
    assert "R1" in reading.sources


@pytest.mark.parametrize(
    "raw",
    [
        {"title": "x", "steps": ["Load.", "Fit."]},
        {"objective": "x", "parts": {"One": ["Load."], "Two": {"steps": ["Fit."]}}},
        {"objective": "x", "parts": [["Load.", "Fit."]]},
    ],
)
def test_other_shapes_of_json_are_read_too(tmp_path, raw):
    assert [s.text for s in read_protocol(write(tmp_path, json.dumps(raw), "p.json")).steps()] == ["Load.", "Fit."]


def run_folder(tmp_path: Path, steps: tuple[str, ...]) -> Path:
    ref = Ref(paper="wang2005", part="Part 1", steps=steps)
    step = Step(
        id="Part 1.1", details="Fit it.", kind="dry", datasets=("gbsg2",), operator="cox_regression", refs=(ref,)
    )
    protocol = Protocol(
        objective=Objective(text="x", conditions="y"),
        logic="z",
        parts=(Part(id="Part 1", title="t", purpose="p", steps=(step,)),),
    )
    (tmp_path / "protocol.json").write_text(protocol.model_dump_json())
    for name in ("papers", "reports"):
        (tmp_path / name).mkdir()
    report = Report(
        paper="wang2005",
        parts=(ReportPart(id="Part 1", title="t", outline="o", steps=(ReportStep(id="1", details="d"),)),),
    )
    (tmp_path / "papers" / "wang2005.json").write_text(
        Paper(id="wang2005", title="t", abstract="a", source="embedded").model_dump_json()
    )
    (tmp_path / "reports" / "wang2005.json").write_text(report.model_dump_json())
    return tmp_path


def test_a_run_folder_is_read_and_its_references_resolve_to_what_is_stored(tmp_path):
    reading = read_protocol(run_folder(tmp_path, ("1",)))
    [step] = reading.steps()
    assert (step.tool, step.datasets, reading.objective) == (
        "cox_regression",
        ("gbsg2",),
        "Objective: x\nConditions: y",
    )
    assert set(step.refs) == reading.sources == {"wang2005:Part 1:1"}


def test_a_reference_to_a_step_that_is_not_stored_does_not_resolve(tmp_path):
    assert read_protocol(run_folder(tmp_path, ("1", "8"))).sources == frozenset()


def test_a_reference_outside_the_run_folder_does_not_resolve(tmp_path):
    inner = tmp_path / "run"
    inner.mkdir()
    folder = run_folder(inner, ("1",))
    text = (folder / "protocol.json").read_text().replace('"paper":"wang2005"', '"paper":"../papers/wang2005"')
    (folder / "protocol.json").write_text(text)
    assert read_protocol(folder).sources == frozenset()


def test_the_text_for_a_judge_is_of_one_form_and_names_no_system(tmp_path):
    text = text_of(read_protocol(run_folder(tmp_path, ("1",))))
    assert text.splitlines()[:2] == ["z", "Part 1: t"]
    assert "labwright" not in text.casefold()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.json", "{", "no JSON"),
        ("p.json", "[" * 100_000, "no JSON"),
        ("p.json", "[]", "JSON object"),
        ("p.json", "{}", "no parts or steps"),
        ("p.json", '{"parts": "none"}', "no parts or steps"),
        ("p.json", '{"objective": {"text": "x"}, "parts": 3}', "no labwright protocol"),
        ("p.json", json.dumps({"steps": ["x"] * 2001}), "2000 steps"),
        ("p.md", "", "no step"),
        ("p.md", "## A\n" + "1. Load.\n" * 2001, "2000 steps"),
        ("p.md", "# Only a title\n\nand prose", "no step"),
    ],
)
def test_a_file_that_is_no_protocol_gets_one_line(tmp_path, name, text, said):
    with pytest.raises(WrongUse, match=said) as caught:
        read_protocol(write(tmp_path, text, name))
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "p.md").write_bytes(b"\xff\xfe\x00")
    for name in ("p.md", "none.md", "."):
        with pytest.raises(WrongUse, match="cannot be read"):
            read_protocol(tmp_path / name)


@pytest.mark.parametrize(
    "value", [None, 1, 1.5, True, [], [[]], {"a": {"b": []}}, "x" * 50, [None, {"steps": [None, 3]}]]
)
@pytest.mark.parametrize("name", ["parts", "steps", "objective", "datasets", "references"])
def test_odd_values_are_read_or_refused_and_never_break(tmp_path, name, value):
    raw = {
        "objective": "x",
        "parts": [{"title": "t", "steps": [{"text": "Load.", "inputs": value, "parameters": value}]}],
        name: value,
    }
    path = write(tmp_path, json.dumps(raw), "p.json")
    try:
        reading = read_protocol(path)
    except WrongUse:
        return
    from labwright.eval.protocol_quality import quality

    assert set(quality(reading)) == {"objective", "parts", "steps", "metrics", "means"}


@given(st.lists(st.sampled_from(["# ", "## ", "### Step 1.2 (wet)", "1. ", "- tool: ", "- input: outputs of step 1", "*Sources:* ",
                                 "## References", "[1]", "`x`", "GSE123", "\n", "\n\n", "Load 5 ", "\t", "é", "|"]), max_size=40))  # fmt: skip
def test_any_markdown_is_read_and_scored_or_refused(tmp_path_factory, pieces):
    path = write(tmp_path_factory.mktemp("p"), "".join(pieces), "p.md")
    try:
        reading = read_protocol(path)
    except WrongUse:
        return
    for score in code_scores(reading):
        assert score.score is None or 1 <= score.score <= 5
