"""Random language models of a few thousand weights with real byte-level tokenizers, as folders on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CORPUS = [
    "Which genes of the tumour predict the survival of patients with breast cancer?",
    'The answer is {"symbol": "TP53", "sizes": [1, 2, 30]} and yes or no, high or low, 1 2 3 4 5.',
    "Genes that differ between tumour and normal tissue are tested, and 1234 of 20531 differ.",
    "Größe, naïve, β-catenin: letters of two bytes.",
] * 4
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer(pre: str = "gpt-2", *, template: str | None = CHATML) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    from labwright.models.pretokenizers import pre_tokenizer

    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizer(pre)
    backend.decoder = ByteLevelDecoder()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = template
    return made


def save(folder: Path, kind: str = "llama", *, seed: int = 0, template: str | None = CHATML, **changes: Any) -> Path:
    """Write a random model with its tokenizer; `kind` is llama, qwen2 or mixtral."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    words = tokenizer("qwen2" if kind == "qwen2" else "gpt-2", template=template)
    settings: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.25,  # far from uniform, so that a wrong weight shows in the probabilities
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        "tie_word_embeddings": kind == "qwen2",
    }
    if kind == "mixtral":
        settings |= {"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": None}
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**settings, **changes}))
    with torch.no_grad():  # norms and biases start at 1 and 0, where leaving one out changes nothing
        for weight in model.parameters():
            if weight.dim() == 1:
                weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
