"""Cells in processes of this machine: those that die, those that are killed, and those that must not start."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from fake_cells import begun, endless_table, fake_cell

from labwright.errors import SomethingMissing
from labwright.eval.suites.cell_work import Work
from labwright.eval.suites.local_engine import DEATHS, measure_here, width_of
from labwright.eval.suites.objective_cells import Cell


def cell(objective: str, seed: int = 0) -> Cell:
    return Cell(objective, "react", "m", seed)


def engine(runs: Path, **more) -> tuple[Work, list, list]:
    made: list = []
    said: list = []
    return Work(run=fake_cell, runs=runs, keep=made.append, say=said.append, **more), made, said


def test_every_cell_gives_its_row_and_says_what_it_does(tmp_path):
    work, made, said = engine(tmp_path)
    assert measure_here([cell("fine", s) for s in range(3)], work, 2) == []
    assert sorted(r["seed"] for r in made) == [0, 1, 2]
    assert "fine/react/m/1: begun" in said
    assert begun(tmp_path, "fine") == 3


def test_a_process_that_dies_is_begun_again_and_takes_no_other_with_it(tmp_path):
    work, made, said = engine(tmp_path)
    broken = measure_here([cell("dies_once"), cell("dies"), cell("fine")], work, 2)
    assert sorted(r["objective"] for r in made) == ["dies_once", "fine"]
    assert [(b.cell.objective, b.error) for b in broken] == [("dies", f"its process died with -9, {DEATHS} times")]
    assert (begun(tmp_path, "dies_once"), begun(tmp_path, "dies")) == (2, DEATHS)
    assert sum("it is begun again" in line for line in said) == 1 + DEATHS - 1


def test_a_cell_killed_from_outside_is_carried_out_again(tmp_path):
    """A kill of the process that carries it out, in the middle of its work."""
    work, made, _ = engine(tmp_path)

    def kill() -> None:
        while not begun(tmp_path, "slow"):
            time.sleep(0.02)
        mark = next(tmp_path.glob("slow.*"))
        os.kill(int(mark.name.split(".")[2]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert measure_here([cell("slow")], work, 1) == []
    killer.join()
    assert [r["name"] for r in made] == ["slow/react/m/0"]
    assert begun(tmp_path, "slow") == 2


def test_a_fault_in_a_cell_is_no_row_and_the_others_go_on(tmp_path):
    work, made, _ = engine(tmp_path)
    broken = measure_here([cell("bug"), cell("fine")], work, 1)
    assert [b.error for b in broken] == ["ZeroDivisionError: a fault of the programmer"]
    assert [r["objective"] for r in made] == ["fine"]


def test_a_missing_engine_stops_the_table_and_keeps_what_was_measured(tmp_path):
    work, made, _ = engine(tmp_path)
    with pytest.raises(SomethingMissing, match="make engine") as raised:
        measure_here([cell("fine"), cell("no_engine"), cell("fine", 1)], work, 1)
    assert raised.value.exit_code == 4
    assert [r["seed"] for r in made] == [0]


def test_the_row_of_another_cell_is_refused(tmp_path):
    work, _, _ = engine(tmp_path)
    with pytest.raises(ValueError, match="other_row/react/m/0 calls itself cell x/react/m/0"):
        measure_here([cell("other_row")], work, 1)


def test_when_the_time_is_up_no_cell_is_begun_and_those_that_run_end(tmp_path):
    made: list = []
    work = Work(run=fake_cell, runs=tmp_path, keep=made.append, say=lambda t: None, may_start=lambda: not begun(tmp_path, "fine"))  # fmt: skip
    assert measure_here([cell("fine", s) for s in range(3)], work, 1) == []
    assert [r["seed"] for r in made] == [0]


def test_a_table_that_is_killed_leaves_no_cell_behind(tmp_path):
    parent = multiprocessing.get_context("spawn").Process(target=endless_table, args=(tmp_path,))
    parent.start()
    while not (marks := list(tmp_path.glob("forever.*"))):
        time.sleep(0.05)
    child = psutil.Process(int(marks[0].name.split(".")[2]))
    parent.kill()
    parent.join()
    child.wait(timeout=20)


@pytest.mark.parametrize(("embedded", "cores", "width"), [(True, 1, 1), (True, 2, 1), (True, 8, 2), (False, 2, 2)])
def test_embedded_models_get_a_small_machine_one_after_the_other(embedded, cores, width):
    assert width_of(embedded=embedded, cores=cores) == width
