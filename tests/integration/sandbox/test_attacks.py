"""The attack suite as users run it, and what it leaves behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from labwright.sandbox.attacks.leftovers import leftovers
from labwright.sandbox.attacks.suite import attacks, run
from labwright.sandbox.contract import Job
from labwright.sandbox.docker_engine import DockerSandbox

pytestmark = [pytest.mark.docker, pytest.mark.alone]


def test_every_attack_is_held_and_leaves_nothing(sandbox: DockerSandbox) -> None:
    outcomes = run(sandbox, attacks(), lambda _: None)
    through = {outcome.name: outcome.stopped_by for outcome in outcomes if not outcome.held}
    assert not through
    assert len(outcomes) >= 40
    assert leftovers(sandbox) == dict.fromkeys(leftovers(sandbox), 0)


def test_what_is_still_there_is_counted(sandbox: DockerSandbox, tmp_path: Path) -> None:
    job = Job(script="import time; print('started', flush=True); time.sleep(4)", run_id="counted")
    running = threading.Thread(target=sandbox.run, args=(job, tmp_path / "out"))
    running.start()
    seen = leftovers(sandbox)
    while running.is_alive() and not (seen["processes"] and seen["containers"]):
        time.sleep(0.1)
        seen = leftovers(sandbox)
    running.join()
    assert {name: count > 0 for name, count in seen.items()} == {
        "containers": True, "volumes": True, "mounts": False, "processes": True, "folders": True,
    }  # fmt: skip
    assert not any(leftovers(sandbox).values())
