"""What a reader of the conversion gives. Runs inside the sandbox only."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd


@dataclass(slots=True)
class Raw:
    """A data set as read, before columns are picked and recoded."""

    samples: pd.DataFrame
    """Raw sample columns, indexed by sample name."""
    matrix: pd.DataFrame | None = None
    """Features by samples."""
    extra: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Further tables under their file names."""
