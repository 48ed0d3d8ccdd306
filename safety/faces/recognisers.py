"""Face recognisers behind one interface: boxed faces in, unit vectors out.

Those that a mask is learned against are differentiable; dlib's is not, sees the photo itself, and no training sees it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from labwright.errors import ConfigInvalid, WrongUse
from labwright.models.weights import Progress, pull, silent
from labwright.safety.faces.boxing import Box, Pixels, boxed, resized
from labwright.safety.faces.frozen_graph import FrozenGraph
from labwright.safety.faces.graph_files import read_graph

Embedding = NDArray[np.float32]
"""A unit vector of one face."""
Observer = Callable[[Pixels, Box], Embedding]
"""What looks at a face in a photo."""


class Recogniser(Protocol):
    """A differentiable recogniser."""

    @property
    def name(self) -> str:
        """What it is called in figures and keys."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Boxed faces (n, 3, 112, 112) in grey levels to unit vectors (n, d)."""
        ...


class Card(BaseModel):
    """How a frozen graph is used as a recogniser; a TOML file of the user holds one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[\w.-]{1,60}$")
    graph: str
    """File of the graph: `.pb`, or `.json` of TensorFlow.js with its binary beside it."""
    output: str
    """Node whose value is the embedding."""
    size: int = Field(ge=32, le=1024)
    """Side of what the graph takes, pixels."""
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted, in the order of `channels`."""
    scale: float = Field(default=1.0, gt=0)
    """Divides after that."""
    standardise: bool = False
    """Each image to mean 0 and deviation 1, in place of mean and scale."""
    threshold: float = Field(ge=-1, le=1)
    """Cosine from which two faces count as one person's."""


KNOWN: dict[str, Card] = {
    "facenet": Card(name="facenet", graph="facenet.pb", output="embeddings", size=160, standardise=True,
                    threshold=0.6),
    "faceres": Card(name="faceres", graph="faceres.json", output="global_pooling/Mean", size=224, channels="bgr",
                    mean=(103.939, 116.779, 123.68), threshold=0.62),
    "faceres-deep": Card(name="faceres-deep", graph="faceres-deep.json", output="global_pooling/Mean", size=224,
                         channels="bgr", mean=(103.939, 116.779, 123.68), threshold=0.68),
}  # fmt: skip
"""FaceNet's Inception-ResNet-v1 (embedding of 512) and two MobileNets of FaceRes (1,024), all published under MIT.

Two more nets of the same package, mobileface and mobilefacenet, are left out: as published they do not tell people
apart (the latter's activations were fused in the wrong order when it was converted). Thresholds lie between the
likenesses of the few public photos at hand (docs/privacy.md): no study stands behind them.
"""
TEAM = ("facenet", "faceres")
"""Who a mask is learned against unless told otherwise: different architectures; the near relative stays unseen."""


@dataclass(frozen=True, slots=True)
class GraphRecogniser:
    """A frozen graph and its card."""

    card: Card
    graph: FrozenGraph
    source: str
    """What opens it again: a known name, or the path of a card."""

    @property
    def name(self) -> str:
        """Name of the card."""
        return self.card.name

    def embed(self, images: Tensor) -> Tensor:
        """Boxed faces (n, 3, 112, 112) in grey levels to unit vectors (n, d)."""
        made = self.graph(self.prepared(resized(images, self.card.size)))
        return F.normalize(made.flatten(1), dim=1)

    def prepared(self, images: Tensor) -> Tensor:
        """Grey levels as the graph's authors fed them."""
        if self.card.channels == "bgr":
            images = images.flip(1)
        if self.card.standardise:
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            spread = images.std(dim=(1, 2, 3), keepdim=True, unbiased=False)
            return (images - mean) / spread.clamp(min=images[0].numel() ** -0.5)
        return (images - torch.tensor(self.card.mean).view(1, 3, 1, 1)) / self.card.scale


def open_recogniser(name: str, progress: Progress = silent) -> GraphRecogniser:
    """A recogniser by its name, its weights fetched first where they are not here, or by the user's TOML card.

    Raises:
        WrongUse: neither a known name nor a card, or the graph is not one.
        ConfigInvalid: the card is wrong.
        SomethingMissing: the weights are not here and cannot be fetched.
    """
    if name in KNOWN:
        return _known(name, progress)
    path = Path(name)
    if path.suffix != ".toml":
        raise WrongUse(f"{name!r} is no recogniser: one of {', '.join(KNOWN)}, or a .toml card (docs/privacy.md)")
    try:
        card = Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"{path}: cannot be read as TOML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigInvalid(f"{path}: {wrong}; see docs/privacy.md") from error
    return _opened(card, path.parent, str(path.resolve()))


@cache
def _known(name: str, progress: Progress) -> GraphRecogniser:
    return _opened(KNOWN[name], pull("face-recognisers", progress=progress), name)


def _opened(card: Card, folder: Path, source: str) -> GraphRecogniser:
    return GraphRecogniser(card, FrozenGraph(read_graph(folder / card.graph), card.output).eval(), source)


def observer(recogniser: Recogniser) -> Observer:
    """A recogniser that looks at a photo: it boxes the face first."""

    def look(pixels: Pixels, box: Box) -> Embedding:
        with torch.no_grad():
            made = recogniser.embed(boxed(pixels, box).image[None])[0]
        return np.asarray(made.numpy(), np.float32)

    return look


class Dlib:
    """dlib's 29-layer residual net of 128 numbers, on a face straightened by five landmarks."""

    name = "dlib"

    def __init__(self, progress: Progress = silent) -> None:
        import dlib

        folder = pull("dlib-faces", progress=progress)
        self._dlib: Any = dlib
        self._landmarks = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        self._net = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))

    def __call__(self, pixels: Pixels, box: Box) -> Embedding:
        """The face in `box`, as a unit vector."""
        pixels = np.ascontiguousarray(pixels)  # dlib takes no views
        place = self._dlib.rectangle(box.left, box.top, box.right - 1, box.bottom - 1)
        shape = self._landmarks(pixels, place)
        made = np.asarray(self._net.compute_face_descriptor(pixels, shape), np.float32)
        return made / np.linalg.norm(made)


def open_team(names: Sequence[str], progress: Progress = silent) -> list[GraphRecogniser]:
    """Several recognisers, each once.

    Raises:
        WrongUse: none, one twice, or as for :func:`open_recogniser`.
    """
    if not names or len(set(names)) != len(names):
        raise WrongUse(f"recognisers are named once each, and at least one: {', '.join(names) or 'none'}")
    return [open_recogniser(n, progress) for n in names]


def open_observers(names: Sequence[str], progress: Progress = silent) -> dict[str, Observer]:
    """Recognisers that only look, by name: `dlib`, known ones and cards.

    Raises:
        WrongUse: as for :func:`open_recogniser`.
    """
    made: dict[str, Observer] = {}
    for name in names:
        if name == Dlib.name:
            made[name] = Dlib(progress)
        else:
            opened = open_recogniser(name, progress)
            made[opened.name] = observer(opened)
    return made
