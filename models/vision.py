"""Vision-language checkpoints: loading one, and talking to it about images, behind the interface of all chat models.

Any model of transformers that takes images and text and has a text decoder (LLaVA and its kin) with its processor.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from pydantic import PrivateAttr

from labwright.errors import HashMismatch, ModelMissing, WrongUse
from labwright.models.checkpoints import DTYPES, fingerprint, fits, quietly, safetensors_of, whole
from labwright.models.extras import require
from labwright.models.local import ROLES, LocalChat
from labwright.models.memory import parameter_count

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PreTrainedModel, ProcessorMixin

    from labwright.models.decoding import Answer
    from labwright.models.options import Options

MOST_PIXELS = 50_000_000
PLAIN = (
    "{% for message in messages %}{{ 'User' if message['role'] == 'user' else message['role'].capitalize() }}: "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ 'IMAGE_PLACE\n' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For a processor that comes without a chat template; IMAGE_PLACE becomes its token for an image."""


@dataclass(frozen=True, slots=True)
class VisionCheckpoint:
    """A vision-language model that is loaded.

    Attributes:
        model: in evaluation mode.
        processor: makes its inputs from text and images; has a chat template.
        path: its folder.
        facts: architecture, parameters, dtype, sha256 of the weights.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    path: Path
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation with its images.

    Attributes:
        messages: each with role and content, a list of parts: `{"type": "image"}` or `{"type": "text", "text": ...}`.
        images: RGB, one a part of type image, in their order.
    """

    messages: tuple[dict[str, Any], ...]
    images: tuple[Image, ...]

    def without_images(self) -> tuple[dict[str, Any], ...]:
        """The same messages with the places of the images taken out."""
        return tuple(
            {**m, "content": [part for part in m["content"] if part["type"] != "image"]} for m in self.messages
        )


Around = Callable[[Asked], AbstractContextManager[Any]]
"""Context in which a conversation is answered."""


def plainly(asked: Asked) -> AbstractContextManager[Any]:
    """No context at all."""
    return nullcontext()


def load_vision(source: str, *, dtype: str = "float32") -> VisionCheckpoint:
    """Load a vision-language model with its processor from a folder; nothing is fetched, and no code of it is run.

    Args:
        source: a folder with config.json, safetensors and the files of a processor.
        dtype: type of the weights in memory.

    Raises:
        SomethingMissing: the extra `local` is not installed.
        ModelMissing: there is no such checkpoint, or not enough memory for it.
        HashMismatch: it is damaged, takes no images, or its parts do not belong together.
        WrongUse: an unknown dtype.
    """
    require("local", "a vision-language model")
    if dtype not in DTYPES:
        raise WrongUse(f"dtype {dtype!r}: one of {', '.join(DTYPES)}")
    path = Path(source).expanduser()
    if not path.is_dir():
        raise ModelMissing(f"{source}: no such folder; a vision-language model is one that `save_pretrained` wrote")
    safetensors_of(path)
    with quietly():
        model, processor = _loaded(path, dtype)
    sha256 = fingerprint(path)
    facts = {
        "model": f"{path.resolve().name}@{sha256[:12]}",
        "architecture": type(model).__name__,
        "parameters": model.num_parameters(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "sha256": sha256,
    }
    model.train(False)
    return VisionCheckpoint(model, processor, path, facts)


def _loaded(path: Path, dtype: str) -> tuple[PreTrainedModel, ProcessorMixin]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    importlib.import_module("labwright.models.eyes")  # transformers then knows labwright's own tower
    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(str(path), **where)
        if not hasattr(config, "vision_config"):
            raise ValueError("it takes no images")
        fits(path, parameter_count(config) * DTYPES[dtype])
        make: Any = AutoProcessor
        processor = make.from_pretrained(str(path), **where)
        loader: Any = AutoModelForImageTextToText
        model, report = loader.from_pretrained(
            str(path), **where, use_safetensors=True, dtype=getattr(torch, dtype), output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
        raise HashMismatch(f"{path}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    whole(path, report)
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise HashMismatch(f"{path}: its processor makes no inputs from text and images")
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    if not processor.chat_template:
        processor.chat_template = processor.tokenizer.chat_template or PLAIN.replace(
            "IMAGE_PLACE", str(processor.image_token)
        )
    return model, processor


class VisionChat(LocalChat):
    """A loaded vision-language model that answers, about images too; one conversation at a time."""

    _around: Any = PrivateAttr(default_factory=lambda: plainly)

    @property
    def _llm_type(self) -> str:
        return "vision"

    def _answers(self, conversations: Sequence[list[BaseMessage]], options: Options) -> list[Answer]:
        asked = [read_messages(messages) for messages in conversations]
        with self._lock:
            return [self._answer(one, options) for one in asked]

    def _answer(self, asked: Asked, options: Options) -> Answer:
        prompt = rendered_seen(self.decoder.processor, asked.messages)
        with self._around(asked):
            return self.decoder.write([prompt], options, self._grammar(options), images=asked.images)[0]

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """The whole answer as one piece."""
        made = self._message(self._answers([messages], self._options(kwargs, stop))[0])
        chunk = AIMessageChunk(content=made.content, usage_metadata=made.usage_metadata, chunk_position="last")
        chunk.response_metadata = made.response_metadata
        yield ChatGenerationChunk(message=chunk)


def vision_chat(checkpoint: VisionCheckpoint, *, context_tokens: int = 8192, around: Around = plainly) -> VisionChat:
    """A chat model over a loaded checkpoint; on the graphics card where there is one.

    Args:
        checkpoint: of :func:`load_vision`.
        context_tokens: longest prompt and answer together, places of images counted; the model's own limit where lower.
        around: a context that every conversation is answered in, such as a steering.
    """
    import torch

    from labwright.models.decoding import Decoder, turn_ends
    from labwright.models.grammar import grammar_tokenizer

    model = checkpoint.model.to("cuda") if torch.cuda.is_available() else checkpoint.model  # type: ignore[arg-type]
    text_config = model.config.get_text_config()
    longest = int(getattr(text_config, "max_position_embeddings", context_tokens))
    tokenizer = checkpoint.processor.tokenizer
    chat = VisionChat(model_name=str(checkpoint.facts["model"]))
    chat._decoder = Decoder(
        model=model,
        tokenizer=tokenizer,
        grammar_tokenizer=grammar_tokenizer(tokenizer, int(text_config.vocab_size)),
        context_tokens=min(context_tokens, longest),
        repetition_penalty=1.0,
        ends=turn_ends(model, tokenizer),
        processor=checkpoint.processor,
    )
    chat._around = around
    return chat


def rendered_seen(processor: ProcessorMixin, messages: Sequence[Mapping[str, Any]]) -> str:
    """The prompt of a conversation, with the processor's token in the place of each image.

    Raises:
        ValueError: the template refuses the conversation.
    """
    from jinja2 import TemplateError

    conversation: Any = list(messages)  # its annotation leaves out the parts that it documents
    try:
        return str(processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))
    except (TemplateError, TypeError) as error:
        raise ValueError(f"the model's chat template refuses the conversation: {error}") from error


def read_messages(messages: Sequence[BaseMessage]) -> Asked:
    """Messages of LangChain with their images: blocks of type image (base64) or image_url (a data: address).

    Raises:
        ValueError: a kind of message or of block that is not known here, or an image that is none.
    """
    images: list[Image] = []
    read = []
    for message in messages:
        if message.type not in ROLES:
            raise ValueError(f"a vision-language model takes no messages of the kind {message.type}")
        content = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
        parts = []
        for block in content:
            part, image = _part({"type": "text", "text": block} if isinstance(block, str) else block)
            parts.append(part)
            images += [] if image is None else [image]
        read.append({"role": ROLES[message.type], "content": parts})
    return Asked(tuple(read), tuple(images))


def _part(block: Mapping[str, Any]) -> tuple[dict[str, Any], Image | None]:
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": str(block.get("text", ""))}, None
    if kind == "image" and "base64" in block:
        return {"type": "image"}, _image(str(block["base64"]))
    if kind == "image_url":
        given = block.get("image_url")
        url = str(given.get("url", "")) if isinstance(given, Mapping) else str(given)
        head, comma, data = url.partition(",")
        if comma and head.startswith("data:image/") and head.endswith(";base64"):
            return {"type": "image"}, _image(data)
        raise ValueError("an image comes as data:image/...;base64, and is not fetched from an address")
    raise ValueError(f"a block of type {kind!r} is not known here; text, image and image_url are")


def _image(data: str) -> Image:
    from PIL import Image as images
    from PIL import UnidentifiedImageError

    try:
        opened = images.open(io.BytesIO(base64.b64decode(data, validate=True)))
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(f"an image of {opened.width} x {opened.height} pixels is too large")
        return opened.convert("RGB")
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError, images.DecompressionBombError) as error:
        raise ValueError(f"an image cannot be read: {error}") from error


def image_block(image: Image) -> dict[str, Any]:
    """An image as a block of a message, PNG."""
    kept = io.BytesIO()
    image.save(kept, "PNG")
    return {"type": "image", "base64": base64.b64encode(kept.getvalue()).decode(), "mime_type": "image/png"}
