"""Graphs of TensorFlow in torch: operations against values worked out by hand, containers, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_faces
import torch
from tiny_faces import node, text, whole

from labwright.errors import WrongUse
from labwright.safety.faces.frozen_graph import FrozenGraph
from labwright.safety.faces.graph_files import Graph, Node, _graph_message, read_graph

IMAGE = np.arange(16, dtype="<f4").reshape(1, 1, 4, 4)


def run(tmp_path: Path, nodes: list[dict[str, object]], image: np.ndarray = IMAGE, **weights: np.ndarray) -> np.ndarray:
    path = tiny_faces.graph_file(tmp_path, "g", [node("image", "Placeholder"), *nodes], weights)
    return FrozenGraph(read_graph(path), "out")(torch.from_numpy(image)).numpy()


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, "<f4")


@pytest.mark.parametrize(
    ("padding", "strides", "expected"),
    [
        # Even sizes and a stride of two: the missing row and column are at the end.
        ("SAME", (1, 2, 2, 1), [[45, 39], [66, 50]]),
        ("SAME", (1, 1, 1, 1), [[10, 18, 24, 18], [27, 45, 54, 39], [51, 81, 90, 63], [42, 66, 72, 50]]),
        ("VALID", (1, 1, 1, 1), [[45, 54], [81, 90]]),
    ],
)
def test_padding_is_that_of_tensorflow(tmp_path: Path, padding: str, strides: tuple[int, ...], expected) -> None:
    out = node("out", "Conv2D", "image", "kernel", padding=text(padding), strides=whole(*strides))
    made = run(tmp_path, [out], kernel=ones(3, 3, 1, 1))
    assert made[0, 0].tolist() == expected


def test_a_kernel_is_height_width_in_out(tmp_path: Path) -> None:
    kernel = np.zeros((1, 2, 2, 3), "<f4")
    kernel[0, 1, 0, 2] = 10  # the right neighbour in channel 0 goes to channel 2
    image = np.stack([IMAGE[0, 0], 100 + IMAGE[0, 0]])[None]
    out = node("out", "Conv2D", "image", "kernel", padding=text("VALID"), strides=whole(1, 1, 1, 1))
    made = run(tmp_path, [out], image, kernel=kernel)
    assert made.shape == (1, 3, 4, 3)
    assert made[0, 2, 0].tolist() == [10, 20, 30]
    assert not made[0, :2].any()


def test_each_channel_has_its_own_depthwise_kernels(tmp_path: Path) -> None:
    kernel = np.array([[[[1, 2], [3, 4]]]], "<f4")  # 1 x 1, two channels, two kernels each
    image = np.stack([IMAGE[0, 0], 100 + IMAGE[0, 0]])[None]
    out = node("out", "DepthwiseConv2dNative", "image", "kernel", padding=text("SAME"), strides=whole(1, 1, 1, 1))
    made = run(tmp_path, [out], image, kernel=kernel)
    assert made[0, :, 0, 1].tolist() == [1, 2, 303, 404]


def test_constants_spread_over_channels_and_flattening_is_in_tensorflows_order(tmp_path: Path) -> None:
    image = np.arange(8, dtype="<f4").reshape(1, 2, 2, 2)  # channel, row, column
    nodes = [node("sum", "AddV2", "offset", "image"), node("out", "Reshape", "sum", "shape")]
    made = run(tmp_path, nodes, image, offset=np.array([0, 100], "<f4"), shape=np.array([-1, 8], "<i4"))
    assert made.tolist() == [[0, 104, 1, 105, 2, 106, 3, 107]]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (node("out", "Mean", "image", "axes", keep_dims={"b": False}), [[7.5]]),
        (node("out", "Sum", "image", "axes", keep_dims={"b": True}), [[[[120.0]]]]),
        (node("out", "Squeeze", "mean", squeeze_dims=whole(1, 2)), [[7.5]]),
        (node("out", "Pad", "mean", "edges"), [[[[0, 0, 0], [0, 7.5, 0]]]]),
        (node("out", "MaxPool", "image", ksize=whole(1, 3, 3, 1), strides=whole(1, 2, 2, 1), padding=text("SAME")),
         [[[[10, 11], [14, 15]]]]),
        (node("out", "AvgPool", "image", ksize=whole(1, 4, 4, 1), strides=whole(1, 4, 4, 1), padding=text("VALID")),
         [[[[7.5]]]]),
        (node("out", "ConcatV2", "mean", "mean", "last"), [[[[7.5]], [[7.5]]]]),
    ],
    ids=lambda v: v["op"] if isinstance(v, dict) else "",
)  # fmt: skip
def test_operations_that_name_axes(tmp_path: Path, operation: dict[str, object], expected) -> None:
    nodes = [node("mean", "Mean", "image", "axes", keep_dims={"b": True}), operation]
    made = run(
        tmp_path, nodes, axes=np.array([1, 2], "<i4"), last=np.array(3, "<i4"),
        edges=np.array([[0, 0], [1, 0], [1, 1], [0, 0]], "<i4"),
    )  # fmt: skip
    assert made.tolist() == expected


def test_fused_operations_come_in_their_order(tmp_path: Path) -> None:
    fused = {"list": {"s": [text("BiasAdd")["s"], text("Relu6")["s"]]}}
    out = node(
        "out",
        "_FusedConv2D",
        "image",
        "kernel",
        "bias",
        padding=text("VALID"),
        strides=whole(1, 1, 1, 1),
        fused_ops=fused,
    )
    made = run(tmp_path, [out], kernel=ones(1, 1, 1, 2), bias=np.array([-5, -14], "<f4"))
    assert made[0, 0].ravel()[[0, 6, 10, 15]].tolist() == [0, 1, 5, 6]
    assert made[0, 1].ravel()[[0, 15]].tolist() == [0, 1]


def test_a_protocol_buffer_holds_the_same_graph(tmp_path: Path) -> None:
    message = _graph_message()()
    message.node.add(name="image", op="Placeholder")
    for name, values in (("kernel", np.full((3, 3, 1, 1), 2, "<f4")), ("offset", np.array([1], "<f4"))):
        one = message.node.add(name=name, op="Const")
        tensor = one.attr["value"].tensor
        tensor.dtype = 1
        for size in values.shape:
            tensor.shape.dim.add(size=size)
        if name == "kernel":
            tensor.content = values.tobytes()
        else:
            tensor.floats.append(1.0)
    conv = message.node.add(name="conv", op="Conv2D", input=["image:0", "kernel"])
    conv.attr["padding"].s = b"VALID"
    conv.attr["strides"].list.i.extend([1, 1, 1, 1])
    message.node.add(name="out", op="BiasAdd", input=["conv", "offset", "^image"])
    path = tmp_path / "g.pb"
    path.write_bytes(message.SerializeToString())
    made = FrozenGraph(read_graph(path), "out")(torch.from_numpy(IMAGE))
    assert made[0, 0].tolist() == [[91, 109], [163, 181]]


def test_gradients_flow_to_the_image(tmp_path: Path) -> None:
    recogniser = tiny_faces.team(tmp_path, 3)[0]
    image = torch.full((2, 3, 112, 112), 90.0, requires_grad=True)
    recogniser.embed(image)[:, 0].sum().backward()
    assert image.grad.abs().sum() > 0
    assert torch.allclose(recogniser.embed(image).norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        (b"{", ".json", "not a frozen graph"),
        (b"[]", ".json", "not a frozen graph"),
        (b'{"modelTopology": {"node": []}}', ".json", "not a frozen graph"),
        (b"\x0a\xff\xff\xff", ".pb", "not a frozen graph"),
        (b"", ".pb", "not a frozen graph"),
    ],
)
def test_files_that_are_no_graph(tmp_path: Path, content: bytes, suffix: str, message: str) -> None:
    path = tmp_path / f"g{suffix}"
    path.write_bytes(content)
    with pytest.raises(WrongUse, match=f"g{suffix}: {message}"):
        read_graph(path)
    with pytest.raises(WrongUse, match="cannot be read"):
        read_graph(tmp_path / f"absent{suffix}")


def test_weights_that_are_cut_short(tmp_path: Path) -> None:
    path = tiny_faces.graph_file(tmp_path, "g", [node("image", "Placeholder")], {"w": ones(4, 4)})
    (tmp_path / "g.bin").write_bytes(bytes(40))
    with pytest.raises(WrongUse, match="not a frozen graph"):
        read_graph(path)


@pytest.mark.parametrize(
    ("nodes", "output", "message"),
    [
        ([Node("image", "Placeholder", ())], "absent", "no node 'absent'"),
        ([Node("image", "Placeholder", ()), Node("out", "Einsum", ("image",))], "out", "uses Einsum"),
        (
            [Node("a", "Placeholder", ()), Node("b", "Placeholder", ()), Node("out", "Add", ("a", "b"))],
            "out",
            "2 inputs",
        ),
        ([Node("a", "Relu", ("out",)), Node("out", "Relu", ("a",))], "out", "round in a circle"),
    ],
)
def test_graphs_that_are_no_recogniser(nodes: list[Node], output: str, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        FrozenGraph(Graph(tuple(nodes), {}), output)
