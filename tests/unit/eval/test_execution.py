"""Judging a run against a frozen list: gold checks on little tables."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from labwright.domain import Objective, OutputSpec, RunRecord, Shares, Task, TaskResult
from labwright.errors import RunFailed
from labwright.eval.execution import artefacts_of, verdicts
from labwright.eval.objective_file import ObjectiveFile
from labwright.eval.suites.run_row import judged, largest_checkpoint
from labwright.store import RunStore
from labwright.tools.analysis.contracts import OPERATORS

TABLE = """feature,level,fold_change,p,fdr
esr1,basal,2.5,0.001,0.01
GATA3,basal,1.5,0.01,0.05
TP53,luminal,-1.0,0.02,
MKI67,luminal,0,NA,0.5
"""


def task_of(store: RunStore, number: int, level: int, **more: Any) -> None:
    """A task as the programming agent leaves it."""
    operator = more.get("operator", "differential_expression")
    outputs = tuple(OutputSpec(name=o.name, type=o.type, check=o.check) for o in OPERATORS[operator].outputs)
    name = f"t{number}"
    task = Task(id=name, description="", part="P", step="S", operator=operator, parameters={},
                datasets=(more.get("dataset", "gse4335"),), inputs=(), outputs=outputs)  # fmt: skip
    folder = store.folder / "tasks" / name
    store.write(folder / "task.json", task)
    findings = tuple({"id": f"f{i}", "value": v} for i, v in enumerate(more.get("findings", ())))
    store.write(folder / "result.json", TaskResult(task=name, attempts=(), level=level, findings=findings))
    for file, text in more.get("files", {"differential_expression.csv": TABLE}).items():
        store.write_text(folder / "outputs" / file, text)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path / "20260101-000000-abcdef")
    seconds = {"model": 50.0, "sandbox": 30.0, "network": 5.0, "waiting": 5.0, "orchestration": 10.0}
    store.save_record(
        RunRecord(
            id=store.id, objective=Objective(text="x"), status="done", tasks={"t1": 3, "t2": 2}, seconds=100.0,
            seconds_by_kind=seconds, evaluated_tokens=1234, generated_tokens=56, datasets=("gse4335",),
            decided=Shares(model=8, fallback=1, code=1, person=5),
        )
    )  # fmt: skip
    with sqlite3.connect(store.folder / "checkpoints.sqlite") as db:
        db.execute("create table checkpoints (checkpoint blob, metadata blob)")
        db.executemany("insert into checkpoints values (?, ?)", [(b"x" * 100, b""), (b"x" * 2048, b"y" * 1024)])
    return store


def wanted(operator: Any = "differential_expression", dataset: Any = "gse4335", kind: str = "table") -> dict[str, Any]:
    return {"id": "o", "operator": operator, "dataset": dataset, "type": kind}


def objective(required: list[dict[str, Any]] | None = None, gold: dict[str, Any] | None = None) -> ObjectiveFile:
    """An objective with these lists; a list that the test is not about holds one entry that nothing meets."""
    unmet = {"g": {"table": "absent.csv", "column": "feature", "any_of": ["ESR1"], "min_hits": 1}}
    known = {"statement": "It holds.", "source": "by hand", "tolerance": "none"}
    return ObjectiveFile.model_validate(
        {
            "id": "x", "text": "x", "field": "expression", "data_kinds": ["expression"],
            "datasets_allowed": ["gse4335", "gse1992"],
            "required_outputs": required or [{**wanted("cox_regression", "gse1992"), "id": "unmet"}],
            "gold": [{"id": name, "check": check, **known} for name, check in (gold or unmet).items()],
        }
    )  # fmt: skip


def holds(store: RunStore, **check: Any) -> bool:
    if "finding" not in check:
        check = {"table": "differential_expression.csv", "column": "feature", "min_hits": 1, **check}
    return verdicts(objective(gold={"g": check}), artefacts_of(store.folder)).gold["g"]


def outputs(store: RunStore, *required: dict[str, Any]) -> dict[str, bool]:
    return verdicts(objective([*required]), artefacts_of(store.folder)).outputs


def test_the_row_of_a_run(store):
    """Of 2 outputs and 2 properties one each is met: 2 / 4. Overhead: 100 s less 50 + 30 + 5 + 5. Share: 8 of 10."""
    task_of(store, 1, 3)
    check = {"column": "feature", "any_of": ["ESR1"], "min_hits": 1}
    gold = {"yes": {"table": "differential_expression.csv", **check}, "no": {"table": "absent.csv", **check}}
    required = [{**wanted(), "id": "have"}, {**wanted("cox_regression"), "id": "lack"}]
    row = judged(store, objective(required, gold))
    assert row["outputs"] == {"have": True, "lack": False}
    assert row["gold"] == {"yes": True, "no": False}
    assert (row["level3_gold"], row["level3_tasks"], row["overhead_share"]) == (0.5, 1, 0.1)
    assert (row["model_share"], row["prompt_tokens_evaluated"], row["generated_tokens"]) == (0.8, 1234, 56)
    assert row["checkpoint_max_kib"] == 3.0
    assert row["run"] == store.id


@pytest.mark.parametrize("level", [0, 1, 2])
def test_what_is_not_at_level_3_counts_for_nothing(store, level):
    task_of(store, 1, level, findings=[1.0])
    assert artefacts_of(store.folder) == []
    assert outputs(store, wanted()) == {"o": False}
    assert not holds(store, any_of=["ESR1"])
    assert not holds(store, finding="f0", low=0)


@pytest.mark.parametrize(
    ("asked", "met"),
    [
        (wanted(), True),
        (wanted(kind="figure"), True),
        (wanted(dataset=["gse1992", "gse4335"]), True),
        (wanted(operator=["cox_regression", "differential_expression"]), True),
        (wanted(dataset="gse1992"), False),
        (wanted(operator="survival_curves"), False),
    ],
)
def test_an_output_is_of_the_operator_the_data_set_and_the_type(store, asked, met):
    task_of(store, 1, 3)
    assert outputs(store, asked) == {"o": met}


@pytest.mark.parametrize(
    ("check", "met"),
    [
        ({"any_of": ["ESR1"]}, True),
        ({"any_of": ["ESR"]}, False),
        ({"any_of": ["esr1", "gata3", "NAT1"], "min_hits": 2}, True),
        ({"any_of": ["esr1", "gata3", "NAT1"], "min_hits": 3}, False),
        ({"any_of": ["GATA3"], "n": 1}, False),
        ({"any_of": ["GATA3"], "n": 2}, True),
        ({"any_of": ["TP53"], "n": 1, "where": {"level": "luminal"}}, True),
        ({"any_of": ["TP53"], "where": {"level": "basal"}}, False),
        ({"any_of": ["TP53"], "where": {"level": "Luminal"}}, False),
        ({"any_of": ["GATA3"], "where": {"fdr": {"below": 0.05}}}, True),
        ({"any_of": ["GATA3"], "where": {"fdr": {"below": 0.049}}}, False),
        ({"any_of": ["GATA3"], "where": {"fdr": {"above": 0.05, "below": 0.06}}}, True),
        ({"any_of": ["ESR1"], "where": {"fdr": {"above": 0.05}}}, False),
        ({"any_of": ["TP53"], "where": {"fdr": {"below": 1}}}, False),
        ({"any_of": ["MKI67"], "where": {"p": {"below": 1}}}, False),
        ({"any_of": ["MKI67"], "where": {"fold_change": "positive"}}, False),
        ({"any_of": ["MKI67"], "where": {"fold_change": "negative"}}, False),
        ({"any_of": ["TP53"], "where": {"fold_change": "negative"}}, True),
        ({"any_of": ["TP53"], "where": {"fold_change": "positive"}}, False),
        ({"column": "p", "any_of": ["0.001"]}, True),
    ],
)
def test_a_table_check_holds_or_fails(store, check, met):
    """Ends are included; an empty cell and a cell that is no number lie in no range."""
    task_of(store, 1, 3)
    assert holds(store, **check) is met


def test_any_verified_table_of_that_name_may_meet_the_check(store):
    task_of(store, 1, 3, files={"differential_expression.csv": "feature\nX\n"})
    assert not holds(store, any_of=["ESR1"])
    task_of(store, 2, 3)
    assert holds(store, any_of=["ESR1"])


def test_a_table_without_rows_fails_and_one_without_the_column_is_an_error(store):
    task_of(store, 1, 3, files={"differential_expression.csv": "feature,p\n"})
    assert not holds(store, any_of=["ESR1"])
    task_of(store, 2, 3)
    for check in ({"column": "gene"}, {"where": {"gene": {"below": 1}}}):
        with pytest.raises(RunFailed, match="has no column 'gene'"):
            holds(store, **check, any_of=["ESR1"])


@pytest.mark.parametrize(
    ("check", "met"),
    [
        ({"finding": "f0", "low": 0.6, "high": 0.7}, True),
        ({"finding": "f0", "low": 0.65}, True),
        ({"finding": "f0", "high": 0.65}, True),
        ({"finding": "f0", "low": 0.651}, False),
        ({"finding": "f0", "high": 0.649}, False),
        ({"finding": "f1", "low": 0}, False),
        ({"finding": "f2", "low": 0}, False),
        ({"finding": "f9", "low": 0}, False),
    ],
    ids=["inside", "low end", "high end", "below", "above", "a text", "nothing", "absent"],
)
def test_a_finding_check_holds_or_fails(store, check, met):
    task_of(store, 1, 3, findings=[0.65, "0.65", None])
    assert holds(store, **check) is met


def test_a_run_without_checkpoints_has_none(tmp_path):
    with sqlite3.connect(tmp_path / "c.sqlite") as db:
        db.execute("create table checkpoints (checkpoint blob, metadata blob)")
    assert largest_checkpoint(tmp_path / "c.sqlite") == 0.0
