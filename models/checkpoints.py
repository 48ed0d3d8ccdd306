"""Language-model checkpoints on disk: what they are, and loading them with everything checked first.

Only formats that cannot carry code are read: safetensors and GGUF. Nothing is fetched but the models of
`labwright models list`, and no code of a checkpoint is ever run (`trust_remote_code` stays off).
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.errors import HashMismatch, ModelMissing, WrongUse
from labwright.models import weights
from labwright.models.chat_templates import give_template
from labwright.models.extras import require
from labwright.models.memory import GIB, available_bytes, parameter_count
from labwright.models.pretokenizers import mend

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Type of the weights to bytes of one."""
ADAPTER_CONFIG = "adapter_config.json"
HARDENING = "hardening.json"
"""What `labwright models harden` writes beside weights: the defences, and the sha256 of each file."""
STAGE = "stage.json"
"""What `labwright models build` leaves beside weights: the stage that made them, and what it stands on."""
FUSED = "h3fusion"
"""What the model types of fused checkpoints begin with."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A causal language model that is loaded.

    Attributes:
        model: in evaluation mode, an adapter merged into it.
        tokenizer: has a chat template and a padding token.
        path: the folder or GGUF file of the base.
        facts: architecture, parameters, dtype, sha256 of the weights, adapter, chat template, hardening.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    path: Path
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the parts of a base checkpoint are."""

    path: Path
    files: tuple[Path, ...]

    @property
    def is_gguf(self) -> bool:
        """One GGUF file, not a folder of safetensors."""
        return self.path.is_file()

    @property
    def arguments(self) -> dict[str, Any]:
        """Where `from_pretrained` finds it."""
        where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        if self.is_gguf:
            return {**where, "pretrained_model_name_or_path": str(self.path.parent), "gguf_file": self.path.name}
        return {**where, "pretrained_model_name_or_path": str(self.path)}


def load_checkpoint(source: str, *, dtype: str = "float32", adapter: str = "") -> Checkpoint:
    """Load a causal language model with its tokenizer.

    Args:
        source: a folder with config.json and safetensors, a peft adapter folder (its base is read from
            adapter_config.json), a GGUF file, or a name of `labwright models list`; GGUF is dequantised.
        dtype: type of the weights in memory: float32, bfloat16 or float16.
        adapter: a peft adapter folder over `source`; empty for none.

    Raises:
        SomethingMissing: the extra `local` is not installed.
        ModelMissing: there is no such checkpoint, or not enough memory for it.
        HashMismatch: weights, tokenizer and adapter do not belong together, or a file is damaged.
        WrongUse: an unknown dtype, or adapters over adapters.
    """
    require("local", "a local model")
    if dtype not in DTYPES:
        raise WrongUse(f"dtype {dtype!r}: one of {', '.join(DTYPES)}")
    if (Path(source).expanduser() / ADAPTER_CONFIG).is_file():
        if adapter:
            raise WrongUse(f"{source} is itself an adapter; name its base and one adapter")
        source, adapter = base_of(Path(source).expanduser()), source
    place = _place(source)
    with quietly():
        model, tokenizer = _base(place, dtype)
    facts = _facts(model, tokenizer, place.path)
    if adapter:
        model = _adapted(model, Path(adapter).expanduser(), facts)
    model.train(False)
    return Checkpoint(model, tokenizer, place.path, facts)


def _facts(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> dict[str, Any]:
    sha256 = fingerprint(path)
    return {
        # Folders are often called alike ("final"): with the hash, no two models share a name or a cached call.
        "model": f"{path.resolve().name}@{sha256[:12]}",
        "architecture": type(model).__name__,
        "parameters": model.num_parameters(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "sha256": sha256,
        "chat_template": give_template(tokenizer),
        **_experts(model.config),
        **_hardening(path),
        **stage_of(path),
    }


def _adapted(model: PreTrainedModel, folder: Path, facts: dict[str, Any]) -> PreTrainedModel:
    """The model with an adapter merged into it, which the facts then name."""
    from labwright.models.adapters import WEIGHTS, merge_adapter

    merged = merge_adapter(model, folder, facts["sha256"])
    sha256 = weights.fingerprint(folder / WEIGHTS)
    facts["adapter"] = {"name": folder.resolve().name, "sha256": sha256}
    facts["model"] += f"+{folder.resolve().name}@{sha256[:12]}"
    facts |= _hardening(folder)  # an adapter's manifest holds its base's defences as well
    return merged


def stage_of(path: Path) -> dict[str, Any]:
    """Name, key and inputs of the stage of a build that made a checkpoint; nothing for any other.

    Args:
        path: a folder, or a GGUF file.

    Raises:
        HashMismatch: the stage's record is damaged.
    """
    file = (path if path.is_dir() else path.parent) / STAGE
    if not file.is_file():
        return {}
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        return {"stage": {name: held[name] for name in ("name", "key", "inputs")}}
    except (ValueError, KeyError, TypeError) as error:
        raise HashMismatch(f"{file}: damaged; build the stack again") from error


def _hardening(folder: Path) -> dict[str, Any]:
    """The defences that a folder's manifest names, checked against the weights beside it.

    Raises:
        HashMismatch: the manifest is damaged, or the weights are not those that it names.
    """
    path = folder / HARDENING
    if not path.is_file():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        steps = [{k: step[k] for k in ("defence", "stage", "settings")} for step in manifest["steps"]]
        files: dict[str, str] = manifest["files"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise HashMismatch(f"{path}: not the manifest of a hardened model: {error!r}") from error
    changed = [
        n for n, digest in files.items() if not (folder / n).is_file() or weights.fingerprint(folder / n) != digest
    ]
    if changed or not files:
        raise HashMismatch(
            f"{path}: {', '.join(changed) or 'no file'} is not what was hardened; harden the model again"
        )
    return {"hardening": {"steps": steps, "manifest_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}


def fingerprint(path: Path) -> str:
    """The sha256 of a checkpoint's weights: of the one file, or of the shards' names and hashes in their order.

    Args:
        path: a folder of safetensors, or a GGUF file.
    """
    if path.is_file():
        return weights.fingerprint(path)
    files = sorted(path.glob("*.safetensors"))
    if len(files) == 1:
        return weights.fingerprint(files[0])
    lines = "".join(f"{weights.fingerprint(f)}  {f.name}\n" for f in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def base_of(adapter: Path) -> str:
    """The base that an adapter folder names.

    Raises:
        HashMismatch: its configuration names none.
    """
    try:
        named = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise HashMismatch(f"{adapter / ADAPTER_CONFIG}: not the configuration of an adapter: {error}") from error
    if not named:
        raise HashMismatch(f"{adapter / ADAPTER_CONFIG} names no base; give the base and the adapter")
    return str(named)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bars of transformers, which would mix with ours."""
    from transformers.utils import logging as untyped

    logging: Any = untyped

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _place(source: str) -> _Place:
    path = Path(source).expanduser()
    if path.is_dir():
        return _Place(path, safetensors_of(path))
    if source in weights.manifest() or path.is_file():
        file = weights.resolve(source)
        if file.is_dir():
            raise ModelMissing(f"{source} makes vectors, not text; see `labwright models list`")
        return _Place(file, (file,))
    raise ModelMissing(f"{source}: no such folder, file or name; see `labwright models list`")


def safetensors_of(folder: Path) -> tuple[Path, ...]:
    """The weight files of a checkpoint folder.

    Raises:
        ModelMissing: no configuration, or no weights in a form that cannot carry code.
    """
    if not (folder / "config.json").is_file():
        raise ModelMissing(f"{folder}: no config.json; give a folder that `save_pretrained` wrote")
    files = tuple(sorted(folder.glob("*.safetensors")))
    if not files:
        pickles = sorted(f.name for pattern in ("*.bin", "*.pt", "*.pth") for f in folder.glob(pattern))
        said = f"{pickles[0]} is a pickle, which can run code, and is not read" if pickles else "no *.safetensors"
        raise ModelMissing(f"{folder}: {said}; save the model with safe_serialization=True")
    return files


def configuration_of(source: str) -> PretrainedConfig:
    """The configuration of a checkpoint, without its weights.

    Raises:
        ModelMissing: there is no such checkpoint.
        HashMismatch: it cannot be read.
    """
    from transformers import AutoConfig

    place = _place(source)
    _register(place.path)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(**place.arguments)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HashMismatch(f"{place.path}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    return config


def _base(place: _Place, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    dense = {"quantization_config": GgufConfig(dequantize=True)} if place.is_gguf else {}
    _register(place.path)
    try:
        config = AutoConfig.from_pretrained(**place.arguments)
        # The dequantised tensors of a GGUF file are held beside the model until it is filled.
        fits(place.path, parameter_count(config) * DTYPES[dtype] * (2 if place.is_gguf else 1))
        tokenizer = AutoTokenizer.from_pretrained(**place.arguments)
        loader: Any = AutoModelForCausalLM
        model, report = loader.from_pretrained(
            **place.arguments, **dense, dtype=getattr(torch, dtype), output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise HashMismatch(f"{place.path}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    whole(place.path, report)
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise HashMismatch(f"{place.path}: the tokenizer has {len(tokenizer)} tokens, the model only {rows} embeddings")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if place.is_gguf:
        mend(tokenizer, place.path)
        _forget_quantization(model)
    return model, tokenizer


def _forget_quantization(model: Any) -> None:
    """Make a dequantised model an ordinary one, which can be trained and saved."""
    if getattr(model, "hf_quantizer", None) is not None:
        del model.hf_quantizer
        model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _register(path: Path) -> None:
    """Make transformers know the model classes of labwright, when the checkpoint is of one."""
    if path.is_dir():
        try:
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise HashMismatch(f"{path / 'config.json'}: not JSON: {error}") from error
        if str(config.get("model_type", "")).startswith(FUSED):
            importlib.import_module("labwright.models.h3fusion")


def whole(path: Path, report: Mapping[str, Any]) -> None:
    """Refuse a model that was filled up: transformers gives what a file lacks random numbers and goes on.

    Args:
        path: of the checkpoint.
        report: what `from_pretrained` says of the keys.

    Raises:
        HashMismatch: weights are absent or of another shape.
    """
    absent = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if absent:
        raise HashMismatch(f"{path}: {len(absent)} weights are absent or of another shape, such as {absent[0]}")


def fits(path: Path, needed: int) -> None:
    """Refuse what does not fit into the free memory.

    Args:
        path: of the checkpoint.
        needed: bytes.

    Raises:
        ModelMissing: there is less.
    """
    available = available_bytes()
    if needed > available:
        raise ModelMissing(
            f"{path.name} needs {needed / GIB:.1f} GiB of memory, {available / GIB:.1f} GiB are free; "
            "free some, or take dtype bfloat16 or a smaller model"
        )


def _experts(config: PretrainedConfig) -> dict[str, int]:
    """Number of experts and how many a token is given to, of a mixture."""
    experts = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
    top_k = getattr(config, "num_experts_per_tok", None) or getattr(config, "top_k", None)
    return {"experts": int(experts), "top_k": int(top_k)} if experts and top_k else {}
