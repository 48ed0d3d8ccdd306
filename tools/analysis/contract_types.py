"""What an analysis operator promises: the types of its contract.

Standard library only, so that a host without the analysis stack can read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ParamKind = Literal[
    "group_column",
    "group_level",
    "feature",
    "features",
    "alteration",
    "drug",
    "covariates",
    "integer",
    "number",
    "choice",
]
OutputType = Literal["table", "figure", "json"]
ParamValue = str | int | float | list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of an operator."""

    name: str
    """Name of the keyword argument."""
    kind: ParamKind
    """Where the allowed values come from."""
    description: str
    """One sentence for the person or the model that fills it."""
    default: ParamValue = None
    """Value taken when none is given."""
    low: float | None = None
    """Least value of an integer or a number; least length of a list."""
    high: float | None = None
    """Greatest value of an integer or a number; greatest length of a list."""
    choices: tuple[str, ...] = ()
    """Allowed values of a choice."""
    optional: bool = False
    """Whether the parameter may be left out (its value is then `default`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """One file that an operator writes."""

    name: str
    """File name in the output folder."""
    type: OutputType
    """What kind of file it is."""
    check: str
    """What the checker confirms about it, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a data set must have for an operator to make sense."""

    kinds: tuple[str, ...] = ()
    """Kinds of data set it is meant for; empty means any."""
    needs_survival: bool = False
    """A follow-up time and an event column."""
    needs_groups: bool = False
    """A grouping column with two levels of at least three samples each."""
    needs_matrix: bool = False
    """A matrix of features by samples."""
    needs_alterations: bool = False
    """A table of genomic alterations beside the matrix."""
    needs_covariates: bool = False
    """A clinical column that is not the outcome."""
    min_features: int = 0
    """Least number of features in the matrix."""
    feature_kind: str = ""
    """Kind of feature names it needs; empty means any."""
    needs_table_of: tuple[str, ...] = ()
    """Operators of which one must have run before: their table is the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorContract:
    """The promise of one operator: what it answers, needs, takes and writes."""

    name: str
    """Name of the function in `labwright.tools.analysis`."""
    title: str
    """Short title for people."""
    answers: str
    """The question it answers, one sentence, used for retrieval."""
    procedure: str
    """What it does, as an instruction to an analyst; what a protocol says about the step must agree with it."""
    requires: Requirement
    """What the data set must have."""
    params: tuple[Param, ...]
    """Parameters besides the seed."""
    outputs: tuple[OutputSpec, ...]
    """Files it writes."""
    reference: str
    """Where the statistics come from."""
    limits: str
    """What it does not show."""
