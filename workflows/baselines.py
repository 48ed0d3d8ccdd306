"""Workflows to compare with: the same graph, tools, sandbox and checks, other deciders.

`rules_only` plays every role without a model: papers by retrieval rank, the data set and the analyses by
similarity, parameters by shared words and defaults.
"""

from __future__ import annotations

from collections.abc import Mapping

from labwright.config import ROLES, Role
from labwright.models.ask import Session

WORKFLOWS = ("labwright", "rules_only")


def rules_only() -> Mapping[Role, Session | None]:
    """Sessions of a run in which no model is asked anything."""
    return dict.fromkeys(ROLES)
