"""Options of one request to a local model, under the names of the OpenAI-compatible interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

MOST_TOKENS = 512
MOST_TOP = 20


class JsonSchema(BaseModel):
    """The schema of a structured answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = ""
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """`response_format`: what the answer has to be."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None


class Options(BaseModel):
    """What a request may ask for; anything else is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    max_tokens: int = Field(MOST_TOKENS, ge=1, validation_alias=AliasChoices("max_tokens", "max_completion_tokens"))
    """Most tokens of the answer."""
    temperature: float = Field(0.7, ge=0, le=2)
    """0 takes the most probable token each time."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Tokens are drawn from the smallest set of so much probability."""
    repetition_penalty: float | None = Field(
        None, gt=0, le=2, validation_alias=AliasChoices("repetition_penalty", "repeat_penalty")
    )
    """Above 1 lowers tokens that occurred (Keskar et al. 2019); None takes the backend's."""
    seed: int | None = None
    """Of the draws; None takes one at random."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer, which does not hold them."""
    logprobs: bool = False
    """Give the log probability of each token."""
    top_logprobs: int = Field(0, ge=0, le=MOST_TOP)
    """And those of so many most probable ones in its place."""
    response_format: ResponseFormat = ResponseFormat()

    @field_validator("stop", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return () if value is None else (value,) if isinstance(value, str) else value

    @property
    def schema_of_answer(self) -> dict[str, Any] | None:
        """The JSON schema that the answer has to follow; None for free text."""
        form = self.response_format
        if form.type == "text":
            return None
        return form.json_schema.schema_ if form.json_schema is not None else {"type": "object"}


def read_options(given: Mapping[str, Any]) -> Options:
    """Options from the keyword arguments of a call; those that are None are left at their defaults.

    Raises:
        ValueError: unknown or out of range, all named.
    """
    try:
        return Options.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"options of the request: {wrong}") from error
