"""What a run is likely to take: what runs of its kind have taken here, never a guess."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from labwright.config import ROLES, Config
from labwright.domain import RunRecord
from labwright.models.weights import manifest


class Spread(BaseModel):
    """Median and extremes."""

    model_config = ConfigDict(frozen=True)
    median: float
    low: float
    high: float


class Estimate(BaseModel):
    """What `n` ended runs of the same workflow and models took."""

    model_config = ConfigDict(frozen=True)
    n: int
    seconds: Spread
    tokens: Spread
    """Prompt tokens evaluated plus tokens generated."""

    @property
    def sentence(self) -> str:
        """For reading."""
        minutes, tokens = self.seconds, self.tokens
        return (
            f"{self.n} such run{'s' * (self.n > 1)} took {minutes.median / 60:.1f} minutes ({minutes.low / 60:.1f} to "
            f"{minutes.high / 60:.1f}) and {tokens.median:.0f} tokens ({tokens.low:.0f} to {tokens.high:.0f}), "
            "median and extremes"
        )


def models_of_config(config: Config) -> frozenset[str]:
    """Models that the roles of a configuration use, as the records of runs name them: files without their folder."""
    known = manifest()
    named = {config.backend_of(role)[1].model for role in ROLES}
    return frozenset(_base(known[name].files[0].name if name in known else name) for name in named)


def estimate(records: Iterable[RunRecord], workflow: str, models: frozenset[str]) -> Estimate | None:
    """The spread over ended runs of the same kind; None when there is none.

    Args:
        records: of all runs.
        workflow: of the run to come.
        models: of :func:`models_of_config`; not looked at when the workflow asks no model.
    """
    alike = [r for r in records if r.status == "done" and r.workflow == workflow and r.seconds > 0]
    if workflow != "rules_only":
        alike = [r for r in alike if r.models and _used(r) == models]
    if not alike:
        return None
    tokens = [float(r.evaluated_tokens + r.generated_tokens) for r in alike]
    return Estimate(n=len(alike), seconds=_spread([r.seconds for r in alike]), tokens=_spread(tokens))


def _used(record: RunRecord) -> frozenset[str]:
    return frozenset(_base(str(facts.get("model", ""))) for facts in record.models.values())


def _base(model: str) -> str:
    return model.rstrip("/").rsplit("/", 1)[-1]


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median=statistics.median(values), low=min(values), high=max(values))
