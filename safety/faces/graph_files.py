"""Files of TensorFlow's inference graphs, read without TensorFlow.

Two containers hold the same list of nodes: a `GraphDef` in protocol buffers (`.pb`), and the JSON and binary of
TensorFlow.js.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from labwright.errors import WrongUse

DTYPES = {1: "<f4", 3: "<i4", 9: "<i8"}
"""Types of a TensorProto that constants of such graphs have."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: what it is called, does, takes, and how it is set."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in any order, and the values of the constants among them."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray[Any, Any]]


def read_graph(path: Path) -> Graph:
    """A graph from a `.pb` file, or from the `.json` of TensorFlow.js with its binary beside it.

    Raises:
        WrongUse: the file cannot be read, or is neither.
    """
    try:
        return _from_javascript(path) if path.suffix == ".json" else _from_protocol(path.read_bytes())
    except OSError as error:
        raise WrongUse(f"{path}: cannot be read: {error.strerror}") from error
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise WrongUse(f"{path}: not a frozen graph of TensorFlow or TensorFlow.js ({error})") from error


def _from_javascript(path: Path) -> Graph:
    raw = json.loads(path.read_text(encoding="utf-8"))
    nodes = tuple(
        Node(n["name"], n["op"], tuple(n.get("input", ())),
             {key: _json_attribute(value) for key, value in n.get("attr", {}).items()})
        for n in raw["modelTopology"]["node"]
    )  # fmt: skip
    constants: dict[str, np.ndarray[Any, Any]] = {}
    for group in raw["weightsManifest"]:
        data = b"".join((path.parent / Path(name).name).read_bytes() for name in group["paths"])
        at = 0
        for weight in group["weights"]:
            constants[weight["name"]], at = _json_weight(weight, data, at)
    return Graph(nodes, constants)


def _json_weight(weight: Mapping[str, Any], data: bytes, at: int) -> tuple[np.ndarray[Any, Any], int]:
    kept = weight.get("quantization", {}).get("dtype", weight["dtype"])
    if kept not in ("float32", "float16", "int32"):
        raise ValueError(f"weights kept as {kept}")
    dtype = np.dtype(kept).newbyteorder("<")
    count = int(np.prod(weight["shape"], dtype=int))
    values = np.frombuffer(data, dtype, count, at).reshape(weight["shape"])
    return values.astype(weight["dtype"]), at + count * dtype.itemsize


def _json_attribute(value: Mapping[str, Any]) -> Any:
    if "s" in value:
        return base64.b64decode(value["s"]).decode()
    if "list" in value:
        held = value["list"]
        return [base64.b64decode(s).decode() for s in held["s"]] if "s" in held else [int(i) for i in held.get("i", ())]
    if "i" in value:
        return int(value["i"])
    return value.get("f", value.get("b"))


def _from_protocol(data: bytes) -> Graph:
    from google.protobuf.message import DecodeError

    message = _graph_message()()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    if not message.node:
        raise ValueError("no nodes")
    nodes, constants = [], {}
    for raw in message.node:
        attributes = {key: _attribute(value) for key, value in raw.attr.items()}
        if raw.op == "Const":
            constants[raw.name] = _tensor(raw.attr["value"].tensor)
        inputs = tuple(i for i in raw.input if not i.startswith("^"))
        nodes.append(Node(raw.name, raw.op, inputs, {k: v for k, v in attributes.items() if v is not None}))
    return Graph(tuple(nodes), constants)


def _attribute(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "s":
        return value.s.decode("latin-1")
    if kind == "list":
        return [s.decode("latin-1") for s in value.list.s] or list(value.list.i)
    return getattr(value, kind) if kind in ("i", "f", "b") else None


def _tensor(message: Any) -> np.ndarray[Any, Any]:
    shape = [d.size for d in message.shape.dim]
    dtype = np.dtype(DTYPES[message.dtype])
    if message.content:
        return np.frombuffer(message.content, dtype).reshape(shape)
    given = np.asarray({1: message.floats, 3: message.ints, 9: message.longs}[message.dtype], dtype)
    count = int(np.prod(shape, dtype=int))
    return (np.repeat(given, count) if given.size == 1 else given).reshape(shape)


@functools.cache
def _graph_message() -> type[Any]:
    """The parts of TensorFlow's GraphDef that frozen graphs hold, so that TensorFlow need not be installed.

    Field numbers are those of graph.proto, node_def.proto, attr_value.proto, tensor.proto and tensor_shape.proto.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="labwright_frozen_graph.proto", package="frozen", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, Any, bool]) -> Any:
        made = file.message_type.add(name=name)
        for title, number, kind, many in fields:
            one = made.field.add(name=title, number=number)
            one.label = kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL
            if isinstance(kind, str):
                one.type, one.type_name = kinds.TYPE_MESSAGE, f".frozen.{kind}"
            else:
                one.type = kind
        return made

    message("Dimension", ("size", 1, kinds.TYPE_INT64, False))
    message("Shape", ("dim", 2, "Dimension", True))
    message("Tensor", ("dtype", 1, kinds.TYPE_INT32, False), ("shape", 2, "Shape", False),
            ("content", 4, kinds.TYPE_BYTES, False), ("floats", 5, kinds.TYPE_FLOAT, True),
            ("ints", 7, kinds.TYPE_INT32, True), ("longs", 10, kinds.TYPE_INT64, True))  # fmt: skip
    message("Values", ("s", 2, kinds.TYPE_BYTES, True), ("i", 3, kinds.TYPE_INT64, True))
    value = message("Value", ("list", 1, "Values", False), ("s", 2, kinds.TYPE_BYTES, False),
                    ("i", 3, kinds.TYPE_INT64, False), ("f", 4, kinds.TYPE_FLOAT, False),
                    ("b", 5, kinds.TYPE_BOOL, False), ("tensor", 8, "Tensor", False))  # fmt: skip
    value.oneof_decl.add(name="value")
    for one in value.field:
        one.oneof_index = 0
    node = message("Node", ("name", 1, kinds.TYPE_STRING, False), ("op", 2, kinds.TYPE_STRING, False),
                   ("input", 3, kinds.TYPE_STRING, True), ("attr", 5, "Node.AttrEntry", True))  # fmt: skip
    entry = node.nested_type.add(name="AttrEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=kinds.TYPE_MESSAGE, type_name=".frozen.Value",
                    label=kinds.LABEL_OPTIONAL)  # fmt: skip
    message("Graph", ("node", 1, "Node", True))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made: type[Any] = message_factory.GetMessageClass(pool.FindMessageTypeByName("frozen.Graph"))
    return made
