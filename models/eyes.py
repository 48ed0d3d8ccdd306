"""A vision tower whose weights install from a package, and a vision-language model made of it and a language model.

EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946, in the form without squeeze-and-excitation; 3.4 million weights
without its classifier) gives a map of 7 x 7 places of 1,280 numbers. A connector turns each place into a token of the
language model: the model is a LLaVA of transformers (Liu et al. 2023, arXiv 2304.08485) but for its tower.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    CLIPImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput

from labwright.errors import HashMismatch, WrongUse
from labwright.models.checkpoints import Checkpoint
from labwright.models.same_padding import same_edges
from labwright.models.weights import Progress, pull, silent

BLOCKS = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
"""Repeats, kernel, stride of the first, expansion and width of each stage."""
STEM, HEAD = 32, 1280
EPSILON = 1e-3
SIDE, STRIDE = 224, 32
IMAGE_TOKEN = "<image>"  # noqa: S105  (a token of text)
WEIGHTS = "efficientnet-lite0"
"""Name in `labwright models list`."""


class EyesConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Configuration of the tower; its shape is fixed."""

    model_type = "labwright_eyes"

    def __init__(self, hidden_size: int = HEAD, image_size: int = SIDE, patch_size: int = STRIDE, **rest: Any) -> None:
        """Keep what a LLaVA asks of a tower's configuration."""
        super().__init__(**rest)
        self.hidden_size, self.image_size, self.patch_size = hidden_size, image_size, patch_size


class Convolution(nn.Conv2d):
    """A convolution padded as TensorFlow does."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, c, h, w) to (n, outputs, h / stride, w / stride), rounded up."""
        return super().forward(F.pad(images, same_edges(images.shape[2:], self.kernel_size, self.stride)))


def _step(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        Convolution(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs, eps=EPSILON, momentum=0.01)
    )


class Block(nn.Module):
    """Inverted residual: widen, look at the neighbourhood of each channel, narrow."""

    def __init__(self, shape: tuple[int, int], kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inputs, outputs = shape
        wide = inputs * expansion
        self.expand = _step(inputs, wide) if expansion > 1 else nn.Identity()
        self.look = _step(wide, wide, kernel, stride, wide)
        self.narrow = _step(wide, outputs)
        self.passes = stride == 1 and inputs == outputs
        self.expands = expansion > 1

    def forward(self, images: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        wide = F.relu6(self.expand(images)) if self.expands else images
        made: Tensor = self.narrow(F.relu6(self.look(wide)))
        return made + images if self.passes else made


class EyesModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """EfficientNet-Lite0 without its classifier."""

    config_class = EyesConfig
    main_input_name = "pixel_values"
    _no_split_modules = ["Block"]  # noqa: RUF012  (the form that transformers asks for)

    def __init__(self, config: EyesConfig) -> None:
        """Random weights; see :func:`load_eyes`."""
        super().__init__(config)
        self.stem = _step(3, STEM, 3, 2)
        blocks, width = [], STEM
        for repeats, kernel, stride, expansion, outputs in BLOCKS:
            for number in range(repeats):
                blocks.append(Block((width, outputs), kernel, stride if number == 0 else 1, expansion))
                width = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = _step(width, HEAD)
        self.post_init()  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> EyesModel:
        """Stay in evaluation mode: the tower is never trained, and the statistics of its norms must not move."""
        return super().train(False)  # type: ignore[no-any-return, unused-ignore]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, pixel_values: Tensor, **ignored: Any) -> BaseModelOutput:
        """Images (n, 3, 224, 224) in [-1, 1] to places (n, 49, 1280), row by row; other even sizes work too."""
        images = F.relu6(self.stem(pixel_values))
        for block in self.blocks:
            images = block(images)
        places = F.relu6(self.head(images)).flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=places, hidden_states=(places,))


def register() -> None:
    """Make transformers know the tower, so that checkpoints with it can be loaded; more than once does no harm."""
    AutoConfig.register(EyesConfig.model_type, EyesConfig, exist_ok=True)
    AutoModel.register(EyesConfig, EyesModel, exist_ok=True)


register()


def load_eyes(progress: Progress = silent) -> EyesModel:
    """The tower with its ImageNet weights, fetched where they are not here; in evaluation mode.

    Raises:
        SomethingMissing: the weights cannot be fetched.
        HashMismatch: they are not what was pinned.
    """
    path = pull(WEIGHTS, progress=progress) / "efficientnet-lite0.pth"
    held = torch.load(path, map_location="cpu", weights_only=True)
    model = EyesModel(EyesConfig())
    model.load_state_dict(_renamed(held))
    return model.eval()  # type: ignore[no-any-return, no-untyped-call]


def _renamed(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of the published file to ours; its classifier is left out.

    Raises:
        HashMismatch: a name is not one of that file.
    """
    parts = {
        "_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1",
    }  # fmt: skip
    inner = {
        "_expand_conv": "expand.0", "_bn0": "expand.1", "_depthwise_conv": "look.0", "_bn1": "look.1",
        "_project_conv": "narrow.0", "_bn2": "narrow.1",
    }  # fmt: skip
    made = {}
    for name, values in held.items():
        words = name.split(".")
        if words[0] == "_fc":
            continue
        try:
            ours = f"blocks.{words[1]}.{inner[words[2]]}" if words[0] == "_blocks" else parts[words[0]]
        except (KeyError, IndexError) as error:
            raise HashMismatch(f"{name} is no weight of EfficientNet-Lite0") from error
        made[f"{ours}.{words[-1]}"] = values
    return made


def assemble(language: Checkpoint, eyes: EyesModel, folder: Path, *, seed: int = 0) -> Path:
    """Write a vision-language model: the tower, a connector with random weights, the language model as it is.

    The language model gets one more token, the place of an image; its other weights and its answers to text are the
    same. The connector has to be trained before an image means anything.

    Args:
        language: a causal model, such as an aligned SmolLM2.
        eyes: of :func:`load_eyes`.
        folder: of the result; `labwright.models.vision.load_vision` reads it.
        seed: of the connector.

    Raises:
        WrongUse: the folder holds a model.
    """
    if (folder / "config.json").exists():
        raise WrongUse(f"{folder}: holds a model already; name another folder")
    tokenizer: Any = language.tokenizer
    source: Any = language.model
    make: Any = LlavaConfig
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    source.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    torch.manual_seed(seed)
    config = make(
        vision_config=eyes.config,
        text_config=source.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=bool(source.config.tie_word_embeddings),
    )
    model = LlavaForConditionalGeneration(config)
    model.model.language_model.load_state_dict(source.get_decoder().state_dict())
    model.lm_head.weight = (
        model.model.language_model.embed_tokens.weight
        if config.tie_word_embeddings
        else nn.Parameter(source.get_output_embeddings().weight.detach().clone())
    )
    model.model.vision_tower.load_state_dict(eyes.state_dict())
    model.save_pretrained(folder)
    processor(tokenizer).save_pretrained(folder)
    return folder


def processor(tokenizer: Any, template: str | None = None) -> LlavaProcessor:
    """What makes the model's inputs: pictures squeezed to 224 x 224 and scaled to [-1, 1], 49 places in the text.

    Args:
        tokenizer: knows the token of an image.
        template: chat template over messages whose content is a list of parts; None makes one of the tokenizer's.
    """
    make: Any = LlavaProcessor
    looks = CLIPImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    made: LlavaProcessor = make(
        looks, tokenizer, patch_size=STRIDE, vision_feature_select_strategy="full",
        chat_template=template or with_images(str(tokenizer.chat_template)),
    )  # fmt: skip
    return made


def with_images(template: str) -> str:
    """A chat template of texts made one of parts: each message's parts are joined before the template sees it."""
    joined = (
        "{% set seen = namespace(messages=[]) %}{% for m in messages %}{% set said = namespace(text='') %}"
        "{% if m['content'] is string %}{% set said.text = m['content'] %}{% else %}{% for part in m['content'] %}"
        "{% set said.text = said.text + ('" + IMAGE_TOKEN + "\\n' if part['type'] == 'image' else part['text']) %}"
        "{% endfor %}{% endif %}"
        "{% set seen.messages = seen.messages + [{'role': m['role'], 'content': said.text}] %}{% endfor %}"
        "{% set messages = seen.messages %}"
    )
    return joined + template
