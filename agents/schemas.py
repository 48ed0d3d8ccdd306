"""Schemas of answers: their base, the types of their fields, and a model from the parameters of an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model


class Answer(BaseModel):
    """Base of the answers: a field that the schema does not have is an error."""

    model_config = ConfigDict(extra="forbid")


def one_of(names: Sequence[str]) -> Any:
    """Type of one of several names."""
    return Literal[tuple(names)]


def any_of(schemas: Sequence[type[BaseModel]]) -> Any:
    """Type of one of several answers."""
    return Union[tuple(schemas)]  # noqa: UP007


def list_of(kind: Any, least: int, most: int) -> Any:
    """Type of a list of `least` to `most` of a kind."""
    return Annotated[list[kind], Field(min_length=least, max_length=most)]


def text(least: int, most: int) -> Any:
    """Type of a text of `least` to `most` characters."""
    return Annotated[str, StringConstraints(min_length=least, max_length=most)]


def model_of(name: str, schema: Mapping[str, Any], **extra: Any) -> type[BaseModel]:
    """Make the model.

    Args:
        name: its name.
        schema: {"type": "object", "properties": {...}} with strings, numbers, enums and lists of them.
        extra: more fields, as for `create_model`; they come after the schema's.
    """
    fields: dict[str, Any] = {key: (_kind(part), ...) for key, part in schema["properties"].items()}
    return create_model(name, __base__=Answer, **{**fields, **extra})


def _kind(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    kind = schema["type"]
    if kind == "array":
        most, least = schema.get("maxItems"), schema.get("minItems")
        return Annotated[list[_kind(schema["items"])], Field(min_length=least, max_length=most)]  # type: ignore[misc]
    if kind in ("integer", "number"):
        number = int if kind == "integer" else float
        return Annotated[number, Field(ge=schema.get("minimum"), le=schema.get("maximum"))]
    return Annotated[str, StringConstraints(min_length=schema.get("minLength"), max_length=schema.get("maxLength"))]
