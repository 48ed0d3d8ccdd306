"""Chat models of OpenAI-compatible servers: hosted ones, vLLM, Ollama, llama.cpp, and our embedded one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from labwright.errors import ConfigInvalid, KeyMissing

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from labwright.config import BackendConfig

TIMEOUT_S = 600.0
NO_KEY = "none"
"""Sent where a server asks for no key."""


def openai_chat(base_url: str, model: str, key: str, *, extra_body: dict[str, Any] | None = None) -> BaseChatModel:
    """A chat model behind an OpenAI-compatible address.

    Args:
        base_url: ends in /v1; empty for the default of the openai client.
        model: the model's id on that server.
        key: sent as bearer token.
        extra_body: fields that only that server understands.
    """
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        model=model,
        base_url=base_url or None,
        api_key=SecretStr(key),
        timeout=TIMEOUT_S,
        max_retries=2,
        extra_body=extra_body,
        use_responses_api=False,
    )


def remote_chat(name: str, config: BackendConfig) -> BaseChatModel:
    """The chat model of a `kind = "remote"` table.

    Raises:
        ConfigInvalid: no model is named.
        KeyMissing: the variable that should hold the key is not set.
    """
    if not config.model:
        raise ConfigInvalid(f"[backends.{name}]: a remote backend needs `model = ...`")
    key = NO_KEY
    if config.api_key_env:
        key = os.environ.get(config.api_key_env, "").strip()
        if not key:
            raise KeyMissing(f"[backends.{name}]: set {config.api_key_env} to the server's API key")
    return openai_chat(config.base_url, config.model, key)


def one_line(chat: BaseChatModel, error: Exception) -> str:
    """What a server said, on one line, without the key that it may have sent back."""
    words = " ".join(str(error).split())
    key = getattr(chat, "openai_api_key", None)
    if isinstance(key, SecretStr) and len(key.get_secret_value()) > len(NO_KEY):
        words = words.replace(key.get_secret_value(), "[key]")
    return words[:300]
