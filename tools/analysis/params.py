"""Parameters of an operator against a data set: JSON schema, defaults, validation. Standard library only.

A parameter that may be left out takes the word "none" in the schema, so that every value is a
plain string or number and any constrained decoder can produce it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labwright.tools.analysis.card_columns import block_columns, usable_covariates, usable_groups
from labwright.tools.analysis.contract_types import OperatorContract, Param

NONE = "none"
"""How the schema spells a parameter that is left out."""
MAX_ENUM = 400
"""Longest enum; beyond it a name is a free string that validation looks up."""
_NAME = {"type": "string", "minLength": 1, "maxLength": 60}
_FEATURE_KINDS = ("feature", "features", "drug", "alteration")
_EITHER = (("group_column", "feature"), ("alteration", "drug"))

Card = Mapping[str, Any]
Names = Sequence[str] | Mapping[str, Sequence[str]]


def allowed_values(param: Param, card: Card, features: Names) -> list[str] | None:
    """The values that a parameter may take on this data set.

    Args:
        param: the parameter.
        card: the data set.
        features: names it may take; a mapping gives them by kind ("feature", "drug", "alteration").

    Returns:
        Values in the order of the card, or None where they are not a list (numbers, or features
        when no names are given).
    """
    if param.kind == "group_column":
        return block_columns(card) if param.name == "block_column" else list(usable_groups(card))
    if param.kind == "group_level":
        levels = [level for values in usable_groups(card).values() for level in values]
        return list(dict.fromkeys(levels))
    if param.kind == "covariates":
        return usable_covariates(card)
    if param.kind == "choice":
        return list(param.choices)
    if param.kind in _FEATURE_KINDS:
        names = features.get(param.kind, ()) if isinstance(features, Mapping) else features
        return list(names) or None
    return None


def _one_schema(param: Param, card: Card, features: Names) -> dict[str, Any]:
    if param.kind in ("integer", "number"):
        return {"type": param.kind, "minimum": param.low, "maximum": param.high}
    values = allowed_values(param, card, features)
    item: dict[str, Any] = dict(_NAME)
    if values is not None and len(values) <= MAX_ENUM:
        item = {"type": "string", "enum": values}
    if param.kind in ("covariates", "features"):
        most = int(param.high or 1) if values is None else min(int(param.high or 1), len(values))
        return {"type": "array", "items": item, "minItems": int(param.low or 0), "maxItems": most}
    if param.optional and param.kind != "choice" and "enum" in item:
        item["enum"] = [*item["enum"], NONE]
    return item


def param_schema(
    contract: OperatorContract,
    card: Card,
    features: Names = (),
    *,
    chosen: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """JSON schema of the parameters, with the data set's real columns and levels as enums.

    Args:
        contract: the operator.
        card: the data set.
        features: names a feature, drug or alteration may take (short lists for a weak model), or a
            mapping of them by kind. `features.txt` and `alterations.txt` of the data hold all names.
        chosen: parameters already decided: they leave the schema, and a chosen `group_column`
            narrows the levels to its own.

    Returns:
        A flat object schema; the seed is not in it.
    """
    chosen = chosen or {}
    narrowed = dict(card)
    if chosen.get("group_column"):
        column = chosen["group_column"]
        narrowed["groups"] = {column: (card.get("groups") or {}).get(column, {})}
    properties = {}
    for param in contract.params:
        if param.name in chosen:
            continue
        source = narrowed if param.kind == "group_level" else card
        properties[param.name] = {
            **_one_schema(param, source, features),
            "description": param.description,
        }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def validate_params(contract: OperatorContract, card: Card, params: Mapping[str, Any]) -> dict[str, Any]:
    """Check parameters against the data set and fill what was left out.

    Args:
        contract: the operator.
        card: the data set.
        params: name to value; None or "none" means left out.

    Returns:
        Every parameter of the contract, then `seed`.

    Raises:
        ValueError: one line that names the parameter, the wrong value and the allowed ones.
    """
    known = [param.name for param in contract.params]
    unknown = set(params) - {*known, "seed"}
    if unknown:
        raise ValueError(f"{contract.name} has no parameter {sorted(unknown)}; it takes {known}")
    full = {param.name: _value(param, card, params.get(param.name)) for param in contract.params}
    _fill_levels(full, card)
    for pair in _EITHER:
        if all(name in full for name in pair) and sum(full[name] is not None for name in pair) != 1:
            raise ValueError(f"{contract.name} takes exactly one of {pair[0]} and {pair[1]}")
    full["seed"] = int(params.get("seed") or 0)
    return full


def _value(param: Param, card: Card, value: Any) -> Any:
    allowed = allowed_values(param, card, ())
    if value is None or value == [] or (value == NONE and NONE not in (allowed or ())):
        if param.optional:
            return param.default
        raise ValueError(f"{param.name} is needed: one of {_short(allowed)}")
    if param.kind in ("integer", "number"):
        return _number(param, value)
    if param.kind in ("covariates", "features"):
        return _names(param, allowed, value)
    if not isinstance(value, str):
        raise ValueError(f"{param.name} must be a text, not {value!r}")
    if allowed is not None and value not in allowed:
        raise ValueError(f"{param.name} = {value!r} is not in the data; one of {_short(allowed)}")
    return value


def _number(param: Param, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{param.name} must be a number, not {value!r}")
    low, high = param.low, param.high
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{param.name} = {value} must lie in [{low:g}, {high:g}]")
    if param.kind == "integer" and int(value) != value:
        raise ValueError(f"{param.name} must be a whole number, not {value}")
    return int(value) if param.kind == "integer" else float(value)


def _names(param: Param, allowed: list[str] | None, value: Any) -> list[str]:
    names = list(dict.fromkeys([value] if isinstance(value, str) else value))
    wrong = [name for name in names if allowed is not None and name not in allowed]
    if wrong:
        raise ValueError(f"{param.name} {wrong} are not in the data; allowed: {_short(allowed)}")
    if not (param.low or 0) <= len(names) <= (param.high or len(names)):
        raise ValueError(f"{param.name} takes {param.low:g} to {param.high:g} names, not {len(names)}")
    return names


def _fill_levels(full: dict[str, Any], card: Card) -> None:
    if "reference" not in full or "test" not in full:
        return
    column = full["group_column"]
    levels = usable_groups(card)[column]
    for name in ("reference", "test"):
        if full[name] is not None and full[name] not in levels:
            raise ValueError(f"{name} = {full[name]!r} is not a level of {column}; one of {levels}")
    free = [level for level in levels if level not in (full["reference"], full["test"])]
    for name in ("reference", "test"):
        if full[name] is None:
            full[name] = free.pop(0)
    if full["reference"] == full["test"]:
        raise ValueError(f"reference and test are both {full['test']!r}; take two levels of {levels}")
    if full.get("block_column") == column:
        raise ValueError(f"block_column must differ from group_column ({column})")


def _short(values: list[str] | None) -> str:
    if values is None:
        return "the names in the data"
    return ", ".join(values[:12]) + (f", ... ({len(values)} in all)" if len(values) > 12 else "")
