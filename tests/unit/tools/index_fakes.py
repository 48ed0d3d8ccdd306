"""Documents and an encoder for the tests of the literature index; run as a script it adds them, slowly enough to be killed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labwright.domain import PaperIds
from labwright.tools.index_records import IndexedDocument
from labwright.tools.index_store import Embedder, LiteratureIndex

WIDTH = 256


def encode(texts: Sequence[str]) -> np.ndarray:
    """Hashed bags of words as unit vectors: texts that share words are near one another."""
    out = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            out[row, int(hashlib.sha256(word.strip(".,").encode()).hexdigest(), 16) % WIDTH] += 1
        out[row, 0] += 0.01
    return out / np.linalg.norm(out, axis=1, keepdims=True)


class CountingEncoder:
    """Remembers what it was asked to embed."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        return encode(texts)


EMBEDDER = Embedder(name="words", encode=encode)


def document(number: int, **more: object) -> IndexedDocument:
    """The n-th document of a corpus; its text names its number and its version."""
    return IndexedDocument.model_validate(
        {
            "id": f"d{number}",
            "title": f"Trial number{number} of aspirin in mice of the strain{number % 7}",
            "text": f"We measured marker{number} in blood, version one.",
            "ids": PaperIds(pmid=str(1000 + number)),
            "year": 2000 + number % 20,
            "type": "review" if number % 2 else "abstract",
            **more,
        }
    )


def main(folder: str, first: str, count: str) -> None:
    """Add documents in many batches, saying when each call is done."""
    index = LiteratureIndex(Path(folder), EMBEDDER)
    print("open", flush=True)
    for start in range(int(first), int(first) + int(count), 40):
        index.add([document(n) for n in range(start, start + 40)])
        index.add([document(n, text=f"We measured marker{n} again, version two.") for n in range(start, start + 10)])
        print(start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
