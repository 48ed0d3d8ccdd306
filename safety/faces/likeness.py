"""How alike two pictures, and two faces, are: SSIM, PSNR, the angle between embeddings."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
K1, K2, RANGE = 0.01, 0.03, 255.0


def gaussian(size: int = WINDOW, sigma: float = SIGMA) -> Tensor:
    """The window of SSIM in one dimension, of sum 1; shape (size,)."""
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    values = torch.exp(-(x**2) / (2 * sigma**2))
    return values / values.sum()


def ssim(left: Tensor, right: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of pictures in grey levels 0 to 255, each in [-1, 1].

    A Gaussian window of 11 pixels and sigma 1.5 that stays inside the picture; mean over places and channels.

    Args:
        left: shape (n, c, h, w), h and w at least 11.
        right: the same.

    Returns:
        Shape (n,).

    Raises:
        ValueError: shapes differ, or a side is shorter than the window.
    """
    if left.shape != right.shape or min(left.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM compares pictures of one shape, 11 pixels or more: {left.shape} and {right.shape}")
    channels = left.shape[1]
    line = gaussian().to(left.dtype)
    row = line.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    column = line.view(1, 1, -1, 1).expand(channels, 1, -1, 1)

    def local(values: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(values, row, groups=channels), column, groups=channels)

    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    mean_l, mean_r = local(left), local(right)
    squares = local(left**2 + right**2) - mean_l**2 - mean_r**2
    product = local(left * right) - mean_l * mean_r
    brightness = (2 * mean_l * mean_r + c1) / (mean_l**2 + mean_r**2 + c1)
    return (brightness * (2 * product + c2) / (squares + c2)).mean(dim=(1, 2, 3))


def dissimilarity(left: Tensor, right: Tensor) -> Tensor:
    """DSIM, (1 - SSIM) / 2, in [0, 1]; shape (n,)."""
    return (1 - ssim(left, right)) / 2


def psnr(left: Tensor, right: Tensor) -> float:
    """Peak signal to noise ratio in dB; infinite for equal pictures."""
    error = float(((left.double() - right.double()) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(RANGE**2 / error)


def angle(left: Tensor, right: Tensor) -> Tensor:
    """Angle between unit vectors in radians; shape (n, d) to (n,).

    Twice the arc sine of half the chord: the arc cosine of the product has no slope at 0.
    """
    half = ((left - right).norm(dim=-1) / 2).clamp(max=1 - 1e-7)
    return 2 * torch.asin(half)
