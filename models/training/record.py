"""training.json: the record of a finished training."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import torch

from labwright.models.training.examples import TrainingData, duplicates
from labwright.models.training.session import Session


@dataclass(frozen=True, slots=True)
class Ended:
    """Figures of a finished training."""

    steps: int
    loss: float
    heldout_loss: float | None
    """After the last step."""
    heldout_before: float | None
    """Before the first."""
    tokens: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For training.json; a loss that is unknown is null."""
        figures = asdict(self)
        return {**figures, "loss": None if math.isnan(self.loss) else self.loss, "seconds": round(self.seconds, 2)}


def record(session: Session, dataset: TrainingData, base: dict[str, Any], ended: Ended) -> dict[str, Any]:
    """What training.json holds: settings, data, base, versions and figures."""
    from importlib.metadata import version

    config, data, run = session.run.config, session.data, session.run
    return {
        "format": 1,
        "base": base,
        "base_sha256": base["sha256"],
        "config": config.model_dump(mode="json"),
        "hooks": session.identity["hooks"],
        "data": {
            "source": dataset.source,
            "licence": dataset.licence,
            "sha256": dataset.sha256(),
            "examples": len(data.rows),
            "properties": dict(Counter(row.property for row in data.rows)),
            "heldout": len(session.heldout.rows) if session.heldout else 0,
            "duplicates": duplicates(dataset.train),
            "truncated": data.truncated,
            "left_out": list(data.dropped),
        },
        "parameters": {
            "trained": sum(p.numel() for p in run.parameters.values()),
            "all": sum(p.numel() for p in run.model.parameters()),
        },
        "processes": run.accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "accelerate", "labwright")},
        "result": ended.as_json(),
    }
