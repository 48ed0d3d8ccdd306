"""A backend that writes free Python: its script runs in the sandbox and is judged by the same checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_run import materials

from labwright.agents import programming
from labwright.models.ask import Session
from labwright.models.calls import Budget, CallLog
from labwright.models.scripted import ScriptedChat
from labwright.safety.code_screen import screen_code
from labwright.sandbox.contract import Limits
from labwright.tools.catalogue.catalogue import card, load_cards
from labwright.workflows.data import data_folder

FREE = """\
import pandas as pd
from labwright.tools.analysis import open_study, survival_curves

samples = pd.read_parquet("/in/gbsg2/samples.parquet")
print(len(samples), "patients,", samples["hormone_therapy"].value_counts().to_dict())
survival_curves(open_study("/in/gbsg2", seed=0), group_column="hormone_therapy")
"""
MADE_UP = """\
import numpy as np
import pandas as pd
rng = np.random.default_rng(0)
samples = pd.DataFrame({"time": rng.exponential(900, 686), "event": rng.integers(0, 2, 686)})
samples.to_csv("survival_curves.csv", index=False)
"""


def bench(folder: Path, sandbox, replies: list[str]) -> tuple[programming.Workbench, ScriptedChat]:
    made = materials(folder)
    rules = [
        {"match": "It failed:", "reply": json.dumps({"plan": "mend it", "script": replies[-1]})},
        {"match": "Write|script", "reply": json.dumps({"plan": "Kaplan-Meier", "script": replies[0]})},
    ]
    chat = ScriptedChat(rules=rules)
    log = CallLog(folder / "free.sqlite", Budget())
    return programming.Workbench(
        store=made.store, run_job=sandbox.run, data_dir=lambda name: data_folder(name, sandbox.run), card=card,
        screen=screen_code, limits=Limits(), seed=0,
        session=Session(role="programming", backend="scripted", chat=chat, log=log, writes_code=True),
    ), chat  # fmt: skip


def task_of(folder: Path) -> programming.Task:
    from labwright.agents import design
    from labwright.domain import Objective

    assert "gbsg2" in {c["id"] for c in load_cards()}
    protocol = design.skeleton(Objective(text="Does hormone therapy delay recurrence?"), ["survival_curves"], "gbsg2")
    part = protocol.parts[-1]
    step = part.steps[0].model_copy(update={"parameters": {"group_column": "hormone_therapy", "feature": None}})
    parts = (part.model_copy(update={"steps": (step,)}),)
    return programming.plan_tasks(protocol.model_copy(update={"parts": parts}), 0)[0]


@pytest.mark.docker
def test_free_code_reaches_level_3_by_the_checks_of_the_operator(sandbox, tmp_path):
    workbench, _ = bench(tmp_path, sandbox, [FREE])
    result = programming.run_task(workbench, materials(tmp_path).objective, task_of(tmp_path))
    assert result.level == 3, result.attempts[-1].error
    assert [a.origin for a in result.attempts] == ["free"]
    assert all(finding["value"] is not None for finding in result.findings)


@pytest.mark.docker
def test_made_up_data_fails_and_the_error_goes_back_to_the_model(sandbox, tmp_path):
    workbench, _ = bench(tmp_path, sandbox, [MADE_UP, FREE])
    result = programming.run_task(workbench, materials(tmp_path).objective, task_of(tmp_path))
    assert [a.level for a in result.attempts] == [1, 3], [a.error for a in result.attempts]
    assert "not written" in result.attempts[0].error
