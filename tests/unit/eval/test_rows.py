"""Raw rows: appended whole, once where asked, and read again after a crash."""

from __future__ import annotations

import json
from multiprocessing import get_context
from pathlib import Path

import pytest
from fake_cells import CELL, put_many, share

from labwright.errors import RunFailed
from labwright.eval.suites.objective_cells import Cell
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.shared_results import SharedResults

ROW = {"kind": "cell", "name": "a", "value": 1}


def together(target, path: Path) -> None:
    processes = [get_context("spawn").Process(target=target, args=(path, n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0, 0, 0]


def test_a_row_that_is_there_is_not_written_again(tmp_path):
    rows = Rows(tmp_path / "x.jsonl")
    assert rows.put_once(ROW)
    assert not rows.put_once({**ROW, "value": 2})
    assert rows.put_once({**ROW, "kind": "noop"})
    assert [r["value"] for r in rows.all()] == [1, 1]


@pytest.mark.parametrize("torn", ['{"kind": "cell", "na', '{"kind": "ce', "{}", '{"kind": "cell", "name": "\udcff'])
def test_a_torn_last_line_is_dropped_with_a_note_and_measured_again(tmp_path, torn):
    path = tmp_path / "x.jsonl"
    path.write_bytes(json.dumps(ROW).encode() + b"\n" + torn.encode("utf-8", "surrogateescape"))
    rows = Rows(path)
    assert rows.all() == [ROW]
    assert "x.jsonl: the last line was torn" in rows.mend()
    assert rows.mend() == ""
    rows.put({**ROW, "name": "b"})
    assert path.read_text() == json.dumps(ROW) + "\n" + json.dumps({**ROW, "name": "b"}) + "\n"


def test_an_append_mends_what_was_torn_before_it(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(ROW) + '\n{"kind"')
    Rows(path).put({**ROW, "name": "b"})
    assert [r["name"] for r in Rows(path).all()] == ["a", "b"]


def test_a_whole_row_without_its_line_break_is_kept(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(ROW))
    rows = Rows(path)
    rows.put({**ROW, "name": "b"})
    assert [r["name"] for r in rows.all()] == ["a", "b"]


def test_a_damaged_line_in_the_middle_is_an_error_and_stays(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(ROW) + "\n<<<<<<< HEAD\n" + json.dumps(ROW) + "\n")
    before = path.read_bytes()
    for act in (Rows(path).all, Rows(path).mend, lambda: Rows(path).put(ROW)):
        with pytest.raises(RunFailed, match="line 2 is no row"):
            act()
    assert path.read_bytes() == before


def test_processes_that_append_at_once_write_each_row_once_and_whole(tmp_path):
    together(put_many, tmp_path / "x.jsonl")
    made = Rows(tmp_path / "x.jsonl").all()
    assert sorted(int(r["name"]) for r in made) == list(range(20))


def test_the_row_of_a_cell_is_shared_once(tmp_path):
    results = SharedResults(tmp_path)
    assert results.get(CELL) is None
    assert results.put(CELL, {"by": 1})
    assert not results.put(CELL, {"by": 2})
    assert results.get(CELL) == {"by": 1}
    assert len(list((tmp_path / "rows").iterdir())) == 1  # no draft is left


def test_of_processes_that_share_a_row_at_once_one_does(tmp_path):
    together(share, tmp_path)
    assert SharedResults(tmp_path).get(CELL)["by"] in (0, 1, 2)
    assert len(list((tmp_path / "rows").iterdir())) == 1


def test_cells_that_look_alike_as_file_names_are_apart(tmp_path):
    results = SharedResults(tmp_path)
    assert results.path(Cell("a", "react", "org/m", 0)) != results.path(Cell("a", "react", "org_m", 0))
    assert results.path(CELL).is_relative_to(tmp_path)
