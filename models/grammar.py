"""Generation that can only write JSON of a schema: llguidance's masks as a logits processor of transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import LogitsProcessor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# One way to write each value, the one that models have read most: {"a": 1, "b": [2, 3]}.
STYLE: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def grammar_tokenizer(tokenizer: PreTrainedTokenizerBase, rows: int) -> LLTokenizer:
    """The bytes of every token, as llguidance wants them; takes about a second, so make it once.

    Args:
        tokenizer: a fast tokenizer.
        rows: width of the model's logits, at least the tokenizer's size.

    Raises:
        ValueError: the tokenizer is not a fast one.
    """
    return from_tokenizer(cast("Any", tokenizer), n_vocab=rows)


def schema_grammar(schema: Mapping[str, Any], tokenizer: LLTokenizer) -> str:
    """The grammar of a JSON schema.

    Raises:
        ValueError: the schema is none, or says something that cannot be enforced.
    """
    grammar = str(LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=STYLE))
    wrong = LLMatcher.validate_grammar(grammar, tokenizer)
    if wrong and not wrong.startswith("WARNING"):
        raise ValueError(f"the schema cannot be enforced: {' '.join(wrong.split())[:200]}")
    return grammar


class SchemaProcessor(LogitsProcessor):
    """Forbids every token that no JSON text of the schema goes on with; after the last one only the end is left."""

    def __init__(self, tokenizer: LLTokenizer, grammar: str, rows: int, prompt_tokens: int) -> None:
        """Start before the first token.

        Args:
            tokenizer: of the model.
            grammar: of `schema_grammar`.
            rows: answers that are written side by side.
            prompt_tokens: length of the padded prompts.
        """
        self._matchers = [LLMatcher(tokenizer, grammar, log_level=0) for _ in range(rows)]
        self._end = int(tokenizer.eos_token)
        self._read = prompt_tokens

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Mask the scores of the next token.

        Args:
            input_ids: prompts and what was written, (rows, length).
            scores: (rows, vocabulary).

        Returns:
            The scores with -inf where the schema allows no token, (rows, vocabulary).

        Raises:
            ValueError: a matcher gave up, over a schema with too many alternatives.
        """
        rows, vocabulary = scores.shape
        allowed = np.zeros((rows, vocabulary), dtype=bool)
        for row, matcher in enumerate(self._matchers):
            for token in input_ids[row, self._read :].tolist():
                if not matcher.is_stopped():
                    matcher.consume_token(token)
            if matcher.is_error():
                raise ValueError(f"the schema cannot be followed: {' '.join(matcher.get_error().split())[:200]}")
            if matcher.is_stopped():
                allowed[row, self._end] = True
            else:
                bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
                mask = np.unpackbits(bits, bitorder="little")[:vocabulary]
                allowed[row, : len(mask)] = mask
        self._read = input_ids.shape[1]
        forbidden = ~torch.from_numpy(allowed).to(scores.device)
        return scores.masked_fill(forbidden, -torch.inf)  # type: ignore[return-value]
