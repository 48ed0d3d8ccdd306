"""Workflows to compare with: the same tools, data, sandbox, repairs and checks, other deciders.

`rules_only` plays every role without a model: papers by retrieval rank, the data set and the analyses by
similarity, parameters by shared words and defaults. `no_reviewer` and `no_hierarchy` are labwright without one of its
parts; `one_shot`, `plan_execute` and `react` are single agents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

from labwright.config import ROLES, Role

if TYPE_CHECKING:  # the names of the workflows are read where no model is asked
    from labwright.models.ask import Session

Workflow = Literal[
    "labwright", "no_reviewer", "no_hierarchy", "plan_execute", "react", "one_shot", "rules_only", "literature"
]
WORKFLOWS: tuple[Workflow, ...] = get_args(Workflow)
COMPARED: tuple[Workflow, ...] = WORKFLOWS[:-1]
"""Those that answer an objective; `literature` only finds and reads papers, for others to take over."""
RUN_WHILE_DECIDING: tuple[Workflow, ...] = ("plan_execute", "react")
"""They have no protocol before they have run it, so a person cannot review one first."""


def played(workflow: Workflow, sessions: Mapping[Role, Session | None]) -> Mapping[Role, Session | None]:
    """The sessions of a workflow; None for a role that nobody plays."""
    if workflow == "rules_only":
        return dict.fromkeys(ROLES)
    if workflow == "no_reviewer":
        return {**sessions, "reviewer": None}
    return sessions
