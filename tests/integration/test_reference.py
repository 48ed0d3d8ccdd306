"""Every offline objective is met in full by its reference script, and not at all by an agent that does nothing.

Two sandbox jobs an objective: the script, and the operators' own checks over its outputs and over hollow copies.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from labwright.eval.suites.objectives import load
from labwright.eval.suites.reference import judged

pytestmark = pytest.mark.docker
OFFLINE = [item for item in load() if not item.online]


@pytest.mark.parametrize("item", OFFLINE, ids=lambda item: item.id)
def test_honest_work_meets_an_objective_and_nothing_does_not(item, sandbox, tmp_path: Path) -> None:
    outcome = judged(item, sandbox.run, tmp_path)
    assert outcome.failed == ()
    assert [name for name, held in {**outcome.reference.outputs, **outcome.reference.gold}.items() if not held] == []
    assert outcome.reference.rate == 1.0
    assert outcome.noop.rate == 0.0
    assert len(list(tmp_path.glob("constant/*/*.csv"))) >= len(item.required_outputs) // 2
