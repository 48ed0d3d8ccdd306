"""A protocol that a person edited: refused in one clear line, or accepted and really run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labwright.agents.design import skeleton
from labwright.agents.programming import plan_tasks
from labwright.domain import Dataset, Objective, Paper, Protocol, Ref, Report, ReportPart, ReportStep
from labwright.errors import WrongUse
from labwright.store import RunStore
from labwright.tools.analysis.contracts import OPERATORS, render_script, validate_params
from labwright.tools.catalogue.catalogue import card
from labwright.workflows.edits import accept_edit

OBJECTIVE = Objective(text="Which genes go with relapse of breast cancer?")
CARD = card("gse1992")
Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """A run that waits for its review: summary, differential expression, enrichment of gse1992."""
    store = RunStore(tmp_path / "run")
    dataset = Dataset.model_validate({k: v for k, v in CARD.items() if k in Dataset.model_fields})
    store.write(store.path("datasets", "gse1992.json"), dataset)
    store.write(store.path("papers", "hu2006.json"), Paper(id="hu2006", title="Hu", abstract="", source="embedded"))
    steps = (ReportStep(id="S1", details="Genes were ranked."),)
    report = Report(paper="hu2006", parts=(ReportPart(id="P1", title="t", outline="o", steps=steps),))
    store.write(store.path("reports", "hu2006.json"), report)
    store.write(store.path("reports", "hu2006.analysis.json"), [])
    plan = skeleton(OBJECTIVE, ["differential_expression", "gene_set_enrichment"], "gse1992")
    parts = []
    for part in plan.parts:
        step = part.steps[0]
        given = {"group_column": "er"} if step.operator == "differential_expression" else {}
        full = validate_params(OPERATORS[step.operator], CARD, given)
        step = step.model_copy(update={"parameters": full, "details": "Do it."})
        parts.append(part.model_copy(update={"steps": (step,), "refs": (Ref(paper="hu2006", part="P1"),)}))
    protocol = plan.model_copy(update={"parts": tuple(parts), "datasets": (dataset,)})
    store.write(store.folder / "protocol.json", protocol)
    return store


def step(protocol: dict[str, Any], part: int) -> dict[str, Any]:
    return protocol["parts"][part]["steps"][0]


def edited(store: RunStore, change: Edit) -> Path:
    protocol = json.loads((store.folder / "protocol.json").read_text())
    change(protocol)
    path = store.folder.parent / "edited.json"
    path.write_text(json.dumps(protocol))
    return path


def refused(store: RunStore, path: Path) -> str:
    """The one line that an edit is refused with; the run's protocol is as it was."""
    before = (store.folder / "protocol.json").read_bytes()
    with pytest.raises(WrongUse) as caught:
        accept_edit(store, path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    assert (store.folder / "protocol.json").read_bytes() == before
    assert not list(store.folder.glob("protocol.v*")) + list(store.folder.glob("protocol.md"))
    return line.removeprefix(f"{path}: ")


def test_the_run_s_own_protocol_is_accepted_unchanged(store):
    accepted = accept_edit(store, edited(store, lambda p: None))
    own = store.read(store.folder / "protocol.v1.json", Protocol)
    assert accepted == own.model_copy(update={"version": 2})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda p: step(p, 1).update(datasets=["gse99999"]), "step Part 2.1 names data that this run did not verify: gse99999"),
        (lambda p: step(p, 1).update(datasets=["gbsg2"]), "did not verify: gbsg2"),
        (lambda p: step(p, 1).update(datasets=[]), "step Part 2.1 names no data set"),
        (lambda p: p.update(datasets=[]), "did not verify: gse1992"),
        (lambda p: step(p, 1).update(operator="magic"), "no analysis named 'magic'; known are cohort_summary"),
        (lambda p: step(p, 1).update(operator=""), "no analysis named ''"),
        (lambda p: step(p, 1).update(operator="drug_association", parameters={}), "cannot use gse1992: it is a data set of kind"),
        (lambda p: step(p, 1)["parameters"].update(group_column="hair"), "group_column = 'hair' is not in the data"),
        (lambda p: step(p, 1)["parameters"].update(folds=5), "has no parameter ['folds']"),
        (lambda p: step(p, 2)["parameters"].update(min_size=1000), "min_size = 1000 must lie in [5, 50]"),
    ],
)  # fmt: skip
def test_data_analyses_and_parameters_must_exist_and_fit(store, change, line):
    assert line in refused(store, edited(store, change))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda p: step(p, 1).update(inputs=["Part 3.1"]), "do not come before it: Part 3.1"),
        (lambda p: step(p, 1).update(inputs=["Part 2.1"]), "do not come before it: Part 2.1"),
        (lambda p: step(p, 2).update(inputs=["Part 9.1"]), "do not come before it: Part 9.1"),
        (lambda p: step(p, 2).update(inputs=[]), "its first input must be a step of differential_expression or"),
        (lambda p: step(p, 2).update(inputs=["Part 1.1"]), "its first input must be a step of"),
        (lambda p: step(p, 1).update(kind="wet"), "reads outputs of wet steps, which write no files: Part 2.1"),
        (lambda p: step(p, 1).update(id="Part 1.1"), "two steps or two parts share an id"),
        (lambda p: p["parts"][1].update(id="Part 1"), "two steps or two parts share an id"),
    ],
    ids=["cycle", "itself", "unknown", "none", "wrong table", "wet", "step id twice", "part id twice"],
)
def test_inputs_are_earlier_steps_that_write_what_is_needed(store, change, line):
    assert line in refused(store, edited(store, change))


@pytest.mark.parametrize(
    ("ref", "line"),
    [
        ({"paper": "nobody1999", "part": "P1"}, "there is no report of 'nobody1999' in this run"),
        ({"paper": "hu2006.analysis", "part": "P1"}, "there is no report of 'hu2006.analysis'"),
        ({"paper": "../hu2006", "part": "P1"}, "there is no report of '../hu2006'"),
        ({"paper": "hu2006", "part": "P9"}, "the report of hu2006 has no part 'P9'"),
        ({"paper": "hu2006", "part": "P1", "steps": ["S1", "S7"]}, "part P1 of hu2006 has no step S7"),
    ],
)
@pytest.mark.parametrize("place", [lambda p: p["parts"][0], lambda p: step(p, 2)], ids=["part", "step"])
def test_a_reference_must_resolve(store, place, ref, line):
    assert line in refused(store, edited(store, lambda p: place(p).update(refs=[ref])))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda p: p.pop("parts"), "parts: Field required; see docs/protocol.schema.json"),
        (lambda p: p.update(colour="red"), "colour: Extra inputs are not permitted"),
        (lambda p: step(p, 0).update(kind="damp"), "parts.0.steps.0.kind: Input should be 'dry', 'wet' or 'mixed'"),
        (lambda p: p["parts"].append("Part 4"), "parts.3: Input should be an object"),
    ],
)
def test_what_is_no_protocol_is_refused_where_it_is_wrong(store, change, line):
    assert line in refused(store, edited(store, change))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "Invalid JSON"),
        (b"# Protocol\n\nDo the analysis.\n", "Invalid JSON"),
        (b'{"objective": {"text": "x"}, ', "Invalid JSON"),
        (b"[]", "Input should be an object"),
        ('{"logic": "é"}'.encode("latin-1"), "cannot be read: 'utf-8' codec"),
        (b"\xff\xfe\x00\x01", "cannot be read: 'utf-8' codec"),
    ],
)
def test_what_is_no_json_is_refused(store, tmp_path, content, line):
    path = tmp_path / "edited.json"
    path.write_bytes(content)
    assert line in refused(store, path)


def test_a_file_that_is_not_there_and_a_folder_are_refused(store, tmp_path):
    assert "cannot be read" in refused(store, tmp_path / "absent.json")
    assert "cannot be read" in refused(store, tmp_path)


def test_a_good_edit_changes_the_tasks_and_the_text_and_keeps_the_old_one(store):
    def change(protocol: dict[str, Any]) -> None:
        step(protocol, 1)["parameters"] = {"group_column": "grade", "reference": "grade 1", "test": "grade 3"}
        step(protocol, 2).update(kind="wet", inputs=[])
        protocol["parts"][1]["title"] = "Grades by a person"

    before = plan_tasks(store.read(store.folder / "protocol.json", Protocol), 0)
    accepted = accept_edit(store, edited(store, change))
    after = plan_tasks(store.read(store.folder / "protocol.json", Protocol), 0)
    assert [t.operator for t in before] == ["cohort_summary", "differential_expression", "gene_set_enrichment"]
    assert [t.operator for t in after] == ["cohort_summary", "differential_expression"]
    assert after[1].parameters == {
        "group_column": "grade", "reference": "grade 1", "test": "grade 3", "block_column": None, "seed": 0
    }  # fmt: skip
    assert after[1].description.startswith("Grades by a person")
    assert accepted.version == 2
    assert store.read(store.folder / "protocol.v1.json", Protocol).version == 1
    assert "## Part 2. Grades by a person" in (store.folder / "protocol.md").read_text()


def test_what_an_edit_leaves_out_is_filled_before_it_is_run(store):
    """The word "none" and a missing level are no values that an operator could take."""
    left_out = {"group_column": "er", "block_column": "none"}
    accept_edit(store, edited(store, lambda p: step(p, 1).update(parameters=left_out)))
    task = plan_tasks(store.read(store.folder / "protocol.json", Protocol), 0)[1]
    own = plan_tasks(store.read(store.folder / "protocol.v1.json", Protocol), 0)[1]
    assert task.parameters == own.parameters
    assert "none" not in render_script(OPERATORS[task.operator], task.parameters, "gse1992")


def test_a_second_edit_is_the_third_version(store):
    accept_edit(store, edited(store, lambda p: p.update(logic="First edit.")))
    assert accept_edit(store, edited(store, lambda p: p.update(logic="Second edit."))).version == 3
    assert store.read(store.folder / "protocol.v2.json", Protocol).logic == "First edit."
