"""Names in the rows of `labwright bench stack`; light, for its figures are recomputed where no model can be loaded."""

from __future__ import annotations

HARDENED, UNHARDENED = "hardened", "unhardened"
"""Stacks."""
BASE, ALONE = "base", "embedded"
"""Backends beside those of a stack: what its members started from, and the model that the ensemble is joined with."""
STACK, DEFAULT, RULES = "stack", "embedded", "rules_only"
PLAYERS = (STACK, DEFAULT, RULES)
"""Who plays the roles of a run."""
