"""Sentence encoders by configuration: the embedded MiniLM, sentence-transformers, or an OpenAI-compatible server."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from labwright.errors import ConfigInvalid, KeyMissing, ModelMissing
from labwright.models.embedding import NAME, shared_encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from labwright.config import IndexConfig

    Vectors = NDArray[np.float32]
    Encode = Callable[[Sequence[str]], Vectors]

BATCH = 64


def encoder(config: IndexConfig) -> tuple[str, Encode]:
    """Name and function of the configured encoder; the function turns n texts into unit rows (n, d).

    The name stands for kind and model, so that vectors of different encoders are never mixed in one index.

    Raises:
        ConfigInvalid: the kind needs a model or an address that is not given.
        ModelMissing: the library is not installed, or the model cannot be loaded.
        KeyMissing: the environment variable of the key is empty.
    """
    if config.embedder == "embedded":
        return NAME, lambda texts: shared_encoder().encode(texts)
    if not config.model:
        raise ConfigInvalid(f"[index] embedder = {config.embedder!r} needs a `model`")
    name = f"{config.embedder}:{config.model}"
    if config.embedder == "sentence-transformers":
        return name, _sentence_transformers(config.model)
    return name, _remote(config)


def _sentence_transformers(model: str) -> Encode:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ModelMissing("sentence-transformers is not installed; `pip install sentence-transformers`") from error
    try:
        loaded = SentenceTransformer(model)
    except (OSError, ValueError) as error:
        raise ModelMissing(f"[index] model {model!r} cannot be loaded: {error}") from error
    return lambda texts: _unit(loaded.encode(list(texts), batch_size=BATCH, show_progress_bar=False))


def _remote(config: IndexConfig) -> Encode:
    if not config.base_url:
        raise ConfigInvalid("[index] embedder = 'openai' needs a `base_url`")
    key = os.environ.get(config.api_key_env, "") if config.api_key_env else "none"
    if not key:
        raise KeyMissing(f"the variable {config.api_key_env} of [index] is empty; export the key")

    def encode(texts: Sequence[str]) -> Vectors:
        from openai import OpenAI, OpenAIError

        client = OpenAI(base_url=config.base_url, api_key=key)
        rows: list[list[float]] = []
        try:
            for start in range(0, len(texts), BATCH):
                part = list(texts[start : start + BATCH])
                reply = client.embeddings.create(model=config.model, input=part, encoding_format="float")
                rows += [item.embedding for item in sorted(reply.data, key=lambda item: item.index)]
        except OpenAIError as error:
            raise ModelMissing(f"the embedding server at {config.base_url} failed: {error}") from error
        if len(rows) != len(texts):
            raise ModelMissing(f"{config.base_url} returned {len(rows)} vectors for {len(texts)} texts")
        return _unit(rows)

    return encode


def _unit(rows: object) -> Vectors:
    array = np.asarray(rows, dtype=np.float32)
    norms = np.linalg.norm(array, axis=1, keepdims=True)
    return np.asarray(array / np.where(norms > 0, norms, 1.0), dtype=np.float32)
