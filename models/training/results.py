"""What a training reports while it runs, and what it comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """What is reported while a training runs: a note, or how far it is."""

    note: str = ""
    """Something to say; the figures are of no matter then."""
    step: int = 0
    steps: int = 0
    loss: float = math.nan
    """Of the last step, nats per answer token, terms included."""
    heldout_loss: float | None = None
    tokens_per_s: float = math.nan
    """Tokens of prompts and answers, without padding, since the last report."""
    remaining_s: float = math.nan
    """Estimated from the seconds of the steps of this invocation."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training came to."""

    folder: Path
    """Holds the adapter or the weights, the tokenizer, training.json and README.md."""
    steps: int
    loss: float
    """Of the last step, nats per answer token."""
    heldout_loss: float | None
    """After the last step; None without held-out examples."""
    tokens: int
    """Tokens of prompts and answers that were trained on, without padding."""
    seconds: float
    """Of all invocations together."""
    facts: dict[str, Any]
    """What training.json holds."""
    model: Any = field(repr=False)
    """The trained model, with its adapters."""


def silent(progress: Progress) -> None:
    """A report that shows nothing."""
