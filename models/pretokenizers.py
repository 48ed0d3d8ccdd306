"""How byte-level BPE tokenizers split text before merging, under the names that GGUF files give to it.

The names and their patterns are those of llama.cpp (`tokenizer.ggml.pre`). transformers reads every GGUF file
of the Llama family as "gpt-2", which splits the digits of SmolLM2 otherwise than its training did; so the name
in the file decides, both ways.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.errors import WrongUse

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer
    from transformers import PreTrainedTokenizerBase

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {"qwen2": WORDS + r"\p{N}" + REST, "llama-bpe": WORDS + r"\p{N}{1,3}" + REST}
NAMES = ("gpt-2", "smollm", *PATTERNS)


def pre_tokenizer(name: str) -> PreTokenizer:
    """The splitting that a name of `NAMES` stands for."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

    if name == "gpt-2":
        return ByteLevel(add_prefix_space=False, use_regex=True)
    if name == "smollm":
        return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)])
    split = Split(Regex(PATTERNS[name]), behavior="isolated", invert=False)
    return Sequence([split, ByteLevel(add_prefix_space=False, use_regex=False)])


def name_of(tokenizer: Tokenizer) -> str:
    """The name of a tokenizer's splitting.

    Raises:
        WrongUse: it is none of `NAMES`.
    """
    from tokenizers import Tokenizer as Fresh
    from tokenizers.models import BPE

    found = _splitting(tokenizer)
    for name in NAMES:
        other = Fresh(BPE())
        other.pre_tokenizer = pre_tokenizer(name)
        if _splitting(other) == found:
            return name
    raise WrongUse(f"the tokenizer splits text in none of the ways {', '.join(NAMES)}; it cannot be exported")


def mend(tokenizer: PreTrainedTokenizerBase, gguf_file: Path) -> None:
    """Give a tokenizer that was read from a GGUF file the splitting that the file names."""
    from gguf import GGUFReader

    field = GGUFReader(gguf_file).get_field("tokenizer.ggml.pre")
    name = str(field.contents()) if field is not None else ""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if name in NAMES and backend is not None:
        backend.pre_tokenizer = pre_tokenizer(name)


def _splitting(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    said = json.loads(tokenizer.to_str())["pre_tokenizer"] or {}
    parts = said.get("pretokenizers", [said])
    # Offsets are for people who map tokens back to text; they change no token.
    return [{k: v for k, v in part.items() if k != "trim_offsets"} for part in parts]
