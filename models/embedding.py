"""all-MiniLM-L6-v2 sentence embeddings in numpy: no torch, the weights read from safetensors.

The network is BERT with six layers (Devlin et al. 2019; Wang et al. 2020 for MiniLM), mean pooling over the
attention mask and L2 normalisation (Reimers and Gurevych 2019). Agrees with transformers to 1e-4.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from labwright.models import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

NAME = "all-minilm-l6-v2"
MAX_TOKENS = 256
LAYERS, HEADS, WIDTH = 6, 12, 384
EPSILON = 1e-12
BATCH_TOKENS = 256
"""Word pieces of one batch, padding included: its arrays then stay in a core's cache."""


class MiniLM:
    """Sentence encoder; texts to unit vectors of 384 float32 numbers."""

    def __init__(self, folder: Path | None = None) -> None:
        """Load the encoder from `folder`, or from the cache (fetched when absent).

        Raises:
            ModelMissing, HashMismatch: the files cannot be had or are not the pinned ones.
        """
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = folder or weights.resolve(NAME)
        self._w: dict[str, Array] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_str(_unpadded((folder / "tokenizer.json").read_text(encoding="utf-8")))
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, texts: Sequence[str]) -> Array:
        """Embed texts.

        Args:
            texts: n texts; beyond 256 word pieces a text is cut.

        Returns:
            Array (n, 384) of unit rows; the dot product of two rows is their cosine.
        """
        out = np.zeros((len(texts), WIDTH), dtype=np.float32)
        ids = [self._tokenizer.encode(text).ids for text in texts]
        batches = _batches([len(one) for one in ids])

        def run(batch: list[int]) -> None:
            out[batch] = self._forward([ids[i] for i in batch])

        if len(batches) < 2:
            for batch in batches:
                run(batch)
            return out
        # A batch a core is twice as fast as all cores on one batch: only the products of matrices share well.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(run, reversed(batches)))
        return out

    def _forward(self, ids: list[list[int]]) -> Array:
        b, t = len(ids), max(map(len, ids))
        tokens = np.zeros((b, t), dtype=np.int64)
        mask = np.zeros((b, t), dtype=np.float32)
        for row, sequence in enumerate(ids):
            tokens[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1.0
        w = self._w
        x = w["embeddings.word_embeddings.weight"][tokens]  # (b, t, c)
        x = x + w["embeddings.position_embeddings.weight"][:t] + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x, "embeddings.LayerNorm")
        bias = ((1.0 - mask) * -1e9)[:, None, None, :]  # (b, 1, 1, t)
        for layer in range(LAYERS):
            x = self._layer(x, bias, f"encoder.layer.{layer}")
        pooled = (x * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), dtype=np.float32)

    def _layer(self, x: Array, bias: Array, name: str) -> Array:
        from scipy.special import erf

        b, t, c = x.shape
        heads = (b, t, HEADS, c // HEADS)

        def split(which: str) -> Array:
            return self._linear(x, f"{name}.attention.self.{which}").reshape(heads).transpose(0, 2, 1, 3)

        scores = split("query") @ split("key").transpose(0, 1, 3, 2) / np.float32(np.sqrt(c // HEADS)) + bias
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attention = scores / scores.sum(axis=-1, keepdims=True)  # (b, heads, t, t)
        context = (attention @ split("value")).transpose(0, 2, 1, 3).reshape(b, t, c)
        x = self._norm(
            x + self._linear(context, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm"
        )
        inner = self._linear(x, f"{name}.intermediate.dense")
        inner = inner * np.float32(0.5) * (np.float32(1.0) + erf(inner / np.float32(np.sqrt(2.0))))
        return self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: Array, name: str) -> Array:
        result: Array = x @ self._w[f"{name}.weight"].T + self._w[f"{name}.bias"]
        return result

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        result: Array = centred / scale * self._w[f"{name}.weight"] + self._w[f"{name}.bias"]
        return result


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Places of texts of similar length, shortest first, in batches of about `BATCH_TOKENS` word pieces."""
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batches and (len(batches[-1]) + 1) * lengths[i] <= BATCH_TOKENS:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _unpadded(tokenizer: str) -> str:
    # The published tokenizer pads every text to 128 pieces; batches are padded here, to their longest.
    table = json.loads(tokenizer)
    table["padding"] = None
    return json.dumps(table)


_shared: dict[str, MiniLM] = {}
_lock = threading.Lock()


def shared_encoder() -> MiniLM:
    """The process-wide encoder, loaded at the first call."""
    with _lock:
        if NAME not in _shared:
            _shared[NAME] = MiniLM()
        return _shared[NAME]


class CachedEncoder:
    """An encoder that keeps every vector it made in a file, so that no text is embedded twice."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; the model itself is loaded at the first unknown text."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=60)
        self._db.execute("create table if not exists vectors (key text primary key, vector blob not null)")
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> Array:
        """Embed texts: n texts to an array (n, 384) of unit rows."""
        keys = [hashlib.sha256(f"{NAME}\0{text}".encode()).hexdigest() for text in texts]
        with self._lock:
            known = {k: self._find(k) for k in dict.fromkeys(keys)}
            new = {k: t for k, t in zip(keys, texts, strict=True) if known[k] is None}
            if new:
                vectors = shared_encoder().encode(list(new.values()))
                known.update(zip(new, vectors, strict=True))
                rows = [(k, v.tobytes()) for k, v in zip(new, vectors, strict=True)]
                self._db.executemany("insert or ignore into vectors values (?, ?)", rows)
        rows_out = [known[k] for k in keys]
        return np.asarray(rows_out, dtype=np.float32).reshape(len(texts), WIDTH)

    def _find(self, key: str) -> Array | None:
        row = self._db.execute("select vector from vectors where key = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype=np.float32)
