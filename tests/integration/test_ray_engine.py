"""Cells on a real Ray cluster of this machine, with workers that are really killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_cells import begun, fake_cell

from labwright.errors import SomethingMissing
from labwright.eval.suites.cell_work import Work
from labwright.eval.suites.objective_cells import Cell
from labwright.eval.suites.ray_engine import Cluster, carry_out, connected
from labwright.eval.suites.ray_kills import kills_during
from labwright.eval.suites.shared_results import SharedResults

pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One of our own for all tests, since its start takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        # Workers inherit the environment, not the path that pytest made.
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        with connected(Cluster(shared=tmp_path_factory.mktemp("unused"), workers=2)):
            yield


def test_a_cluster_carries_cells_out_and_says_what_gave_no_row(tmp_path: Path) -> None:
    made: list[dict] = []
    shared = tmp_path / "shared"
    work = Work(run=fake_cell, runs=tmp_path, keep=made.append, say=lambda text: None)
    cells = [Cell("fine", "react", "org/m", seed) for seed in range(3)] + [Cell("bug", "react", "org/m", 0)]
    there = Cell("there", "react", "org/m", 0)
    SharedResults(shared).put(there, {"kind": "cell", "name": there.name, "from": "a worker that died after it"})
    cluster = Cluster(shared=shared, workers=2)
    broken = carry_out([*cells, there, Cell("dies_once", "react", "org/m", 0)], work, cluster)
    with pytest.raises(SomethingMissing, match=r"^no engine answers; `make engine`$"):
        carry_out([Cell("no_engine", "react", "org/m", 0)], work, cluster)
    assert sorted(r["name"] for r in made) == sorted(
        [*(c.name for c in cells[:3]), there.name, "dies_once/react/org/m/0"]
    )
    assert [b.cell for b in broken] == [cells[3]]
    assert "ZeroDivisionError" in broken[0].error
    runs = shared / "runs"
    assert [begun(runs, name) for name in ("fine", "bug", "there", "dies_once")] == [3, 1, 0, 2]


def test_kills_of_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    """Three kills, since a worker's start takes seconds; the benchmark's committed rows hold ten on real cells."""
    cells = [Cell("slow", "react", "m", seed) for seed in range(6)]
    found = kills_during(fake_cell, cells, tmp_path, kills=3)
    assert (found["cells"], found["kills"], found["lost"], found["doubled"]) == (6, 3, 0, 0)
    assert found["after_row"] == 1
    # A kill before the row costs an execution; one after it none, since the row is there when the cell comes again.
    assert found["begun"] == begun(tmp_path / "runs", "slow") == 6 + 2
