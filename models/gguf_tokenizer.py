"""The tokenizer of a checkpoint as metadata of a GGUF file: byte-level BPE, the kind of Llama 3, Qwen2 and SmolLM2."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gguf import GGUFWriter, TokenType

from labwright.errors import WrongUse
from labwright.models.pretokenizers import name_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def write_tokenizer(writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Write tokens, merges, special tokens and the chat template.

    Args:
        writer: of the file.
        tokenizer: a fast byte-level BPE tokenizer.
        rows: of the embedding; those without a token get an unused one.

    Raises:
        WrongUse: llama.cpp would split text into other tokens.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise WrongUse("only fast tokenizers can be exported")
    said = json.loads(backend.to_str())
    _check(said)
    tokens, types = _vocabulary(said, rows)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name_of(backend))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = said["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    _write_special(writer, tokenizer)
    if isinstance(tokenizer.chat_template, str):
        writer.add_string("tokenizer.chat_template", tokenizer.chat_template)


def _check(said: dict[str, Any]) -> None:
    model, normalizer = said["model"], said["normalizer"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise WrongUse(
            "only byte-level BPE tokenizers can be exported (Llama 3, Qwen2, SmolLM2), not sentencepiece ones"
        )
    # NFC changes no text that is composed already, which is how text is written.
    if normalizer is not None and normalizer["type"] != "NFC":
        raise WrongUse(f"a tokenizer that normalises text by {normalizer['type']} cannot be exported")


def _vocabulary(said: dict[str, Any], rows: int) -> tuple[list[str], list[TokenType]]:
    by_id = {int(i): (str(token), TokenType.NORMAL) for token, i in said["model"]["vocab"].items()}
    for added in said["added_tokens"]:
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        by_id[int(added["id"])] = (str(added["content"]), kind)
    filled = [by_id.get(i, (f"[PAD{i}]", TokenType.UNUSED)) for i in range(rows)]
    return [token for token, _ in filled], [kind for _, kind in filled]


def _write_special(writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase) -> None:
    for name in ("bos", "eos", "unk", "pad"):
        found = getattr(tokenizer, f"{name}_token_id")
        if found is not None:
            getattr(writer, f"add_{name}_token_id")(int(found))
    start = tokenizer("")["input_ids"]
    writer.add_add_bos_token(bool(start) and start[0] == tokenizer.bos_token_id)
