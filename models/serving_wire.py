"""Requests and answers of OpenAI's chat interface, as `labwright models serve` reads and writes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labwright.models.options import Options, read_options

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

IGNORED = ("user", "metadata", "store")
"""Fields that change no answer; every other one that is not known is refused, not left unheeded."""


class BadRequest(ValueError):
    """A request that cannot be answered as it stands.

    Attributes:
        status: of the HTTP answer.
        code: of OpenAI's error object; None for none.
    """

    def __init__(self, message: str, *, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    text: str


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]
    name: str | None = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class _StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class Request(BaseModel):
    """The body of a request; options of the answer are checked by :class:`Options`."""

    model_config = ConfigDict(extra="allow")
    model: str = ""
    messages: list[_Message] = Field(min_length=1)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    n: Literal[1] | None = None

    @property
    def wants_usage(self) -> bool:
        """The stream ends with a chunk of usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    def options(self) -> dict[str, Any]:
        """Options of the answer, under the names that every backend takes.

        Raises:
            BadRequest: unknown or out of range.
        """
        given = {k: v for k, v in (self.model_extra or {}).items() if k not in IGNORED and v is not None}
        try:
            checked: Options = read_options(given)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        if checked.repetition_penalty is not None:
            raise BadRequest("repetition_penalty is set by the backend")
        shown = {**given, "max_tokens": checked.max_tokens, "temperature": checked.temperature}
        shown.pop("max_completion_tokens", None)
        return shown

    def conversation(self) -> list[BaseMessage]:
        """The messages as langchain's."""
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

        kinds = {"system": SystemMessage, "developer": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
        return [kinds[m.role](content=m.text) for m in self.messages]


def read_request(body: bytes) -> Request:
    """Read a request's body.

    Raises:
        BadRequest: it is none.
    """
    try:
        return Request.model_validate_json(body)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()[:3])
        raise BadRequest(wrong) from error


def error_object(message: str, kind: str, code: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def completion(message: AIMessage, answer_id: str, model: str) -> dict[str, Any]:
    """The whole answer."""
    said = message.response_metadata
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": str(message.text), "refusal": None},
        "finish_reason": said.get("finish_reason") or "stop",
        "logprobs": said.get("logprobs"),
    }
    return {**_head(answer_id, model, "chat.completion"), "choices": [choice], "usage": _usage(message.usage_metadata)}


def chunk(piece: AIMessageChunk, answer_id: str, model: str) -> dict[str, Any]:
    """A piece of an answer."""
    said = piece.response_metadata
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": str(piece.text)} if piece.text else {},
        "finish_reason": said.get("finish_reason"),
        "logprobs": said.get("logprobs"),
    }
    return {**_head(answer_id, model, "chat.completion.chunk"), "choices": [choice]}


def usage_chunk(piece: AIMessageChunk, answer_id: str, model: str) -> dict[str, Any]:
    """The last piece, which says what the answer cost."""
    return {
        **_head(answer_id, model, "chat.completion.chunk"),
        "choices": [],
        "usage": _usage(piece.usage_metadata),
    }


def _head(answer_id: str, model: str, kind: str) -> dict[str, Any]:
    return {"id": answer_id, "object": kind, "created": int(time.time()), "model": model}


def _usage(usage: Mapping[str, Any] | None) -> dict[str, int]:
    counted = usage or {}
    read, written = int(counted.get("input_tokens", 0)), int(counted.get("output_tokens", 0))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
