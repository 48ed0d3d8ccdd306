"""The state of a run between steps: ids only, documents are files in the run folder."""

from __future__ import annotations

import operator
from typing import Annotated, TypedDict


class RunState(TypedDict, total=False):
    """What the nodes hand on."""

    papers: list[str]
    """Ids of the kept papers, most helpful first."""
    dataset: str
    """Id of the data set in use."""
    operators: list[str]
    """Chosen analyses, in the order of the protocol."""
    read: Annotated[list[str], operator.add]
    """Ids of the papers that have a report and an analysis."""
    turns: int
    """Steps that an agent which runs while it decides has taken."""
    replans: int
    """How often its plan was looked at again."""
    seen: Annotated[list[str], operator.add]
    """Data sets and sources that it looked at."""
    finished: bool
    """It has decided to end."""
    detailed: Annotated[list[str], operator.add]
    """Ids of the protocol parts that have their details."""
    ran: Annotated[list[str], operator.add]
    """Ids of the tasks that ended, well or not."""


class One(TypedDict):
    """What a fanned-out node is sent: the id of one paper, part or task."""

    id: str
