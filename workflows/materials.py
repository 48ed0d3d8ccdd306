"""What the nodes of a run work with, gathered once and bound when the graph is built."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.agents.untrusted import Guard
from labwright.config import Config, Role
from labwright.domain import Objective, Paper
from labwright.lease import compute_lease
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.safety.picture_gate import CLOSED, Gate
from labwright.safety.untrusted_text import Screened, screened
from labwright.sandbox.connect import limits_of
from labwright.sandbox.contract import Job, Limits, Result, Sandbox
from labwright.store import RunStore
from labwright.tools.index import Encoder
from labwright.tools.sources import LiteratureSource
from labwright.workflows.baselines import Workflow
from labwright.workflows.guards import guard_of


@dataclass(frozen=True, kw_only=True)
class Materials:
    """Everything outside the state."""

    objective: Objective
    config: Config
    store: RunStore
    log: CallLog
    sessions: Mapping[Role, Session | None]
    """None for a role plays it by rules alone."""
    eyes: Session | None = None
    """Of the model that reads figures; None where none is configured."""
    gate: Gate = CLOSED
    """What pictures from outside pass before that model sees them."""
    encode: Encoder
    sources: Sequence[LiteratureSource]
    check_retractions: Callable[[Sequence[Paper]], list[Paper]] = list
    """Gives papers the standing that can be found out; the default leaves them as their source gave them."""
    cards: Mapping[str, Mapping[str, Any]]
    sandbox: Sandbox
    seed: int
    say: Callable[[str], None]
    """Shows progress."""
    on_stage: Callable[[str, CallLog], None] = lambda stage, log: None
    """Told when a stage is entered."""

    workflow: Workflow = "labwright"
    """Ours, or one to compare with."""
    literature: Path | None = None
    """Run folder whose papers and reports are taken over instead of searching and reading."""
    lease: Callable[[], AbstractContextManager[None]] = compute_lease
    """Held while a job runs in the sandbox."""
    screen: Callable[[str], Screened] = screened
    """What strangers' text goes through before a model sees it."""

    @property
    def guard(self) -> Guard:
        """How the agents read strangers' text in this run."""
        return guard_of(self.objective, self.seed, self.screen)

    def run_job(self, job: Job, out: Path) -> Result:
        """Run a job in the sandbox while holding the lease; its seconds are counted."""
        asked = time.monotonic()
        with self.lease():
            self.log.spend("", "waiting", time.monotonic() - asked)
            with self.log.spending("", "sandbox"):
                return self.sandbox.run(job, out)

    def convert(self, script: str, inputs: Mapping[str, Path], out: Path) -> None:
        """Run a conversion of the catalogue in the sandbox.

        Raises:
            RunFailed: the script failed.
        """
        from labwright.workflows.data import run_conversion

        run_conversion(self.run_job, script, inputs, out)

    @property
    def limits(self) -> Limits:
        """Limits of an analysis job."""
        return limits_of(self.config.sandbox)

    def papers(self, ids: Sequence[str]) -> list[Paper]:
        """Papers of the run folder."""
        return [self.store.read(self.store.path("papers", f"{i}.json"), Paper) for i in ids]
