"""Contracts of the analysis operators: which fit a data set, with which parameters, as which script.

Standard library only. A card is the mapping of a catalogue data set (`labwright.tools.catalogue`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labwright.tools.analysis.card_columns import usable_covariates, usable_groups
from labwright.tools.analysis.contract_types import OperatorContract, OutputSpec, Param, Requirement
from labwright.tools.analysis.contracts_cohort import COHORT_CONTRACTS
from labwright.tools.analysis.contracts_expression import EXPRESSION_CONTRACTS
from labwright.tools.analysis.params import Names, param_schema, validate_params
from labwright.tools.analysis.rendering import render_script

__all__ = [
    "OPERATORS",
    "Names",
    "OperatorContract",
    "OutputSpec",
    "Param",
    "Requirement",
    "feasible",
    "param_schema",
    "render_script",
    "validate_params",
]

OPERATORS: dict[str, OperatorContract] = {
    contract.name: contract for contract in (*COHORT_CONTRACTS, *EXPRESSION_CONTRACTS)
}
"""Every operator by name."""

Card = Mapping[str, Any]
_Rule = Callable[[Requirement, Card], str | None]


def _kind(needs: Requirement, card: Card) -> str | None:
    if needs.kinds and card["kind"] not in needs.kinds:
        return f"it is a data set of kind {card['kind']}, needed is one of: {', '.join(needs.kinds)}"
    return None


def _survival(needs: Requirement, card: Card) -> str | None:
    if needs.needs_survival and not card.get("survival"):
        return "it has no follow-up time and event"
    return None


def _groups(needs: Requirement, card: Card) -> str | None:
    if needs.needs_groups and not usable_groups(card):
        return "it has no grouping column with two levels of at least three samples"
    return None


def _covariates(needs: Requirement, card: Card) -> str | None:
    if needs.needs_covariates and not usable_covariates(card):
        return "it has no clinical column besides the outcome"
    return None


def _matrix(needs: Requirement, card: Card) -> str | None:
    has_matrix = "matrix.parquet" in card["files"]
    if needs.needs_matrix and not has_matrix:
        return "it has no matrix of features"
    if needs.min_features > int(card.get("n_features") or 0):
        return f"it has {card.get('n_features') or 0} features, needed are {needs.min_features}"
    return None


def _alterations(needs: Requirement, card: Card) -> str | None:
    if needs.needs_alterations and "alterations.parquet" not in card["files"]:
        return "it has no table of genomic alterations"
    return None


def _features(needs: Requirement, card: Card) -> str | None:
    if needs.feature_kind and card.get("feature_kind") != needs.feature_kind:
        return f"its features are of kind {card.get('feature_kind') or 'none'}, needed is {needs.feature_kind}"
    return None


_RULES: tuple[_Rule, ...] = (
    _kind,
    _survival,
    _groups,
    _covariates,
    _matrix,
    _alterations,
    _features,
)


def feasible(contract: OperatorContract, card: Card) -> str | None:
    """Why an operator cannot work on a data set.

    Args:
        contract: the operator.
        card: the data set.

    Returns:
        None when it can, else the reason, one clause. Whether an upstream table is there is
        not looked at: see `contract.requires.needs_table_of`.
    """
    reasons = (rule(contract.requires, card) for rule in _RULES)
    return next((reason for reason in reasons if reason), None)
