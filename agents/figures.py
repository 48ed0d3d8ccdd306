"""Reading a figure: a few closed questions about what is plotted, each answered from the model's token probabilities.

What a figure may show is known for labwright's own plots (the columns of their data), so that every field is a choice.
An option is answered in its own words where their beginning tells it from the others, by a letter elsewhere: a model of
135 million weights did not learn which letter stands for what it sees. Of a figure from outside the usual things are
asked, each with a way to say that it shows something else.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labwright.agents.prompting import prompt
from labwright.models.ask import Prompt, Session, choose
from labwright.models.prompt_file import Material

LETTERS = "ABCDEFGH"
KINDS = (
    "survival curves",
    "box plot",
    "scatter plot",
    "bar chart",
    "histogram",
    "volcano plot",
    "forest plot",
)
DIRECTIONS = ("rises", "falls", "neither")
# Of a figure from outside, of which nothing is known:
ELSE, UNTOLD = "something else", "not told"
X_AXES = ("time", "effect", "hazard ratio", "groups", "a gene or score")
Y_AXES = ("share without the event", "significance", "covariates or gene sets", "a gene or score", "frequency")
GROUPS = ("1", "2", "3", "4", "5", "6", "more than 6")
COUNTED = re.compile(
    r"\bn\s*=\s*(\d{1,6})\b|\b(\d{1,6})\s+(?:patients|samples|tumou?rs|cases|subjects|donors|mice|cells)\b",
    re.IGNORECASE,
)
MOST_COUNTS = 5
ASKED: Mapping[str, str] = {
    "kind": "What kind of figure is it?",
    "x": "What is on the horizontal axis?",
    "y": "What is on the vertical axis?",
    "groups": "How many groups are shown?",
    "direction": "From left to right, or from the first group to the last, does the measure rise or fall?",
    "n": "How many samples does the figure show?",
}
"""Field to question."""


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to read, and what it may be."""

    name: str
    """A key of ASKED."""
    options: tuple[str, ...]
    """Two to eight, distinct."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What is answered for each option: the option itself where two letters, or a digit, tell it from the rest."""
        begun = {option[:2].casefold() for option in self.options}
        apart = len(begun) == len(self.options) and all(o[:1].isalpha() or len(o) == 1 for o in self.options)
        return self.options if apart else tuple(LETTERS[: len(self.options)])


@dataclass(frozen=True, slots=True)
class Read:
    """What was read."""

    field: str
    value: str
    probability: float
    """Of that option among all."""
    decided_by: str


def outside_fields(legend: str) -> list[Field]:
    """The questions about a figure of which no data are at hand; n is asked where the legend names numbers."""
    fields = [
        Field("kind", (*KINDS, ELSE)),
        Field("x", (*X_AXES, ELSE)),
        Field("y", (*Y_AXES, ELSE)),
        Field("groups", GROUPS),
        Field("direction", DIRECTIONS),
    ]
    counts = dict.fromkeys(str(int(one or other)) for one, other in COUNTED.findall(legend))
    return [*fields, Field("n", (*list(counts)[:MOST_COUNTS], UNTOLD))] if counts else fields


def figure_prompt(legend: Material, field: Field, images: Sequence[bytes] = ()) -> Prompt:
    """The question about one field, options in the given order, behind letters where letters are answered.

    Args:
        legend: the figure's text.
        field: what is read.
        images: the figure as PNG; none for a reading of the legend alone.
    """
    if field.labels == field.options:
        how, listed = "one of these", "\n".join(f"- {option}" for option in field.options)
    else:
        how = "one letter"
        listed = "\n".join(f"{letter}. {option}" for letter, option in zip(field.labels, field.options, strict=True))
    made = prompt("figure").render(legend=legend, question=ASKED[field.name], options=listed, how=how)
    kept = tuple(base64.b64encode(image).decode() for image in images)
    return Prompt(made.id, made.hash, made.system, made.user, kept)


def read_figure(session: Session, image: bytes | None, legend: Material, fields: Sequence[Field]) -> list[Read]:
    """Read the fields of one figure.

    Args:
        session: of a model that sees.
        image: PNG; None reads the legend alone.
        legend: the figure's text.
        fields: what is read; options are shown in an order that the session's seed decides.
    """
    found = []
    for field in fields:
        order = list(field.options)
        random.Random(f"{session.seed}:{field.name}:{order}").shuffle(order)  # noqa: S311  (an order, not a secret)
        shown = Field(field.name, tuple(order))
        even = dict.fromkeys(shown.labels, 1 / len(order))
        asked = figure_prompt(legend, shown, () if image is None else (image,))
        given = choose(session, asked, shown.labels, fallback=even)
        best = max(shown.labels, key=lambda label: given.value[label])
        found.append(Read(field.name, order[shown.labels.index(best)], given.value[best], given.decided_by))
    return found
