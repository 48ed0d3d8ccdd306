"""An answer in pieces, as the model writes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from transformers.generation.streamers import BaseStreamer

if TYPE_CHECKING:
    import torch

    from labwright.models.decoding import Answer, Decoder
    from labwright.models.options import Options

UNFINISHED = "\ufffd"
"""What a tokenizer writes for bytes that are not a character yet."""


class _Abandoned(Exception):
    """Nobody reads the answer any more."""


class _Tokens(BaseStreamer):
    """Passes token ids to another thread; the first ones it gets are the prompt."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[list[int] | Answer | BaseException] = SimpleQueue()
        self.abandoned = threading.Event()
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        if self.abandoned.is_set():
            raise _Abandoned
        if self._prompt_seen:
            self.queue.put(value.reshape(-1).tolist())
        self._prompt_seen = True

    def end(self) -> None:
        """The answer itself ends the stream."""


def stream_answer(decoder: Decoder, prompt: str, options: Options, grammar: str) -> Iterator[str | Answer]:
    """Write an answer, piece by piece and then as a whole.

    The model stops soon after the iterator is closed. What may be the start of a stop text is held back until it is
    known not to be one.

    Args:
        decoder: of the model.
        prompt: the rendered conversation.
        options: of the request.
        grammar: of `schema_grammar`; empty for free text.

    Yields:
        Pieces of text that together are the answer's text, and at last the answer.

    Raises:
        ValueError: as `Decoder.write`.
    """
    tokens = _Tokens()
    thread = threading.Thread(target=_write, args=(decoder, prompt, (options, grammar), tokens), daemon=True)
    thread.start()
    ids: list[int] = []
    shown = 0
    try:
        while True:
            given = tokens.queue.get()
            if isinstance(given, BaseException):
                raise given
            if not isinstance(given, list):
                if given.text[shown:]:
                    yield given.text[shown:]
                yield given
                return
            ids += [token for token in given if token not in decoder.ends]
            text = str(decoder.tokenizer.decode(ids, skip_special_tokens=True))
            safe = _safe_length(text, options.stop)
            if safe > shown:
                yield text[shown:safe]
                shown = safe
    finally:
        tokens.abandoned.set()
        thread.join()


def _write(decoder: Decoder, prompt: str, given: tuple[Options, str], tokens: _Tokens) -> None:
    options, grammar = given
    result: Any
    try:
        result = decoder.write([prompt], options, grammar, tokens)[0]
    except _Abandoned:
        return
    except BaseException as error:  # noqa: BLE001  (raised again by the thread that reads)
        result = error
    tokens.queue.put(result)


def _safe_length(text: str, stops: tuple[str, ...]) -> int:
    """Characters of `text` that stay whatever comes next: no half character, no stop text or start of one."""
    safe = len(text.rstrip(UNFINISHED))
    for stop in stops:
        place = text.find(stop) if stop else -1
        if place >= 0:
            safe = min(safe, place)
            continue
        begun = next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
        safe = min(safe, len(text) - begun)
    return safe
