"""One request to a chat model: its reply, or one line that says why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import openai
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from labwright.errors import KeyMissing, ModelMissing
from labwright.models.remote import one_line

UNCOMMON = {"response_format", "logprobs", "top_logprobs"}
"""Options that not every OpenAI-compatible server takes."""


def send(
    chat: BaseChatModel,
    backend: str,
    messages: Sequence[BaseMessage],
    options: Mapping[str, Any],
    labels: Sequence[str] = (),
) -> AIMessage:
    """Send one request.

    A server that refuses grammars or token probabilities is asked again without them, with the schema in words; an
    answer that ran into its limit comes back as it stands.

    Args:
        chat: the backend's chat model.
        backend: its name, for messages.
        messages: system and user messages.
        options: those of the request.
        labels: answers of a closed question; only an ensemble looks at them, so they go beside the options, which
            servers would refuse.

    Raises:
        KeyMissing: the server refuses the key.
        ModelMissing: it does not answer, refuses the call, or answers with something that is no completion.
    """
    try:
        message = chat.invoke(list(messages), {"metadata": {"labels": list(labels)}}, **options)
    except openai.LengthFinishReasonError as error:
        return cut_off(error)
    except openai.BadRequestError as error:
        if not set(options) & UNCOMMON:
            raise ModelMissing(f"{backend} refuses the call: {one_line(chat, error)}") from error
        # A server without grammars or token probabilities: the schema is asked for in words and parsed as strictly.
        fewer = {k: v for k, v in options.items() if k not in UNCOMMON}
        return send(chat, backend, [*messages, *_schema_in_words(options)], fewer, labels)
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        said = one_line(chat, error)
        raise KeyMissing(f"{backend} refuses the key: {said}; set the key's variable") from error
    except (openai.APIConnectionError, openai.InternalServerError, httpx.HTTPError) as error:
        said = one_line(chat, error)
        raise ModelMissing(f"{backend} does not answer ({said}); start it or see `labwright doctor`") from error
    except openai.APIStatusError as error:
        raise ModelMissing(f"{backend} refuses the call: {one_line(chat, error)}") from error
    except (openai.OpenAIError, ValueError, TypeError, AttributeError, LookupError) as error:
        # What langchain-openai and openai raise over replies that are no completion: no JSON, no choices, filtered.
        said = one_line(chat, error)
        raise ModelMissing(f"{backend} gives no usable answer ({said}); see `labwright doctor`") from error
    return message


def _schema_in_words(options: Mapping[str, Any]) -> list[BaseMessage]:
    wanted = options.get("response_format")
    if wanted is None:
        return []
    return [HumanMessage(f"Answer with one JSON object of this schema: {json.dumps(wanted['json_schema']['schema'])}")]


def cut_off(error: openai.LengthFinishReasonError) -> AIMessage:
    """The answer that ran into its limit, as it stands: its schema will find it invalid, and it is asked again."""
    usage = error.completion.usage
    read, written = (usage.prompt_tokens, usage.completion_tokens) if usage is not None else (0, 0)
    cached = usage.prompt_tokens_details.cached_tokens if usage is not None and usage.prompt_tokens_details else 0
    return AIMessage(
        error.completion.choices[0].message.content or "",
        usage_metadata={
            "input_tokens": read,
            "output_tokens": written,
            "total_tokens": read + written,
            "input_token_details": {"cache_read": cached or 0},
        },
    )


def top_tokens(message: AIMessage) -> list[list[Any]]:
    """The most probable first tokens of an answer with their log probabilities; empty when the server gave none."""
    content = (message.response_metadata.get("logprobs") or {}).get("content") or []
    if not content:
        return []
    return [[item["token"], item["logprob"]] for item in content[0].get("top_logprobs") or content[:1]]
