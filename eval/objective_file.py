"""An objective of the benchmark: what is asked, and the frozen lists that every answer to it is judged against.

The lists are written before any run. They name what an answer must hold (an output of an analysis on a data set)
and what must be true of it (gold properties). Gold values come from publications, from package documentation or
from a reference analysis with other code, never from a run of labwright.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, StrictStr, Tag, model_validator

from labwright.domain import Objective, Thing

FieldOfStudy = Literal["survival", "expression", "single_cell", "clinical", "drug_response"]
Text = Annotated[str, Field(min_length=1)]
Grade = Annotated[int, Field(ge=0, le=2)]


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


OneOrMore = Annotated[tuple[Text, ...], BeforeValidator(_several), Field(min_length=1)]
"""A name, or a list of names of which any one will do."""


class RequiredOutput(Thing):
    """An output that an answer must hold at level 3."""

    id: Text
    operator: OneOrMore
    dataset: OneOrMore
    type: Literal["table", "figure", "json"]


class Range(Thing):
    """A closed range; either end may be left out, not both."""

    above: float = float("-inf")
    below: float = float("inf")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not self.model_fields_set or self.above > self.below:
            raise ValueError("a range needs `above` or `below`, the first no larger than the second")
        return self


class TableCheck(Thing):
    """Of the rows that fit `where`, the first `n` hold at least `min_hits` of `any_of` in `column`."""

    table: Text
    column: Text
    any_of: tuple[StrictStr, ...] = Field(min_length=1)
    min_hits: int = Field(ge=1)
    n: int | None = Field(default=None, ge=1)
    where: dict[str, StrictStr | Range] = Field(default_factory=dict)
    """Column to a text, to "positive" or "negative", or to a range. A number is written as the text of its cell."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.min_hits > len(self.any_of):
            raise ValueError(f"{self.min_hits} hits of {len(self.any_of)} names cannot be reached")
        return self


class FindingCheck(Thing):
    """The finding of that id has a number in [low, high]."""

    finding: Text
    low: float = float("-inf")
    high: float = float("inf")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not {"low", "high"} & self.model_fields_set or self.low > self.high:
            raise ValueError("a finding needs `low` or `high`, the first no larger than the second")
        return self


def _form(check: object) -> str:
    """Which form a check has, so that a fault is reported for that form alone."""
    named = check if isinstance(check, dict) else getattr(type(check), "model_fields", {})
    return "finding" if "finding" in named else "table"


Check = Annotated[
    Annotated[TableCheck, Tag("table")] | Annotated[FindingCheck, Tag("finding")],
    Discriminator(_form),
]


class Gold(Thing):
    """A property that must hold in a verified output."""

    id: Text
    statement: Text
    source: Text
    """Where the value comes from: a publication, a package, or a reference analysis with other code."""
    check: Check
    tolerance: Text
    """How far the check is wider than its source says, and why."""


class ObjectiveFile(Thing):
    """One file of eval/suites/objectives."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    text: Text
    conditions: str = ""
    requirements: str = ""
    field: FieldOfStudy
    online: bool = False
    """Its data are fetched from GEO."""
    bundled: bool = False
    """`labwright bench run` measures it."""
    datasets_allowed: tuple[Text, ...] = Field(min_length=1)
    data_kinds: tuple[Text, ...] = Field(min_length=1)
    required_outputs: tuple[RequiredOutput, ...] = Field(min_length=1)
    gold: tuple[Gold, ...] = Field(min_length=1)
    relevance: dict[str, Grade] = Field(default_factory=dict)
    """Record of the embedded corpus to 0 (of no use), 1 (helps) or 2 (should be read); empty when none was judged."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = Counter([*(o.id for o in self.required_outputs), *(g.id for g in self.gold)])
        if twice := [name for name, n in names.items() if n > 1]:
            raise ValueError(f"two outputs or properties share the id {twice[0]!r}")
        foreign = {d for o in self.required_outputs for d in o.dataset} - set(self.datasets_allowed)
        if foreign:
            raise ValueError(f"an output is of {min(foreign)!r}, which is not in datasets_allowed")
        return self

    @property
    def asked(self) -> Objective:
        """What a run is given: nothing of the lists."""
        return Objective(text=self.text, conditions=self.conditions, requirements=self.requirements)

    @property
    def size(self) -> int:
        """Required outputs and gold properties: the denominator of every score on this objective."""
        return len(self.required_outputs) + len(self.gold)
