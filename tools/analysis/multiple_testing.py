"""False discovery rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FDR_LIMIT = 0.05
"""False discovery rate below which a result is called a finding."""


def benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p values of Benjamini and Hochberg 1995 (step-up), missing values left out.

    Args:
        p: p values, length n; NaN where no test was made.

    Returns:
        Adjusted values in [0, 1], NaN where p is NaN.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.02, 0.9])).round(3).tolist()
        [0.03, 0.03, 0.9]
    """
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(-p[tested], kind="stable")]
    ranks = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * len(order) / ranks))
    return adjusted
