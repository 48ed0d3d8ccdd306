"""A pydantic model from the flat JSON schema of an operator's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


def model_of(name: str, schema: Mapping[str, Any], **extra: Any) -> type[BaseModel]:
    """Make the model.

    Args:
        name: its name.
        schema: {"type": "object", "properties": {...}} with strings, numbers, enums and lists of them.
        extra: more fields, as for `create_model`; they come after the schema's.
    """
    fields: dict[str, Any] = {key: (_kind(part), ...) for key, part in schema["properties"].items()}
    return create_model(name, __base__=_Strict, **{**fields, **extra})


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
