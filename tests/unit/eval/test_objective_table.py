"""The table as a whole: measured, interrupted, resumed, published and shown, with cells that do no work."""

from __future__ import annotations

import csv
import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fake_cells import fake_cell, row_of
from typer.testing import CliRunner

from labwright.cli import app
from labwright.config import Config
from labwright.errors import RunFailed, WrongUse
from labwright.eval.protocol_findings import METRICS
from labwright.eval.suites import objective_cells, objective_figures, objective_table
from labwright.eval.suites.objective_cells import Cell, Listed, Wanted
from labwright.eval.suites.objective_page import cells_csv, page, write_results
from labwright.eval.suites.objective_table import Table, checked, measure, rows_file
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.shared_results import SharedResults
from labwright.eval.suites.verify import verify_suite

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">"\'&'
MODEL = "smollm2-135m-instruct"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's root with two objectives, and a folder for runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABWRIGHT_BENCH_RUNS", str(tmp_path / "runs"))
    listed = [Listed(id="fine", field="survival"), Listed(id="bug", field="clinical")]
    for module in (objective_table, objective_cells, objective_figures):
        monkeypatch.setattr(module, "all_listed", lambda: listed)
    return tmp_path


def table(**more: Any) -> Table:
    given = {"workflows": ("react", "rules_only"), "models": (MODEL,), "objectives": ("fine",)}
    return Table(wanted=Wanted(**{**given, **more.pop("wanted", {})}), parts=("cells",), **more)


def never(cell: Cell, runs: Path, say: Any) -> dict[str, Any]:
    raise AssertionError("a cell that was measured is measured again")


def test_what_was_measured_is_not_measured_again_and_the_document_holds_its_figures(root):
    document = measure(table(), Config(), print, run=fake_cell)
    assert document["suite"] == "objectives"
    assert {f["name"] for f in document["figures"]} >= {"level3_macro_react", "level3_macro_rules_only"}
    assert len(Rows(rows_file(quick=False)).all()) == 2
    before = rows_file(quick=False).read_bytes()
    measure(table(), Config(), print, run=never)
    assert rows_file(quick=False).read_bytes() == before


def test_an_interrupted_table_goes_on_from_its_rows_on_another_machine(root):
    """One row was committed, and the append of the next was torn."""
    path = root / rows_file(quick=False)
    path.parent.mkdir(parents=True)
    done = row_of(Cell("fine", "react", MODEL, 0), level3_gold=0.25)
    path.write_text(json.dumps(done) + '\n{"kind": "cell", "name": "fi')
    said: list[str] = []
    measure(table(), Config(), said.append, run=fake_cell)
    assert any("torn" in line for line in said)
    assert "1 of 2 cells are measured already" in said
    rows = Rows(path).all()
    assert [(r["name"], r["level3_gold"]) for r in rows] == [(done["name"], 0.25), ("fine/rules_only/none/0", 0.5)]


def test_cells_without_a_row_fail_the_command_after_all_others_were_measured(root):
    with pytest.raises(RunFailed, match=r"1 cells gave no row .*bug/react/.*ZeroDivisionError"):
        measure(table(wanted={"objectives": ("bug", "fine"), "workflows": ("react",)}), Config(), print, run=fake_cell)
    assert [r["objective"] for r in Rows(rows_file(quick=False)).all()] == ["fine"]


def test_when_the_time_is_up_the_document_is_there_and_the_rest_is_left(root, monkeypatch):
    monkeypatch.setattr(objective_table, "within", lambda minutes: lambda: False)
    said: list[str] = []
    assert measure(table(most_minutes=1.0), Config(), said.append, run=never)["figures"] == []
    assert said[-1] == "the time is up: 2 cells are left for the next time"


def test_rows_that_workers_wrote_after_the_last_table_had_ended_are_taken_over(root):
    cell = Cell("fine", "react", MODEL, 0)
    SharedResults(root / "shared").put(cell, row_of(cell, level3_gold=0.75))
    done = row_of(Cell("fine", "rules_only", "none", 0))
    SharedResults(root / "shared").put(Cell("fine", "rules_only", "none", 0), done)
    measure(table(engine="ray", shared=root / "shared"), Config(), print, run=never)
    assert {r["name"]: r["level3_gold"] for r in Rows(rows_file(quick=False)).all()}[cell.name] == 0.75


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"engine": "slurm"}, "--engine 'slurm': one of local, ray"),
        ({"engine": "ray"}, "--engine ray needs --shared DIR"),
        ({"engine": "ray", "ray_address": "here", "shared": Path("x")}, "--ray-address 'here'"),
        ({"shared": Path("x")}, "--ray-address and --shared belong to --engine ray"),
        ({"most_minutes": 0.0}, "--most-minutes 0: more than 0"),
        ({"parts": ("cell",)}, "--parts 'cell': one of cells, reference, ray"),
    ],
)
def test_options_that_do_not_go_together_are_refused(more, message):
    with pytest.raises(WrongUse, match=message):
        checked(Table(**more))


@pytest.mark.parametrize(
    "option", [("--workflows", "reakt"), ("--models", "gpt-9"), ("--objectives", "nothing"), ("--repeats", "0")]
)
def test_the_command_refuses_what_does_not_exist(option):
    """`labwright.cli.main` turns the error into one line and its exit code."""
    result = CliRunner().invoke(app, ["bench", "objectives", *option])
    assert isinstance(result.exception, WrongUse)
    assert result.exception.exit_code == 2
    assert option[0] in str(result.exception)
    assert "\n" not in str(result.exception)


def test_the_list_shows_objectives_and_what_was_measured(root):
    Rows(root / "x").put({"kind": "x", "name": "x"})
    path = root / rows_file(quick=False)
    path.parent.mkdir(parents=True)
    Rows(path).put(row_of(Cell("fine", "react", MODEL, 0)))
    result = CliRunner().invoke(app, ["bench", "objectives", "--list", "--json", "--models", MODEL])
    assert result.exception is None
    found = {o["id"]: o for o in json.loads(result.stdout)}
    assert (found["fine"]["planned"], found["fine"]["planned_measured"]) == (8, 1)
    assert found["fine"]["measured"] == {f"fine/react/{MODEL}/0": 0.5}
    assert (found["bug"]["planned_measured"], found["bug"]["field"], found["bug"]["online"]) == (0, "clinical", False)


def test_committed_figures_are_computed_again_from_the_rows(root):
    document = measure(table(), Config(), print, run=fake_cell)
    folder = root / "docs" / "benchmarks"
    (folder / "objectives.json").write_text(json.dumps(document))
    assert verify_suite("objectives", folder) == []
    document["figures"][0]["value"] += 0.1
    (folder / "objectives.json").write_text(json.dumps(document))
    assert len(verify_suite("objectives", folder)) == 1


class Tags(HTMLParser):
    """What a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_rows(runs: Path) -> list[dict[str, Any]]:
    report = runs / "cells" / "a cell" / "run-1" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("report")
    (runs.parent / "secret").mkdir()
    (runs.parent / "secret" / "report.html").write_text("not a run")
    return [
        row_of(Cell(HOSTILE, "labwright", HOSTILE, 0), run="a cell/run-1", failed=HOSTILE, field=HOSTILE),
        row_of(Cell("fine", "labwright", HOSTILE, 0), run="gone/run-2", quality={m: {"code": 3.0, "judged": None} for m in METRICS}),
        row_of(Cell("fine", "react", HOSTILE, 0), run="../../secret"),
        row_of(Cell("fine", "one_shot", HOSTILE, 0), calls_valid=1),
    ]  # fmt: skip


def test_the_page_opens_with_hostile_names_and_shows_failures_links_and_what_is_gone(tmp_path):
    runs = tmp_path / "runs"
    rows = hostile_rows(runs)
    seen = Tags()
    seen.feed(page(rows, tmp_path / "out", runs))
    assert not {"script", "img", "iframe", "link"} & set(seen.tags)
    assert seen.links == ["../runs/cells/a%20cell/run-1/report.html"]
    assert (tmp_path / "out" / "../runs/cells/a cell/run-1/report.html").resolve().is_file()
    assert HOSTILE in seen.text
    assert "gone: gone/run-2" in seen.text
    assert "one_shot is no comparator: 0.25 of its 4 tool calls were valid, below 0.5" in seen.text
    assert "Default-src" not in seen.text


def test_a_page_of_nothing_says_so(tmp_path):
    assert "No cell was measured yet" in page([], tmp_path, tmp_path)


def test_every_cell_is_a_row_of_each_file(tmp_path):
    runs = tmp_path / "runs"
    rows = hostile_rows(runs)
    written = write_results(rows, tmp_path / "out", runs, print)
    assert [p.suffix for p in written] == [".json", ".csv", ".html", ".parquet"]
    assert json.loads(written[0].read_text()) == rows
    with written[1].open(newline="") as file:
        records = list(csv.DictReader(file))
    assert [r["name"] for r in records] == [r["name"] for r in rows]
    assert (records[1]["entries_met"], records[1]["entries"], records[1]["completeness_code"]) == ("1", "2", "3.0")
    parquet = pytest.importorskip("pyarrow.parquet").read_table(written[3])
    assert parquet.column("name").to_pylist() == [r["name"] for r in rows]
    assert parquet.column("completeness_code").to_pylist() == [None, 3.0, None, None]
    assert str(parquet.schema.field("completeness_judged").type) == "double"


def test_a_spreadsheet_runs_no_formula(tmp_path):
    made = cells_csv([row_of(Cell("fine", "react", "m", 0), failed='=HYPERLINK("http://x")')])
    assert next(csv.DictReader(made.splitlines()))["failed"] == '\'=HYPERLINK("http://x")'


def test_without_pyarrow_one_line_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    said: list[str] = []
    written = write_results([row_of(Cell("fine", "react", "m", 0))], tmp_path, tmp_path, said.append)
    assert [p.suffix for p in written] == [".json", ".csv", ".html"]
    assert len(said) == 1
    assert "labwright[parquet]" in said[0]
    assert os.listdir(tmp_path)


def test_an_unknown_judge_is_refused_before_anything_is_measured(root):
    with pytest.raises(WrongUse, match="--judge 'gpt-9': no such model"):
        measure(table(judge="gpt-9"), Config(), print, run=never)


def test_a_judge_does_not_judge_what_it_wrote(root):
    with pytest.raises(WrongUse, match="a judge must be another model"):
        measure(table(judge=MODEL), Config(), print, run=fake_cell)
