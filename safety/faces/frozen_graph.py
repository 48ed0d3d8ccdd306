"""Inference graphs of TensorFlow as differentiable torch functions: face recognisers are published in that form.

Only the operations of feed-forward image networks are known; a graph with another one is refused. Images
are laid out (n, height, width, channels) in these graphs, and are in torch (n, channels, height, width): activations of
four dimensions are kept in torch's layout, and what names an axis is translated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labwright.errors import WrongUse
from labwright.models.same_padding import same_edges
from labwright.safety.faces.graph_files import Graph, Node

AXES = (0, 2, 3, 1)
"""Where torch keeps the axes batch, height, width, channels."""


class FrozenGraph(nn.Module):
    """The path of a graph from its one input to one output.

    Args:
        graph: the graph.
        output: name of the node whose value is wanted.

    Raises:
        WrongUse: no such node, not exactly one input, or an operation that is not known here.
    """

    def __init__(self, graph: Graph, output: str) -> None:
        super().__init__()
        by_name = {n.name: n for n in graph.nodes}
        if output not in by_name:
            raise WrongUse(f"the graph has no node {output!r}; its last one is {graph.nodes[-1].name!r}")
        path = _path(by_name, output)
        unknown = sorted({n.op for n in path} - set(OPERATIONS) - {"Const", "Placeholder"})
        if unknown:
            raise WrongUse(f"the graph uses {', '.join(unknown)}, which this reader does not know")
        places = [n.name for n in path if n.op == "Placeholder"]
        if len(places) != 1:
            raise WrongUse(f"the graph has {len(places)} inputs; a recogniser has one")
        self._place, self._output = places[0], output
        self._steps = [n for n in path if n.op not in ("Const", "Placeholder")]
        self._fixed: dict[str, str] = {}
        for number, node in enumerate(n for n in path if n.op == "Const"):
            self._fixed[node.name] = f"c{number}"
            self.register_buffer(f"c{number}", torch.from_numpy(np.array(graph.constants[node.name])))

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, channels, height, width) as the graph's authors prepared them, to the output node's value."""
        values: dict[str, Tensor] = {name: getattr(self, buffer) for name, buffer in self._fixed.items()}
        values[self._place] = images
        for node in self._steps:
            values[node.name] = OPERATIONS[node.op](node, *(values[_bare(i)] for i in node.inputs))
        return values[self._output]


def _bare(name: str) -> str:
    return name.partition(":")[0]


def _path(by_name: Mapping[str, Node], output: str) -> list[Node]:
    """What the output needs, inputs before what takes them."""
    done: dict[str, Node] = {}
    waiting = [output]
    while waiting:
        node = by_name[waiting[-1]]
        missing = [_bare(i) for i in node.inputs if _bare(i) not in done]
        if missing:
            if len(waiting) > len(by_name):
                raise WrongUse("the graph goes round in a circle")
            waiting += missing
        else:
            done[waiting.pop()] = node
    return list(done.values())


# Operations: each takes its node and the values of its inputs.


def _pair(node: Node, name: str) -> tuple[int, int]:
    given = node.attributes.get(name) or (1, 1, 1, 1)
    return int(given[1]), int(given[2])


def _same(node: Node, images: Tensor, kernel: tuple[int, int], value: float = 0.0) -> Tensor:
    """Padding of TensorFlow."""
    if node.attributes["padding"] == "VALID":
        return images
    if node.attributes["padding"] != "SAME":
        raise WrongUse(f"{node.name}: padding {node.attributes['padding']!r} is not known here")
    edges = same_edges(images.shape[2:], kernel, _pair(node, "strides"), _pair(node, "dilations"))
    return F.pad(images, edges, value=value) if any(edges) else images


def _convolve(node: Node, images: Tensor, kernel: Tensor, *others: Tensor) -> Tensor:
    weight = kernel.permute(3, 2, 0, 1)
    padded = _same(node, images, (weight.shape[2], weight.shape[3]))
    made = F.conv2d(padded, weight, stride=_pair(node, "strides"), dilation=_pair(node, "dilations"))
    return _fused(node, made, others)


def _depthwise(node: Node, images: Tensor, kernel: Tensor, *others: Tensor) -> Tensor:
    height, width, channels, times = kernel.shape
    weight = kernel.permute(2, 3, 0, 1).reshape(channels * times, 1, height, width)
    padded = _same(node, images, (height, width))
    made = F.conv2d(padded, weight, stride=_pair(node, "strides"), dilation=_pair(node, "dilations"), groups=channels)
    return _fused(node, made, others)


def _fused(node: Node, made: Tensor, others: Sequence[Tensor]) -> Tensor:
    """What an optimised graph does right after a product: a bias, an activation."""
    rest = list(others)
    for name in node.attributes.get("fused_ops", ()):
        if name == "BiasAdd":
            made = _bias(node, made, rest.pop(0))
        elif name == "Relu":
            made = F.relu(made)
        elif name == "Relu6":
            made = F.relu6(made)
        elif name == "Prelu":
            slope = _aligned(rest.pop(0), made)
            made = torch.where(made >= 0, made, made * slope)
        else:
            raise WrongUse(f"{node.name}: the fused operation {name!r} is not known here")
    return made


def _bias(node: Node, value: Tensor, bias: Tensor) -> Tensor:
    return value + _aligned(bias, value)


def _aligned(given: Tensor, other: Tensor) -> Tensor:
    """A constant that TensorFlow would spread over (n, height, width, channels), in torch's layout."""
    if other.dim() != 4 or given.dim() == 0:
        return given
    whole = given.reshape((1,) * (4 - given.dim()) + tuple(given.shape))
    return whole if given.dim() == 4 and given.shape == other.shape else whole.permute(0, 3, 1, 2)


def _binary(do: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def apply(node: Node, left: Tensor, right: Tensor) -> Tensor:
        if left.dim() == right.dim():
            return do(left, right)
        return do(left, _aligned(right, left)) if left.dim() > right.dim() else do(_aligned(left, right), right)

    return apply


def _unary(do: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda node, value: do(value)


def _axes(value: Tensor, axes: Tensor) -> tuple[int, ...]:
    given = [int(a) % value.dim() for a in axes.reshape(-1)]
    return tuple(AXES[a] for a in given) if value.dim() == 4 else tuple(given)


def _reduce(do: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def apply(node: Node, value: Tensor, axes: Tensor) -> Tensor:
        return do(value, dim=_axes(value, axes), keepdim=bool(node.attributes.get("keep_dims", False)))

    return apply


def _squeeze(node: Node, value: Tensor) -> Tensor:
    given = node.attributes.get("squeeze_dims") or [i for i in range(value.dim()) if value.shape[i] == 1]
    return torch.squeeze(value, _axes(value, torch.tensor(list(given))))


def _pad(node: Node, value: Tensor, edges: Tensor) -> Tensor:
    by_axis = {axis: edges[i].tolist() for i, axis in enumerate(AXES)} if value.dim() == 4 else dict(
        enumerate(edges.tolist()))  # fmt: skip
    return F.pad(value, [side for axis in reversed(range(value.dim())) for side in by_axis[axis]])


def _reshape(node: Node, value: Tensor, shape: Tensor) -> Tensor:
    """Flattening is in the order of TensorFlow, so that weights after it fit."""
    wanted = [int(s) for s in shape.reshape(-1)]
    plain = value.permute(0, 2, 3, 1) if value.dim() == 4 else value
    made = plain.reshape(wanted)
    return made.permute(0, 3, 1, 2) if made.dim() == 4 else made


def _pool(node: Node, images: Tensor, *, most: bool) -> Tensor:
    kernel, stride = _pair(node, "ksize"), _pair(node, "strides")
    if most:
        return F.max_pool2d(_same(node, images, kernel, float("-inf")), kernel, stride)
    if node.attributes["padding"] != "VALID":
        raise WrongUse(f"{node.name}: an average with padding is not known here")
    return F.avg_pool2d(images, kernel, stride)


def _normalise(node: Node, value: Tensor, *parts: Tensor) -> Tensor:
    scale, offset, mean, variance = parts
    epsilon = float(node.attributes.get("epsilon") or 0.0)
    return F.batch_norm(value, mean, variance, scale, offset, training=False, eps=epsilon)


def _concatenate(node: Node, *values: Tensor) -> Tensor:
    return torch.cat(values[:-1], dim=_axes(values[0], values[-1])[0])


def _multiply(node: Node, value: Tensor, matrix: Tensor, *others: Tensor) -> Tensor:
    left = value.T if node.attributes.get("transpose_a") else value
    right = matrix.T if node.attributes.get("transpose_b") else matrix
    return _fused(node, left @ right, others)


OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add),
    "AddV2": _binary(torch.add),
    "AvgPool": functools.partial(_pool, most=False),
    "BiasAdd": _bias,
    "ConcatV2": _concatenate,
    "Conv2D": _convolve,
    "DepthwiseConv2dNative": _depthwise,
    "FusedBatchNorm": _normalise,
    "FusedDepthwiseConv2dNative": _depthwise,
    "Identity": _unary(lambda value: value),
    "MatMul": _multiply,
    "Maximum": _binary(torch.maximum),
    "MaxPool": functools.partial(_pool, most=True),
    "Mean": _reduce(torch.mean),
    "Minimum": _binary(torch.minimum),
    "Mul": _binary(torch.mul),
    "Pad": _pad,
    "Relu": _unary(F.relu),
    "Reshape": _reshape,
    "Rsqrt": _unary(torch.rsqrt),
    "Square": _unary(torch.square),
    "Squeeze": _squeeze,
    "Sub": _binary(torch.sub),
    "Sum": _reduce(torch.sum),
    "_FusedConv2D": _convolve,
    "_FusedMatMul": _multiply,
}
