"""Taking shift vectors from a model: over anchor prompts (data-set level), or for the prompt asked (sample level)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from labwright.errors import MetricUndefined, WrongUse
from labwright.safety.steering.corruption import Corruption, corrupted
from labwright.safety.steering.steerer import EVERYWHERE, Policy, Steerer, last_states
from labwright.safety.steering.vectors import Aggregate, ShiftVectors, aggregate, deviation

if TYPE_CHECKING:
    from PIL.Image import Image

Encode = Callable[[str, "Image | None"], Mapping[str, Any]]
"""From a prompt, with an image or without, to what the model's forward pass takes, one row; but for the image's
placeholder the two texts are the same, so that both end with the same token."""
KEPT = 256
"""Sample-level shifts that are kept, by prompt and corruption."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A prompt with the image that belongs to it."""

    text: str
    image: Image


def delta(model: nn.Module, encode: Encode, anchor: Anchor, corruption: Corruption, seed: int = 0) -> dict[int, Tensor]:
    """Text minus corrupted of one prompt; layer to (d,) float32.

    Raises:
        WrongUse: the two prompts end with different tokens, so that their last states cannot be compared.
    """
    plain = encode(anchor.text, None)
    meaningless = encode(anchor.text, corrupted(anchor.image, corruption, seed))
    if int(plain["input_ids"][0, -1]) != int(meaningless["input_ids"][0, -1]):
        raise WrongUse("the prompt ends with another token with an image than without; use a template that does not")
    without, with_image = last_states(model, plain), last_states(model, meaningless)
    return {layer: without[layer][0] - with_image[layer][0] for layer in without}


def extract(  # noqa: PLR0913  (a model, data, and how)
    model: nn.Module,
    encode: Encode,
    anchors: Iterable[Anchor],
    *,
    name: str,
    corruption: Corruption = "blank",
    how: Aggregate = "mean",
    report: Callable[[int], None] = lambda done: None,
) -> ShiftVectors:
    """Data-set level vectors.

    The mean is kept as a running one (Welford 1962); components need every delta, n x d numbers a layer.

    Args:
        model: in evaluation mode.
        encode: makes its inputs.
        anchors: harmful and ordinary prompts mixed: of one kind alone, modality and harmfulness are confounded.
        name: of the model, with its hash.
        corruption: of the anchors' images.
        how: the aggregate.
        report: called with the number of anchors read.

    Raises:
        MetricUndefined: there is no anchor.
        WrongUse: as `delta` and `aggregate`.
    """
    means: dict[int, Tensor] = {}
    lengths: dict[int, float] = {}
    kept: dict[int, list[Tensor]] = {}
    n = 0
    for n, anchor in enumerate(anchors, start=1):
        for layer, shift in delta(model, encode, anchor, corruption, n).items():
            before = means.get(layer, torch.zeros_like(shift))
            means[layer] = before + (shift - before) / n
            length = lengths.get(layer, 0.0)
            lengths[layer] = length + (float(shift.norm()) - length) / n
            if how != "mean":
                kept.setdefault(layer, []).append(shift)
        report(n)
    if not n:
        raise MetricUndefined("shift vectors need at least one anchor")
    layers = means if how == "mean" else {layer: aggregate(torch.stack(rows), how) for layer, rows in kept.items()}
    sigma = {layer: deviation(torch.stack(rows)) for layer, rows in kept.items()}
    return ShiftVectors(layers, name, how, corruption, n, sigma, lengths)


@dataclass(slots=True)
class SampleSteerer:
    """Sample level: the shift of the prompt that is asked, which costs two more readings of it, once a prompt."""

    model: nn.Module
    encode: Encode
    alpha: float = 0.5
    corruption: Corruption = "blank"
    policy: Policy = EVERYWHERE
    most_norm: Mapping[int, float] = field(default_factory=dict)
    """Layer to the greatest length of its shift; longer ones are shortened. Not in the paper: the shift of a
    prompt that asks what an image shows is longer than others, and all of it costs the answer."""
    _known: OrderedDict[tuple[str, str, tuple[int, int]], dict[int, Tensor]] = field(default_factory=OrderedDict)

    @contextmanager
    def steering(self, text: str, image: Image) -> Iterator[None]:
        """Steer the model while it answers this prompt about this image.

        Raises:
            WrongUse: as `delta` and `Steerer`.
        """
        if self.alpha == 0:
            yield
            return
        with Steerer(self.model, self._shift(text, image), self.alpha, self.policy):
            yield

    def _shift(self, text: str, image: Image) -> dict[int, Tensor]:
        # A mean colour or noise is of the image or its size; white and black of its size alone, which is in the key.
        key = (text, self.corruption, image.size)
        if key not in self._known or self.corruption == "mean_colour":
            self._known[key] = delta(self.model, self.encode, Anchor(text, image), self.corruption)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return {layer: _capped(v, self.most_norm.get(layer)) for layer, v in self._known[key].items()}


def _capped(vector: Tensor, most: float | None) -> Tensor:
    length = float(vector.norm())
    return vector if most is None or length <= most else vector * (most / length)


def split_anchors(ids: Sequence[str], share: float = 0.2, seed: int = 0) -> tuple[list[str], list[str]]:
    """Anchor and test ids, disjoint, in the order given; `share` of them, rounded, are anchors.

    Raises:
        WrongUse: an id occurs twice, or one side would be empty.
    """
    import random

    if len(set(ids)) < len(ids):
        raise WrongUse("an id occurs twice; an anchor must not be tested on")
    n = round(share * len(ids))
    if not 0 < n < len(ids):
        raise WrongUse(f"{share:g} of {len(ids)} prompts leaves no anchor or nothing to test on")
    chosen = set(random.Random(seed).sample(list(ids), n))  # noqa: S311  (a split, not a secret)
    return [i for i in ids if i in chosen], [i for i in ids if i not in chosen]
