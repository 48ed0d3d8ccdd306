"""Pieces that the contracts of several operators share."""

from __future__ import annotations

from labwright.tools.analysis.contract_types import OutputSpec, Param

FINDINGS = OutputSpec(
    name="findings.json",
    type="json",
    check="every finding's value equals the table cell it points to",
)
_FIGURE = "decodes as a PNG of at least 600 x 400 pixels that is not blank"


def figure(name: str) -> OutputSpec:
    """A figure under its file name."""
    return OutputSpec(name=name, type="figure", check=_FIGURE)


def table(name: str, check: str) -> OutputSpec:
    """A table under its file name, with what is checked."""
    return OutputSpec(name=name, type="table", check=check)


def group_column(description: str, *, optional: bool = False) -> Param:
    """The parameter `group_column`."""
    return Param(name="group_column", kind="group_column", description=description, optional=optional)
