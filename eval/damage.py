"""Known damage to a protocol: what a valid metric must see, and what the others must not.

Each kind of damage has one metric that should fall. Strength is the share of its targets (steps, numbers, data sets,
parts, tools) that are hit; with one seed a stronger damage hits what a weaker one hits, and more. The words that
blur a number are partly unknown to the metrics (`eval/protocol_words.py`), as a stranger's would be.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labwright.eval.protocol_reading import Reading, ReadPart, ReadStep
from labwright.eval.protocol_words import QUANTITY

STRENGTHS = (0.15, 0.3, 0.45, 0.6, 0.75)
TARGETS: Mapping[str, str] = {
    "steps_dropped": "completeness",
    "steps_shuffled": "logical_soundness",
    "numbers_blurred": "level_of_detail",
    "datasets_invented": "correctness",
    "tools_invented": "correctness",
    "parts_duplicated": "structural_soundness",
}
"""Kind of damage to the metric that should fall."""
BLURS = (
    "several", "a suitable number of", "some", "a few", "an adequate", "a moderate", "enough", "a handful of",
    "a low", "as many as needed", "the usual", "a reasonable", "a fair", "sufficient",
)  # fmt: skip
INVENTED_DATA = ("GSE990{0}17", "OncoSurvBank-{0}", "E-LABW-77{0}", "helix_cohort_{0}", "TCGA-QX{0}")
INVENTED_TOOLS = ("DeepSurvNet{0}", "quantomics_{0}", "CellOracleX{0}", "biopipe-{0}", "AutoMarker{0}")
_STEP_MENTION = re.compile(r"\b(?:steps?|parts?)\s+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged protocol and where it was hit."""

    reading: Reading
    steps: frozenset[str]
    """Ids of the steps that are now wrong; empty for dropped steps, which are not there to be pointed at."""


def damage(reading: Reading, kind: str, strength: float, seed: int) -> Damaged:
    """Damage a protocol.

    Args:
        reading: a good protocol.
        kind: one of `TARGETS`.
        strength: share of the targets that are hit, in [0, 1]; 0 changes nothing.
        seed: of the choice; with one seed, what a weaker damage hits a stronger one hits too.

    Raises:
        ValueError: no such kind, or a strength out of range.
    """
    if kind not in TARGETS or not 0 <= strength <= 1:
        raise ValueError(f"damage {kind!r} of strength {strength}: one of {', '.join(TARGETS)}, in [0, 1]")
    return _KINDS[kind](reading, strength, random.Random(f"{kind}:{seed}"))  # noqa: S311  (reproducible, not secret)


def _hit(n: int, strength: float, rng: random.Random) -> list[int]:
    order = rng.sample(range(n), n)
    return order[: math.ceil(round(strength * n, 9))]


def _change(reading: Reading, changed: Mapping[int, ReadStep]) -> Reading:
    """The protocol with the steps at some places exchanged."""
    at = iter(range(sum(len(p.steps) for p in reading.parts)))
    parts = tuple(replace(p, steps=tuple(changed.get(next(at), s) for s in p.steps)) for p in reading.parts)
    return replace(reading, parts=parts)


def _drop(reading: Reading, strength: float, rng: random.Random) -> Damaged:
    gone = set(_hit(len(list(reading.steps())), strength, rng))
    at = iter(range(sum(len(p.steps) for p in reading.parts)))
    parts = tuple(replace(p, steps=tuple(s for s in p.steps if next(at) not in gone)) for p in reading.parts)
    return Damaged(replace(reading, parts=parts), frozenset())


def _shuffle(reading: Reading, strength: float, rng: random.Random) -> Damaged:
    steps = list(reading.steps())
    hit = _hit(len(steps), strength, rng)
    if len(hit) < 2:
        hit = (hit + [i for i in range(len(steps)) if i not in hit])[: 2 if strength else 0]
    # A cycle leaves no hit step in its place, which a free permutation may.
    changed = {to: steps[source] for to, source in zip(hit, hit[1:] + hit[:1], strict=True)}
    moved = frozenset(steps[i].id for i in hit)
    return Damaged(_change(reading, changed), moved)


def _blur(reading: Reading, strength: float, rng: random.Random) -> Damaged:
    """Numbers of texts, and numbers among the settings, become words."""
    steps = list(reading.steps())
    places: list[tuple[int, int | str]] = [(i, m.start()) for i, s in enumerate(steps) for m in _numbers(s.text)]
    places += [(i, k) for i, s in enumerate(steps) for k, v in s.parameters.items() if _numeric(v)]
    hit = {places[i]: rng.choice(BLURS) for i in _hit(len(places), strength, rng)}
    changed = {i: _blurred(steps[i], {where: word for (at, where), word in hit.items() if at == i}) for i, _ in hit}
    return Damaged(_change(reading, changed), frozenset(steps[i].id for i in changed))


def _blurred(step: ReadStep, words: Mapping[int | str, str]) -> ReadStep:
    text = QUANTITY.sub(lambda match: words.get(match.start(), match[0]), step.text)
    return replace(step, text=text, parameters={k: words.get(k, v) for k, v in step.parameters.items()})


def _numbers(text: str) -> list[re.Match[str]]:
    return [m for m in QUANTITY.finditer(text) if not _STEP_MENTION.search(text[: m.start()])]


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _invent_data(reading: Reading, strength: float, rng: random.Random) -> Damaged:
    steps = list(reading.steps())
    named = [i for i, s in enumerate(steps) if s.datasets]
    changed = {}
    for i in (named[j] for j in _hit(len(named), strength, rng)):
        made = tuple(rng.choice(INVENTED_DATA).format(rng.randint(1, 9)) for _ in steps[i].datasets)
        changed[i] = _renamed(replace(steps[i], datasets=made), steps[i].datasets, made)
    return Damaged(_change(reading, changed), frozenset(steps[i].id for i in changed))


def _invent_tools(reading: Reading, strength: float, rng: random.Random) -> Damaged:
    steps = list(reading.steps())
    named = [i for i, s in enumerate(steps) if s.tool]
    changed = {}
    for i in (named[j] for j in _hit(len(named), strength, rng)):
        made = rng.choice(INVENTED_TOOLS).format(rng.randint(2, 9))
        changed[i] = _renamed(replace(steps[i], tool=made), (steps[i].tool,), (made,))
    return Damaged(_change(reading, changed), frozenset(steps[i].id for i in changed))


def _renamed(step: ReadStep, old: Sequence[str], new: Sequence[str]) -> ReadStep:
    """The step with names exchanged in its text too."""
    text = step.text
    for before, after in zip(old, new, strict=True):
        text = re.sub(rf"(?<!\w){re.escape(before)}(?!\w)", after, text, flags=re.IGNORECASE)
    return replace(step, text=text)


def _duplicate(reading: Reading, strength: float, rng: random.Random) -> Damaged:
    """Copies of parts with new ids and another title, put behind the last part; the copies read their own steps."""
    copies: list[ReadPart] = []
    for number in _hit(len(reading.parts), strength, rng):
        part = reading.parts[number]
        renamed = {s.id: f"{len(reading.parts) + len(copies) + 1}.{n}" for n, s in enumerate(part.steps, start=1)}
        steps = tuple(
            replace(s, id=renamed[s.id], inputs=tuple(renamed.get(i, i) for i in s.inputs)) for s in part.steps
        )
        title = f"{part.title}, {rng.choice(('further work', 'second round', 'extension', 'more detail'))} {number + 1}"
        copies.append(replace(part, id=f"copy {part.id}", title=title, steps=steps))
    made = replace(reading, parts=(*reading.parts, *copies))
    return Damaged(made, frozenset(s.id for p in copies for s in p.steps))


_KINDS: Mapping[str, Callable[[Reading, float, random.Random], Damaged]] = {
    "steps_dropped": _drop,
    "steps_shuffled": _shuffle,
    "numbers_blurred": _blur,
    "datasets_invented": _invent_data,
    "tools_invented": _invent_tools,
    "parts_duplicated": _duplicate,
}
