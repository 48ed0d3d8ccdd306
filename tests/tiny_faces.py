"""Recognisers of a few thousand random weights, portraits made of smooth colours, and a detector that finds them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from labwright.safety.faces.boxing import Box, Pixels
from labwright.safety.faces.photos import Photo
from labwright.safety.faces.recognisers import GraphRecogniser, open_recogniser

SIDE = 32
FACE = Box(40, 30, 120, 140)


def node(name: str, op: str, *inputs: str, **attributes: object) -> dict[str, object]:
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def graph_file(folder: Path, name: str, nodes: list[dict[str, object]], weights: dict[str, np.ndarray]) -> Path:
    """A graph in the form of TensorFlow.js."""
    folder.mkdir(parents=True, exist_ok=True)
    constants = [node(key, "Const") for key in weights]
    listed = [{"name": k, "shape": list(v.shape), "dtype": str(v.dtype)} for k, v in weights.items()]
    (folder / f"{name}.bin").write_bytes(b"".join(v.tobytes() for v in weights.values()))
    document = {
        "format": "graph-model",
        "modelTopology": {"node": [*constants, *nodes]},
        "weightsManifest": [{"paths": [f"{name}.bin"], "weights": listed}],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


def text(value: str) -> dict[str, str]:
    return {"s": base64.b64encode(value.encode()).decode()}


def whole(*values: int) -> dict[str, object]:
    return {"list": {"i": [str(v) for v in values]}}


def card(folder: Path, seed: int, threshold: float = 0.9) -> Path:
    """A recogniser: one convolution, one product, random weights."""
    rng = np.random.default_rng(seed)
    weights = {
        "kernel": rng.normal(0, 0.3, (5, 5, 3, 8)).astype("<f4"),
        "bias": np.zeros(8, "<f4"),
        "shape": np.array([-1, 8 * 8 * 8], "<i4"),
        "matrix": rng.normal(0, 0.1, (8 * 8 * 8, 16)).astype("<f4"),
    }
    nodes = [
        node("image", "Placeholder"),
        node("conv", "_FusedConv2D", "image", "kernel", "bias", padding=text("SAME"), strides=whole(1, 4, 4, 1),
             fused_ops={"list": {"s": [text("BiasAdd")["s"], text("Relu")["s"]]}}),
        node("flat", "Reshape", "conv", "shape"),
        node("out", "MatMul", "flat", "matrix"),
    ]  # fmt: skip
    name = f"tiny{seed}"
    graph_file(folder, name, nodes, weights)
    path = folder / f"{name}.toml"
    path.write_text(
        f'name = "{name}"\ngraph = "{name}.json"\noutput = "out"\nsize = {SIDE}\nmean = [100.0, 100.0, 100.0]\n'
        f"scale = 50.0\nthreshold = {threshold}\n"
    )
    return path


def team(folder: Path, *seeds: int, threshold: float = 0.9) -> list[GraphRecogniser]:
    return [open_recogniser(str(card(folder, seed, threshold))) for seed in seeds]


def portrait(person: int, shot: int) -> Pixels:
    """A photo of black around a face: the person's colours, and a little of the shot's own."""
    face = 3 * pattern(person) + 0.4 * pattern(1000 + 50 * person + shot)
    pixels = np.zeros((200, 180, 3), np.uint8)
    pixels[FACE.rows, FACE.columns] = (128 + 22 * face).clip(40, 215).astype(np.uint8)
    return pixels


def pattern(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).normal(0, 1, (6, 6, 3))
    return ndimage.zoom(coarse, (FACE.height / 6, FACE.width / 6, 1), order=1)


def photo(person: int, shot: int) -> Photo:
    pixels = portrait(person, shot)
    return Photo(f"{person}-{shot}.png", pixels, bright(pixels)[0])


def bright(pixels: Pixels) -> list[Box]:
    """The detector of these portraits: what is not black, one box for each piece."""
    lit, _ = ndimage.label((pixels > 12).any(axis=2))
    found = [Box(c.start, r.start, c.stop, r.stop) for r, c in ndimage.find_objects(lit)]
    return sorted((b for b in found if min(b.width, b.height) >= 30), key=lambda b: -b.width * b.height)
