"""Tiny bases, adapters and a tokenizer of whole words, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from labwright.models.h3fusion import H3FusionConfig, H3FusionForCausalLM

NAMES = ("helpful", "harmless", "honest")
FFN = ("gate_proj", "up_proj", "down_proj")
SMALL: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "llama": LlamaConfig(**SMALL),
    "llama_tied": LlamaConfig(**{**SMALL, "tie_word_embeddings": True}),
    "qwen2": Qwen2Config(**{**SMALL, "tie_word_embeddings": True}),
    "gemma2": Gemma2Config(**{**SMALL, "head_dim": 16}),
}


def tokenizer(words: int = 36) -> PreTrainedTokenizerFast:
    vocab = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, **{f"w{i}": 4 + i for i in range(words)}}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def mixture(family: str = "llama", top_k: int = 2, seed: int = 0) -> H3FusionForCausalLM:
    """A mixture whose experts and routers differ enough to be told apart."""
    torch.manual_seed(seed)
    model = H3FusionForCausalLM(H3FusionConfig(FAMILIES[family], num_experts_per_tok=top_k)).eval()
    with torch.no_grad():
        for block in model.mixtures:
            for parameter in block.parameters():
                parameter.normal_(std=0.3)
    return model


def write_base(folder: Path, family: str = "llama", seed: int = 0, words: int = 36, **changes: Any) -> Path:
    torch.manual_seed(seed)
    config = type(FAMILIES[family])(**{**FAMILIES[family].to_dict(), **changes})
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer(words).save_pretrained(folder)
    return folder


def write_adapter(folder: Path, base: Path, seed: int, targets: tuple[str, ...] = FFN, **settings: Any) -> Path:
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(
        **{"r": 2, "lora_alpha": 1, "target_modules": list(targets), "task_type": "CAUSAL_LM", **settings}
    )
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)
    return folder
