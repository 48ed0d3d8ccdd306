"""The data card that a user writes for tables of their own, and the card of the catalogue that it becomes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from labwright.domain import SurvivalColumns
from labwright.errors import WrongUse

MOST_CARD_BYTES: Final = 256 * 2**10
ENDINGS: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
File = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class OwnColumn(_Part):
    """One column of the table of samples that analyses may use."""

    type: Literal["numeric", "categorical", "time", "event"]
    description: Line
    unit: str = Field("", max_length=40)
    raw: str = Field("", alias="from", max_length=200)
    """Its name in the table, where that is another."""
    levels: list[str] | dict[str, str] = Field(default_factory=list)
    """Of a categorical column, the reference first; as a mapping: what stands in the table to what it means."""
    events: dict[str, Annotated[int, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Of an event column: what stands in the table to 0 or 1; without it 0 and 1 stand there."""

    @model_validator(mode="after")
    def _fits(self) -> OwnColumn:
        if self.levels and self.type != "categorical":
            raise ValueError("levels belong to a categorical column")
        if self.events and self.type != "event":
            raise ValueError("events belong to an event column")
        return self

    def described(self) -> dict[str, Any]:
        """As cards of the catalogue describe a column."""
        made: dict[str, Any] = {"type": self.type, "description": self.description}
        made |= {"unit": self.unit} if self.unit else {}
        made |= {"from": self.raw} if self.raw else {}
        levels = self.levels if isinstance(self.levels, dict) else {name: name for name in self.levels}
        return made | ({"recode": self.events or levels} if self.events or levels else {})


class OwnCard(_Part):
    """The whole card (docs/own-data.md)."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{1,39}$")]
    title: Line
    description: Line
    """What was measured in whom, and which questions it can answer: data sets are chosen by it."""
    organism: Line
    assay: Line
    samples: File
    """Table with a row a sample, beside the card."""
    sample_column: str = ""
    """Names the samples; the first column where it is empty."""
    matrix: File | None = None
    """Table with a row a feature and a column a sample."""
    scale: Literal["log2", "linear", "counts"] = "log2"
    features: Line = "gene symbol"
    """What the rows of the matrix are."""
    single_cell: bool = False
    columns: dict[Name, OwnColumn] = Field(min_length=1, max_length=200)
    survival: SurvivalColumns | None = None
    licence: Line = "the user's own"
    citation: str = Field("", max_length=1000)

    @model_validator(mode="after")
    def _fits(self) -> OwnCard:
        for file in self.files:
            if not file.endswith(ENDINGS):
                raise ValueError(f"{file}: tables end in {', '.join(ENDINGS)}")
        if "sample" in self.columns:
            raise ValueError("no column may be called sample: that is the name of each")
        if self.survival is not None:
            for role, name in (("time", self.survival.time), ("event", self.survival.event)):
                if name not in self.columns or self.columns[name].type != role:
                    raise ValueError(f"survival.{role}: {name!r} is no column of type {role}")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """Names of its tables."""
        return (self.samples,) if self.matrix is None else (self.samples, self.matrix)

    @property
    def kind(self) -> str:
        """As analyses ask for it."""
        if self.matrix is None:
            return "clinical_survival" if self.survival else "clinical"
        if self.single_cell:
            return "single_cell"
        if self.scale == "counts":
            return "rnaseq_counts"
        return "expression_survival" if self.survival else "expression"

    def as_card(self, name: str, members: list[dict[str, str]], *, named_only: bool) -> dict[str, Any]:
        """The card of the catalogue, before its counts and the hashes of the converted files are known.

        Args:
            name: id in the catalogue.
            members: name and sha256 of each table.
            named_only: only runs that name the data set may use it.
        """
        source = {"reader": "tables", "own": True, "named_only": named_only, "members": members}
        return {
            "id": name,
            "accession": "",
            "title": self.title,
            "description": self.description,
            "organism": self.organism,
            "assay": self.assay,
            "kind": self.kind,
            "feature_kind": self.features if self.matrix else "clinical",
            "columns": {column: described.described() for column, described in self.columns.items()},
            "survival": self.survival.model_dump() if self.survival else None,
            "licence": self.licence,
            "reference": {"citation": self.citation or "unpublished tables of the user", "checked_in": "not checked"},
            "known_results": [],
            "source": {**source, "sample_column": self.sample_column, "scale": self.scale},
            "how_to_load": f"labwright.tools.catalogue.catalogue.materialise({name!r}, run_job), then "
            "labwright.tools.analysis.open_study(folder)",
        }


def read_card(path: Path) -> OwnCard:
    """Read a card.

    Raises:
        WrongUse: it is not there, no YAML, or not of the form (what is wrong is listed).
    """
    try:
        if path.stat().st_size > MOST_CARD_BYTES:
            raise WrongUse(f"{path}: larger than {MOST_CARD_BYTES // 1024} KiB; a data card is not")
        # A loader that makes texts of everything: a level called `no` is no boolean.
        return OwnCard.model_validate(yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader))  # noqa: S506
    except OSError as error:
        raise WrongUse(f"{path}: {error.strerror}; check the path and its permissions") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise WrongUse(f"{path}: not readable YAML: {_short(str(error))}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}".lstrip(": ") for e in error.errors()[:5])
        raise WrongUse(f"{path}: no data card: {_short(wrong)}; see docs/own-data.md") from error


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:400]
