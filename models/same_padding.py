"""Padding "SAME" of TensorFlow, which torch lacks: as much as the strides need, the odd row and column at the end."""

from __future__ import annotations

from collections.abc import Sequence


def same_edges(
    size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1)
) -> list[int]:
    """Rows and columns to add around images, as `torch.nn.functional.pad` takes them: left, right, top, bottom.

    Args:
        size: height and width of the images.
        kernel: height and width.
        stride: down and across.
        dilation: down and across.
    """
    edges: list[int] = []
    for axis in (1, 0):  # torch pads the last axis first
        wide = (kernel[axis] - 1) * dilation[axis] + 1
        missing = max((-(-size[axis] // stride[axis]) - 1) * stride[axis] + wide - size[axis], 0)
        edges += [missing // 2, missing - missing // 2]
    return edges
