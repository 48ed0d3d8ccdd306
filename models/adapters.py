"""LoRA adapters (peft) over a base checkpoint: are they of this base, and merging them into it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from labwright.errors import HashMismatch, LabwrightError, ModelMissing

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS = "adapter_model.safetensors"
TRAINING = "training.json"
"""What a training of labwright writes beside an adapter; its `base_sha256` is that of the base's weights."""


def merge_adapter(model: PreTrainedModel, folder: Path, base_sha256: str) -> PreTrainedModel:
    """Add an adapter's update to the weights of its base (W + scale * B A; Hu et al. 2021, section 4.1).

    Args:
        model: the base.
        folder: what peft's `save_pretrained` wrote.
        base_sha256: fingerprint of the base's weights.

    Returns:
        The base's own class with changed weights.

    Raises:
        ModelMissing, HashMismatch: as `with_adapter`.
    """
    return cast("PreTrainedModel", with_adapter(model, folder, base_sha256).merge_and_unload())


def with_adapter(model: PreTrainedModel, folder: Path, base_sha256: str) -> Any:
    """The base with an adapter that is not merged, a peft model.

    Args:
        model: the base.
        folder: what peft's `save_pretrained` wrote.
        base_sha256: fingerprint of the base's weights.

    Raises:
        ModelMissing: the folder holds no adapter in safetensors.
        HashMismatch: the adapter is of another base.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    _check_files(folder)
    _check_base(folder, base_sha256)
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            stored = set(file.keys())
        with warnings.catch_warnings():
            # peft asks transformers by a name that it will drop; nothing that a user could mend.
            warnings.simplefilter("ignore", FutureWarning)
            adapted = PeftModel.from_pretrained(model, str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise HashMismatch(f"{folder}: does not fit its base: {' '.join(str(error).split())[:300]}") from error
    # peft warns of weights that find no place, and goes on with none in it.
    # Left to itself, it looks for the base's vocabulary on the internet under the name that the adapter gives it.
    embeddings = any(part in key for key in stored for part in ("embed_tokens", "lm_head"))
    differing = sorted(stored ^ set(get_peft_model_state_dict(adapted, save_embedding_layers=embeddings)))
    if differing:
        raise HashMismatch(f"{folder}: is of another base: {len(differing)} weights differ, such as {differing[0]}")
    return adapted


def _check_files(folder: Path) -> None:
    if not (folder / "adapter_config.json").is_file():
        raise ModelMissing(f"{folder}: no adapter_config.json; give a folder that peft's `save_pretrained` wrote")
    if not (folder / WEIGHTS).is_file():
        raise ModelMissing(f"{folder}: no {WEIGHTS} (pickles are not read); save the adapter as safetensors")


def _check_base(folder: Path, base_sha256: str) -> None:
    """Refuse an adapter that is known to be of other weights; one of unknown base is checked by its shapes only."""
    from labwright.models.checkpoints import base_of, fingerprint

    noted = _noted(folder / TRAINING)
    if not noted:
        try:
            named = Path(base_of(folder)).expanduser()
            noted = fingerprint(named) if (named / "config.json").is_file() else ""
        except LabwrightError:
            noted = ""
    if noted and noted != base_sha256:
        raise HashMismatch(f"{folder}: was trained on weights {noted[:12]}, these are {base_sha256[:12]}")


def _noted(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("base_sha256") or "")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise HashMismatch(f"{path}: not the record of a training: {error}") from error
