"""Filling the parameters of an analysis operator from the data set's real columns, levels and features."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labwright.agents.prompting import prompt
from labwright.agents.schemas import model_of
from labwright.domain import Objective
from labwright.errors import AnswerInvalid
from labwright.models.ask import Prompt, Session, ask
from labwright.tools.analysis.card_columns import usable_groups
from labwright.tools.analysis.contracts import Names, OperatorContract, param_schema, validate_params

TRIES = 2
NAMED = ("feature", "features", "drug", "alteration")
MOST_FEATURES = 12


@dataclass(frozen=True, slots=True)
class Filled:
    """Parameters, and the other fields of the same answer (None when code filled them)."""

    parameters: dict[str, Any]
    extra: dict[str, Any] | None


def named_features(text: str, features: Sequence[str]) -> list[str]:
    """Features of the data set that a text names, as a whole word or as the part before an underscore."""
    words = {w.upper() for w in re.findall(r"[A-Za-z0-9][A-Za-z0-9.-]+", text)}
    found = [f for f in features if f.upper() in words or f.split("_")[0].upper() in words]
    return found[:MOST_FEATURES]


def named_of(features: Names, kind: str) -> Sequence[str]:
    """The named features that a parameter of a kind ("feature", "drug", "alteration") may take."""
    return features.get(kind, ()) if isinstance(features, Mapping) else features


def lacks_a_name(contract: OperatorContract, features: Names) -> bool:
    """Whether an analysis starts from an alteration or a drug, and the objective names none of the data's."""
    kinds = {p.kind for p in contract.params} & {"alteration", "drug"}
    return bool(kinds) and not any(named_of(features, kind) for kind in kinds)


def given(contract: OperatorContract, features: Names) -> dict[str, Any]:
    """Parameters that are settled before anybody is asked.

    A feature parameter needs features that the objective names; where it names none it is left out, and
    where a grouping by feature excludes a grouping by column, a named feature takes the place of the column.
    """
    names = {p.name for p in contract.params}
    settled: dict[str, Any] = {}
    for param in contract.params:
        if param.kind in NAMED and param.optional and not named_of(features, param.kind):
            settled[param.name] = None
    if named_of(features, "feature") and {"group_column", "feature"} <= names:
        settled["group_column"] = None
    return settled


def preferred(
    objective: Objective, contract: OperatorContract, card: Mapping[str, Any], features: Names
) -> dict[str, Any]:
    """Valid parameters by rules alone: the column whose words the objective shares most, defaults elsewhere.

    Raises:
        ValueError: the operator cannot work on the data set.
    """
    chosen: dict[str, Any] = dict(given(contract, features))
    words = set(re.findall(r"[a-z]{3,}", objective.text.casefold()))
    for param in contract.params:
        if param.name in chosen:
            continue
        if param.name == "group_column" and (not param.optional or "feature" in chosen):
            columns = usable_groups(card)
            chosen["group_column"] = max(columns, key=lambda c: _overlap(c, card, words)) if columns else None
        elif param.kind in NAMED and (named := named_of(features, param.kind)):
            chosen[param.name] = list(named) if param.kind == "features" else named[0]
        elif param.kind == "covariates":
            allowed = param_schema(contract, card)["properties"][param.name]["items"]["enum"]
            chosen[param.name] = allowed[: int(min(param.high or 4, 4))]
    return _either(contract, card, chosen)


def _either(contract: OperatorContract, card: Mapping[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    if {"alteration", "drug"} <= set(chosen) and chosen["alteration"] is not None:
        chosen = {**chosen, "drug": None}
    return validate_params(contract, card, chosen)


def _overlap(column: str, card: Mapping[str, Any], words: set[str]) -> int:
    described = f"{column} {(card.get('columns') or {}).get(column, {}).get('description', '')}"
    levels = " ".join(map(str, (card.get("groups") or {}).get(column, {})))
    return len(words & set(re.findall(r"[a-z]{3,}", f"{described} {levels}".casefold())))


def listing(schema: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """The parameters and their allowed values, a line each, as the prompts show them."""
    lines = []
    for name, part in schema["properties"].items():
        values = part.get("enum") or (part.get("items") or {}).get("enum")
        if values:
            allowed = "one of " if "enum" in part else f"up to {part['maxItems']} of "
            allowed += ", ".join(map(str, values[:24]))
        else:
            allowed = f"{part.get('minimum', '')} to {part.get('maximum', '')}"
        lines.append(f"- {name}: {part['description']} ({allowed})")
    return "\n".join(lines) or "- none"


def fill(  # noqa: PLR0913  (who, what for, with which data, and how it is asked)
    session: Session | None,
    objective: Objective,
    contract: OperatorContract,
    card: Mapping[str, Any],
    features: Names,
    *,
    render: Callable[[str, str], Prompt],
    extra: Mapping[str, Any],
) -> Filled:
    """Let the model fill the parameters; values that do not fit the data are sent back once, then code decides.

    Args:
        session: who fills; None leaves it to code.
        objective: the question.
        contract: the operator.
        card: the data set.
        features: features that the objective names.
        render: makes the prompt from the list of parameters and what was wrong before.
        extra: further fields of the answer.
    """
    if session is None:
        return Filled(preferred(objective, contract, card, features), None)
    settled = given(contract, features)
    if "group_column" in {p.name for p in contract.params} and len(usable_groups(card)) == 1:
        only = next(iter(usable_groups(card)))
        settled.setdefault("group_column", only)
    schema = param_schema(contract, card, features, chosen=settled)
    model = model_of("Parameters", schema, **extra)
    called = f"parameters of {contract.name}"
    wrong = ""
    for _ in range(TRIES):
        try:
            answer = ask(session, render(listing(schema, card), wrong), model, max_tokens=400)
        except AnswerInvalid:
            if not session.log.allowance_spent():
                session.log.tool_call(f"{called}: no answer", valid=False)
            asked_for = len(schema["properties"]) + len(extra)
            session.log.decide(called, "fallback", asked_for)
            break
        values = answer.value.model_dump()
        others = {name: values.pop(name) for name in extra}
        try:
            valid = validate_params(contract, card, {**settled, **values})
            session.log.tool_call(answer.name, valid=True)
            return Filled(valid, others)
        except ValueError as error:
            session.log.tool_call(answer.name, valid=False)
            wrong = f"\nYour last choice does not fit the data: {error}"
            session.log.decide(answer.name, "code", len(values) + 1)
    return Filled(preferred(objective, contract, card, features), None)


def fitted(  # noqa: PLR0913  (whose values, and what they are checked against)
    session: Session,
    objective: Objective,
    contract: OperatorContract,
    card: Mapping[str, Any],
    features: Names,
    *,
    values: Mapping[str, Any],
    name: str,
) -> dict[str, Any]:
    """Parameters out of a larger answer, checked; values that do not fit are sent back once, as `fill` does.

    Args:
        session: who gave them.
        objective: the question.
        contract: the operator.
        card: the data set.
        features: features that the objective names.
        values: parameters by name.
        name: under which the tool call is recorded.
    """
    settled = given(contract, features)
    try:
        valid = validate_params(contract, card, {**settled, **values})
    except ValueError as error:
        session.log.tool_call(name, valid=False)
        again = repair(session, contract, card, {**settled, **values}, str(error), features=features)
        return again or preferred(objective, contract, card, features)
    session.log.tool_call(name, valid=True)
    return valid


def repair(  # noqa: PLR0913  (who, what for, with which data, and what was tried)
    session: Session,
    contract: OperatorContract,
    card: Mapping[str, Any],
    previous: Mapping[str, Any],
    error: str,
    *,
    features: Names | None = None,
) -> dict[str, Any] | None:
    """Other parameters after a failed attempt; None when the model has nothing new to offer.

    Args:
        session: who is asked.
        contract: the operator.
        card: the data set.
        previous: what was tried.
        error: how it failed.
        features: features that the objective names; None leaves those of `previous` out of account.
    """
    settled = {} if features is None else given(contract, features)
    schema = param_schema(contract, card, features or (), chosen=settled)
    if not schema["properties"]:
        return None
    asked = prompt("repair_parameters").render(
        analysis=contract.answers,
        parameters=listing(schema, card),
        previous={k: v for k, v in previous.items() if k != "seed"},
        error=error[-600:],
    )
    try:
        answer = ask(session, asked, model_of("Parameters", schema), max_tokens=300)
    except AnswerInvalid:
        return None
    try:
        said = {**settled, **answer.value.model_dump(), "seed": previous.get("seed", 0)}
        fixed = validate_params(contract, card, said)
    except ValueError:
        session.log.tool_call(answer.name, valid=False)
        return None
    session.log.tool_call(answer.name, valid=True)
    return fixed if fixed != dict(previous) else None


def describe(contract: OperatorContract, parameters: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """The details of a step in words made by code."""
    chosen = ", ".join(f"{k} = {v}" for k, v in parameters.items() if v is not None and k != "seed")
    with_values = f" Parameters: {chosen}." if chosen else ""
    return f"{contract.procedure} Data: {card['id']}, {card.get('n_samples')} samples.{with_values}"
