"""What three alignments made of one base: the weights of each that differ from the base's.

An alignment is a LoRA adapter of the base or a whole model of its shape. Both are read into the same form, so that
experts (build.py) and merged models (models/merging.py) are made of either.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from labwright.errors import HashMismatch, WrongUse
from labwright.models.adapters import merge_adapter
from labwright.models.checkpoints import ADAPTER_CONFIG, Checkpoint, base_of, load_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EMBEDDING = ("embed_tokens", "lm_head")


@dataclass(frozen=True, slots=True)
class Variant:
    """One aligned model, as far as it differs from the base.

    Attributes:
        property: what it was aligned to.
        deltas: name of a weight of the base to what the alignment added to it, float32; absent where nothing.
        scale: alpha / r of the adapter; 1 for a whole model and for an adapter whose layers have unlike scales.
        facts: source, kind, and the sha256 or record of what was read.
    """

    property: str
    deltas: Mapping[str, Tensor]
    scale: float
    facts: Mapping[str, Any]


def read_variants(base: Checkpoint, sources: Mapping[str, str], *, own_base: bool = False) -> tuple[Variant, ...]:
    """Read the alignments of a base.

    Args:
        base: the common base; it is left as it is.
        sources: property to an adapter folder or to what `load_checkpoint` takes.
        own_base: take what an adapter added to the base that it names, whatever `base` is (as the released code,
            which adds updates of a plain model to a chat model).

    Returns:
        One variant a property, in the order of `sources`.

    Raises:
        WrongUse: fewer than two properties, one without a source, an alignment that changed nothing, or one that is
            of other shapes, vocabulary or tokenizer than the base.
        HashMismatch: an adapter is of another base.
        ModelMissing: a source is not there.
    """
    empty = [name for name, source in sources.items() if not source]
    if empty or len(sources) < 2:
        raise WrongUse(f"no model for {', '.join(empty) or 'a second property'}; name one adapter or model a property")
    return tuple(_read(base, name, source, own_base) for name, source in sources.items())


def _read(base: Checkpoint, name: str, source: str, own_base: bool) -> Variant:
    folder = Path(source).expanduser()
    if (folder / ADAPTER_CONFIG).is_file():
        return _adapter(base, name, folder, own_base)
    dtype = str(base.facts["dtype"])
    model = load_checkpoint(source, dtype=dtype)
    _same_tokens(base, model.tokenizer, f"{name} ({source})")
    deltas = dict(_differences(base.model, model.model, f"{name} ({source})"))
    facts = {"source": model.path.name, "kind": "model", "sha256": model.facts["sha256"]}
    return _checked(Variant(name, deltas, 1.0, facts))


def _adapter(base: Checkpoint, name: str, folder: Path, own_base: bool) -> Variant:
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA" or config.get("use_dora"):
        raise WrongUse(f"{name} ({folder}): a {config.get('peft_type')} adapter; a fusion reads plain LoRA adapters")
    _no_tied_part(base, config, f"{name} ({folder})")
    if (folder / "tokenizer_config.json").is_file():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        _same_tokens(base, tokenizer, f"{name} ({folder})")
    start = load_checkpoint(base_of(folder), dtype=str(base.facts["dtype"])) if own_base else base
    merged = merge_adapter(copy.deepcopy(start.model), folder, start.facts["sha256"])
    deltas = dict(_differences(start.model, merged, f"{name} ({folder})"))
    if own_base:
        _same_shapes(base.model, start.model, f"{name}: its base")
    facts = {"source": folder.name, "kind": "adapter", "r": config["r"], "alpha": config["lora_alpha"],
             "base_sha256": start.facts["sha256"]}  # fmt: skip
    return _checked(Variant(name, deltas, _scale(config), facts))


def _scale(config: Mapping[str, Any]) -> float:
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        return 1.0
    r = float(config["r"])
    return float(config["lora_alpha"]) / (r**0.5 if config.get("use_rslora") else r)


def _no_tied_part(base: Checkpoint, config: Mapping[str, Any], what: str) -> None:
    targets = config.get("target_modules") or ()
    named = {*([targets] if isinstance(targets, str) else targets), *(config.get("modules_to_save") or ())}
    touched = sorted(part for part in EMBEDDING if any(part in one for one in named))
    if touched and getattr(base.model.config, "tie_word_embeddings", False):
        raise WrongUse(
            f"{what}: it adapts {', '.join(touched)}, which this base shares between its embeddings and its head; "
            "align without them"
        )


def _same_tokens(base: Checkpoint, tokenizer: PreTrainedTokenizerBase, what: str) -> None:
    ours, theirs = base.tokenizer.get_vocab(), tokenizer.get_vocab()
    if ours != theirs:
        other = sorted({*ours.items()} ^ {*theirs.items()}, key=lambda item: item[1])
        raise WrongUse(
            f"{what}: its tokenizer differs from the base's in {len(other)} entries, such as {other[0][0]!r}; "
            "a fusion needs one tokenizer"
        )


def _same_shapes(base: PreTrainedModel, other: PreTrainedModel, what: str) -> None:
    ours = {name: tuple(p.shape) for name, p in base.named_parameters()}
    theirs = {name: tuple(p.shape) for name, p in other.named_parameters()}
    differing = sorted({*ours.items()} ^ {*theirs.items()})
    if differing:
        name = differing[0][0]
        raise WrongUse(
            f"{what} has another shape than the base: {name} is {theirs.get(name, 'absent')} there and "
            f"{ours.get(name, 'absent')} in the base; all must come from one base"
        )


def _differences(base: PreTrainedModel, other: PreTrainedModel, what: str) -> Iterator[tuple[str, Tensor]]:
    _same_shapes(base, other, what)
    of_other = dict(other.named_parameters())
    for name, start in base.named_parameters():
        delta = (of_other[name].detach().float() - start.detach().float()).cpu()
        if not bool(torch.isfinite(delta).all()):
            raise HashMismatch(f"{what}: {name} holds numbers that are not finite")
        if bool(delta.any()):
            yield name, delta


def _checked(variant: Variant) -> Variant:
    if not variant.deltas:
        raise WrongUse(f"{variant.property} ({variant.facts['source']}): equals its base; align it first")
    return variant
