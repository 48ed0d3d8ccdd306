"""TensorFlow's padding: sizes by its rule, and the odd row and column at the end."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import conv2d, pad

from labwright.models.same_padding import same_edges


@pytest.mark.parametrize("size", [(7, 7), (8, 5), (224, 223)])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [((3, 3), (2, 2), (1, 1)), ((5, 2), (1, 3), (1, 1)), ((3, 3), (1, 1), (2, 4))])  # fmt: skip
def test_a_padded_convolution_has_the_size_over_the_stride_rounded_up(size, kernel, stride, dilation):
    edges = same_edges(size, kernel, stride, dilation)
    made = conv2d(pad(torch.zeros(1, 1, *size), edges), torch.zeros(1, 1, *kernel), stride=stride, dilation=dilation)
    assert made.shape[2:] == tuple(math.ceil(n / s) for n, s in zip(size, stride, strict=True))


def test_the_odd_row_and_column_are_at_the_end():
    assert same_edges((224, 224), (3, 3), (2, 2)) == [0, 1, 0, 1]
    assert same_edges((4, 10), (2, 5), (1, 1)) == [2, 2, 0, 1]
    assert same_edges((7, 7), (1, 1), (2, 2)) == [0, 0, 0, 0]
