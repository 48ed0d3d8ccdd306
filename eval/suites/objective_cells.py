"""What the table of objectives is made of: a cell is one objective, carried out by one workflow with one model and one seed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from labwright.errors import WrongUse
from labwright.eval.suites import objectives
from labwright.workflows.baselines import COMPARED

OURS = "labwright"
BASELINES = tuple(str(name) for name in COMPARED if name != OURS)
"""Workflows that ours is compared with."""
DEFAULT_SEEDS = {OURS: 2}
"""Seeds of a workflow where --repeats says nothing; one for the others."""
NO_MODEL = "none"
"""The model of a workflow that asks none."""
WITHOUT_MODEL = frozenset({"rules_only"})
PART = re.compile(r"[^/\s]+")


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One measurement of the table."""

    objective: str
    """Id of the objective's file."""
    workflow: str
    """One of `COMPARED`."""
    model: str
    """Backend or embedded model that plays every role; `NO_MODEL` for a workflow without one."""
    seed: int
    """Seed of the run, 0 or more."""

    @property
    def name(self) -> str:
        """The name of its row: objective/workflow/model/seed.

        Example:
            >>> Cell("pbmc_markers", "react", "small", 0).name
            'pbmc_markers/react/small/0'
        """
        return f"{self.objective}/{self.workflow}/{self.model}/{self.seed}"

    @classmethod
    def parse(cls, name: str) -> Cell:
        """The cell of a name; a model may hold slashes, as paths and hub names do.

        Raises:
            WrongUse: it is no name of a cell.

        Example:
            >>> Cell.parse("pbmc_markers/react/org/small/0").model
            'org/small'
        """
        objective, _, rest = name.partition("/")
        workflow, _, rest = rest.partition("/")
        model, _, seed = rest.rpartition("/")
        if not (PART.fullmatch(objective) and PART.fullmatch(workflow) and model and re.fullmatch("[0-9]+", seed)):
            raise WrongUse(f"{name!r} is no cell; one is named objective/workflow/model/seed")
        return cls(objective, workflow, model, int(seed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the table has to know of an objective."""

    id: str
    field: str
    """survival, expression, single_cell, clinical or drug_response."""
    online: bool = False
    """Its data come from the internet; it is listed, and measured only when it is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asks for; empty means the default."""

    objectives: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    repeats: int | None = None
    """Seeds 0 to repeats - 1 for every workflow; None for `DEFAULT_SEEDS`."""


def all_listed() -> list[Listed]:
    """Every objective there is."""
    return [Listed(id=o.id, field=o.field, online=o.online) for o in objectives.load()]


def names_of(text: str) -> tuple[str, ...]:
    """Names separated by commas, each once, in the order given.

    Example:
        >>> names_of("react, one_shot,react")
        ('react', 'one_shot')
    """
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def cells(wanted: Wanted, listed: Sequence[Listed], known_models: Sequence[str], default_model: str) -> list[Cell]:
    """The cells of a table, in an order in which an interrupted one is balanced.

    The workflows of one objective follow one another, and the fields of biology take turns: what is there when the
    time is up compares all workflows on some objectives of every field, not some workflows on all.

    Args:
        wanted: what was asked for.
        listed: every objective there is.
        known_models: names that `wanted` may use.
        default_model: what plays the roles when `wanted` names no model.

    Raises:
        WrongUse: an objective, workflow or model is unknown, or repeats is below 1.
    """
    by_id = {one.id: one for one in listed}
    _check("objective", wanted.objectives, by_id, "`labwright bench objectives --list` shows them")
    _check("workflow", wanted.workflows, COMPARED, f"one of {', '.join(COMPARED)}")
    _check("model", wanted.models, known_models, f"one of {', '.join(known_models)}")
    if wanted.repeats is not None and wanted.repeats < 1:
        raise WrongUse(f"--repeats {wanted.repeats}: at least 1")
    chosen = [by_id[i] for i in wanted.objectives] or [one for one in listed if not one.online]
    made = [
        Cell(one.id, workflow, NO_MODEL if workflow in WITHOUT_MODEL else model, seed)
        for one in taking_turns(chosen)
        for model in wanted.models or (default_model,)
        for workflow in wanted.workflows or COMPARED
        for seed in range(wanted.repeats or DEFAULT_SEEDS.get(workflow, 1))
    ]
    return list(dict.fromkeys(made))  # a workflow without a model is the same cell for every model


def _check(what: str, names: Iterable[str], known: Iterable[str], hint: str) -> None:
    known = tuple(known)
    for name in names:
        if name not in known:
            raise WrongUse(f"--{what}s {name!r}: no such {what}; {hint}")


def taking_turns(listed: Sequence[Listed]) -> list[Listed]:
    """The objectives reordered so that the fields take turns; within a field, and of the fields, the order stays."""
    fields: dict[str, list[Listed]] = {}
    for one in listed:
        fields.setdefault(one.field, []).append(one)
    return [one for turn in zip_longest(*fields.values()) for one in turn if one is not None]
