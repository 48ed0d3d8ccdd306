"""A LLaVA of a hundred thousand random weights, and the inputs of a prompt with an image or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

IMAGE, PAD, CUE = 5, 0, 2
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PATCHES = 9
WORDS = 40


def model(seed: int = 0, layers: int = 3) -> LlavaForConditionalGeneration:
    torch.manual_seed(seed)
    text = LlamaConfig(
        vocab_size=WORDS, hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=2,
        max_position_embeddings=128, pad_token_id=PAD, bos_token_id=1, eos_token_id=3, initializer_range=0.2,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=8
    )
    config = LlavaConfig(text_config=text, vision_config=vision, image_token_index=IMAGE, pad_token_id=PAD)
    return LlavaForConditionalGeneration(config).eval()


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3)).astype(np.uint8))


def encode(text: str, image: Image.Image | None) -> dict[str, Any]:
    """Words are numbers from 6; the cue of the assistant ends every prompt."""
    words = [6 + int(w) for w in text.split()]
    ids = [1, *([IMAGE] * PATCHES if image is not None else []), *words, CUE]
    made: dict[str, Any] = {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
    }
    if image is not None:
        pixels = torch.from_numpy(np.array(image.convert("RGB").resize((24, 24)))).float() / 127.5 - 1
        made["pixel_values"] = pixels.permute(2, 0, 1)[None]
    return made


def padded(*rows: dict[str, Any], left: bool = True) -> dict[str, Any]:
    """Rows without images as one batch."""
    longest = max(r["input_ids"].shape[1] for r in rows)
    made: dict[str, list[torch.Tensor]] = {"input_ids": [], "attention_mask": []}
    for row in rows:
        for name, values in made.items():
            fill = torch.zeros(1, longest - row[name].shape[1], dtype=torch.long)
            values.append(torch.cat([fill, row[name]] if left else [row[name], fill], dim=1))
    return {name: torch.cat(values) for name, values in made.items()}


def save(folder: Path, seed: int = 0, template: str | None = TEMPLATE) -> Path:
    """A random LLaVA with a byte-level tokenizer and a processor, as a folder."""
    import tiny_models
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    words = tiny_models.tokenizer(template=None)
    words.add_special_tokens({"additional_special_tokens": ["<image>"]})
    torch.manual_seed(seed)
    text = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=1024, pad_token_id=words.pad_token_id, bos_token_id=None,
        eos_token_id=words.eos_token_id, initializer_range=0.2,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=8
    )
    config = LlavaConfig(
        text_config=text, vision_config=vision, image_token_index=words.convert_tokens_to_ids("<image>"),
        pad_token_id=words.pad_token_id, vision_feature_select_strategy="full",
    )  # fmt: skip
    made = LlavaForConditionalGeneration(config)
    made.save_pretrained(folder)
    eyes = CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
    LlavaProcessor(eyes, words, patch_size=8, vision_feature_select_strategy="full", num_additional_image_tokens=1,
                   chat_template=template).save_pretrained(folder)  # fmt: skip
    return folder
