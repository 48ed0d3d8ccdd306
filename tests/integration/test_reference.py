"""Offline objectives are met in full by their reference scripts, and not at all by an agent that does nothing.

Two sandbox jobs an objective: the script, and the operators' own checks over its outputs and over hollow copies. Every
day one objective of each kind of analysis; all of them before objectives are measured (`make test-objectives`).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labwright.eval.suites.objectives import load
from labwright.eval.suites.reference import judged

EVERY_DAY = (
    "infarction_prognosis",
    "metastasis_signature",
    "dexamethasone_airway",
    "tissue_identity",
    "braf_sensitivity",
)
ALL = os.environ.get("LABWRIGHT_ALL_OBJECTIVES") == "1"
OFFLINE = [item for item in load() if not item.online and (ALL or item.id in EVERY_DAY)]


def test_every_operator_is_exercised_every_day() -> None:
    every_day = {name for item in load() if item.id in EVERY_DAY for o in item.required_outputs for name in o.operator}
    assert every_day == {name for item in load() for o in item.required_outputs for name in o.operator}


@pytest.mark.docker
@pytest.mark.parametrize("item", OFFLINE, ids=lambda item: item.id)
def test_honest_work_meets_an_objective_and_nothing_does_not(item, sandbox, tmp_path: Path) -> None:
    outcome = judged(item, sandbox.run, tmp_path)
    assert outcome.failed == ()
    assert [name for name, held in {**outcome.reference.outputs, **outcome.reference.gold}.items() if not held] == []
    assert outcome.reference.rate == 1.0
    assert outcome.noop.rate == 0.0
    assert len(list(tmp_path.glob("constant/*/*.csv"))) >= len(item.required_outputs) // 2
