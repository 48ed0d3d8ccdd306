"""Which columns and levels of a card can serve an operator. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MIN_GROUP = 3
"""Least samples of a level that can be compared."""

Card = Mapping[str, Any]


def usable_groups(card: Card) -> dict[str, list[str]]:
    """Grouping columns with at least two levels of `MIN_GROUP` samples, and those levels.

    Args:
        card: a data set of the catalogue.

    Returns:
        Column to levels, both in the order of the card.
    """
    usable = {
        str(column): [str(level) for level, count in levels.items() if count >= MIN_GROUP]
        for column, levels in (card.get("groups") or {}).items()
    }
    return {column: levels for column, levels in usable.items() if len(levels) >= 2}


def block_columns(card: Card) -> list[str]:
    """Grouping columns with at least two levels of two samples each, usable as blocks.

    Args:
        card: a data set of the catalogue.

    Returns:
        Column names in the order of the card.
    """
    groups: dict[str, dict[str, int]] = card.get("groups") or {}
    return [str(column) for column, levels in groups.items() if sum(count >= 2 for count in levels.values()) >= 2]


def usable_covariates(card: Card) -> list[str]:
    """Clinical columns that can enter a model: numeric, or with at least two levels of three.

    Args:
        card: a data set of the catalogue.

    Returns:
        Column names in the order of the card.
    """
    grouped = usable_groups(card)
    columns: dict[str, dict[str, Any]] = card.get("columns") or {}
    return [
        str(name)
        for name, column in columns.items()
        if column["type"] == "numeric" or (column["type"] == "categorical" and name in grouped)
    ]
