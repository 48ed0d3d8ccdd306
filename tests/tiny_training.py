"""Data of a tiny training, and trainings in processes of their own that tests kill, interrupt or run in parallel.

The processes are forked: importing torch and peft anew takes longer than the trainings. They use one thread, since the
thread pool of OpenMP does not survive a fork.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable

from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.hooks import Hook

WORDS = ["gene", "protein", "tumour", "kinase", "receptor", "cohort", "survival", "marker", "ligand", "enzyme", "cell"]
DATA = TrainingData(
    train=tuple(Example(f"Say {w} {n} times", " ".join([w] * n), id=f"{w}{n}") for n in (1, 2) for w in WORDS),
    heldout=(Example("Say tissue once", "tissue", id="held"),),
    source="words",
)


class Pause(Hook):
    """Gives a test the time to strike between two steps."""

    name = "pause"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def after_step(self, run):
        time.sleep(self.seconds)


def forked(job: Callable[[], object]) -> int:
    """Start `job` in a process; its exit code is 0, 130 after an interrupt, 1 after an error. Returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        job()
        code = 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001  (the edge of the process)
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a forked process; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def is_running(pid: int) -> bool:
    """It has not ended; an ended one is left for `ended` to collect."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
