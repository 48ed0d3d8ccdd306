"""From a base, its alignments and mixed examples to one fused model in a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from labwright.errors import TrainingRefused
from labwright.models.checkpoints import Checkpoint, load_checkpoint
from labwright.models.h3fusion.build import BuildSettings, build
from labwright.models.h3fusion.card import fusion_section
from labwright.models.h3fusion.fusing import FusionHook, FusionSettings
from labwright.models.h3fusion.mixtral import mixtral_obstacle, save_as_mixtral
from labwright.models.h3fusion.modeling import H3FusionForCausalLM
from labwright.models.h3fusion.statistics import router_shares
from labwright.models.h3fusion.variants import Variant, read_variants
from labwright.models.training.alignment_data import mixed_set
from labwright.models.training.config import TrainingConfig
from labwright.models.training.encoding import encode, pad_token
from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.loop import train
from labwright.models.training.results import Progress, silent

RECORD = "fusion.json"
MEASURED = 64
"""Examples of a property that the router's shares are measured on, from the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionPlan:
    """All that a fusion is asked to do."""

    sources: Mapping[str, str]
    """Property to its adapter or model, in the order of the experts."""
    build: BuildSettings = field(default_factory=BuildSettings)
    """How experts are made."""
    fusion: FusionSettings = field(default_factory=FusionSettings)
    """The two losses beside the language model's, and what is trained."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The training loop's settings."""
    mixtral: bool = False
    """Also write the model as a Mixtral checkpoint, into the folder `mixtral`."""


@dataclass(frozen=True, slots=True)
class FusionResult:
    """A fused model, and what it came to."""

    model: H3FusionForCausalLM
    folder: Path
    record: Mapping[str, Any]
    """What fusion.json holds."""


def fuse(  # noqa: PLR0913  (as the training loop's own)
    base: str,
    plan: FusionPlan,
    data: TrainingData,
    folder: Path,
    report: Callable[[Progress], None] = silent,
    *,
    resume: bool = False,
) -> FusionResult:
    """Build the mixture, fine-tune it, measure the router, and write everything to a folder.

    Args:
        base: what `load_checkpoint` takes.
        plan: how.
        data: examples of all properties; held-out ones are measured on where there are some.
        folder: gets config.json and safetensors, the tokenizer, training.json, fusion.json and a model card.
        report: shows progress.
        resume: go on with an interrupted fusion in the folder.

    Raises:
        TrainingRefused: a property has no example, or an example is of none of the properties; or as `train`.
        WrongUse, HashMismatch, ModelMissing: as `read_variants` and `build`.
    """
    names = tuple(plan.sources)
    mixed = _mixed(data, names, plan.fusion.faithful)
    dense = load_checkpoint(base)
    if plan.mixtral and (obstacle := mixtral_obstacle(dense.model.config)):
        raise TrainingRefused(f"--mixtral: {obstacle}")
    report(Progress(note=f"reading {', '.join(names)}"))
    variants = read_variants(dense, plan.sources, own_base="other_base" in plan.fusion.faithful)
    facts = {key: value for key, value in dense.facts.items() if key != "sha256"}  # those weights are no more
    model = build(dense, variants, plan.build)
    checkpoint = Checkpoint(model, dense.tokenizer, dense.path, {**facts, **describe(model)})
    hook = FusionHook(plan.fusion, names)
    config = plan.fusion.training(plan.training)
    result = train(checkpoint, mixed, config, folder, hooks=[hook], report=report, resume=resume)
    drifts = hook.drifts()
    fused = trained_mixture(result.model)
    shares = router_shares(fused, _measured(checkpoint, data, config), pad_token(checkpoint.tokenizer))
    record = _record(plan, dense, variants, fused, {"drift": drifts, "router_shares": shares})
    _write(folder, record, plan, fused, checkpoint)
    return FusionResult(fused, folder, record)


def describe(model: H3FusionForCausalLM) -> dict[str, Any]:
    """Facts of a mixture for records: class, parameters, experts, top_k."""
    return {
        "architecture": type(model).__name__,
        "parameters": model.num_parameters(),
        "experts": model.config.num_experts,
        "top_k": model.config.num_experts_per_tok,
    }


def trained_mixture(model: torch.nn.Module) -> H3FusionForCausalLM:
    """The mixture inside what a training returned, its adapters merged, in evaluation mode."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    if isinstance(model, PeftModel) and any(isinstance(m, LoraLayer) for m in model.modules()):
        model.merge_and_unload()
    found = next(m for m in model.modules() if isinstance(m, H3FusionForCausalLM))
    found.eval()  # type: ignore[no-untyped-call]
    return found


def _mixed(data: TrainingData, names: Sequence[str], faithful: frozenset[str]) -> TrainingData:
    """The examples by property in the experts' order, labelled as asked."""
    counts = Counter(e.property for e in data.train)
    if absent := [name for name in names if not counts[name]]:
        raise TrainingRefused(f"no example of {', '.join(absent)}; a fusion needs examples of every property")
    if strange := sorted(set(counts) - set(names)):
        raise TrainingRefused(
            f"{counts[strange[0]]} examples are of {strange[0]!r}, which is none of {', '.join(names)}"
        )
    sets = {name: [e for e in data.train if e.property == name] for name in names}
    labels: Literal["right", "faithful"] = "faithful" if "cumulative_labels" in faithful else "right"
    return replace(data, train=mixed_set(sets, labels))


def _measured(checkpoint: Checkpoint, data: TrainingData, config: TrainingConfig) -> dict[str, list[tuple[int, ...]]]:
    """Token ids of some examples a property; held-out ones where every property has some."""
    names = {e.property for e in data.train}
    source = data.heldout if {e.property for e in data.heldout} >= names else data.train
    found: dict[str, list[tuple[int, ...]]] = {}
    for name in sorted(names):
        examples: list[Example] = [e for e in source if e.property == name][:MEASURED]
        found[name] = [row.input_ids for row in encode(examples, checkpoint.tokenizer, config).rows]
    return found


def _record(
    plan: FusionPlan, base: Checkpoint, variants: Sequence[Variant], model: H3FusionForCausalLM, found: dict[str, Any]
) -> dict[str, Any]:
    return {
        "experts": list(plan.sources),
        "top_k": model.config.num_experts_per_tok,
        "base": {"name": base.path.name, "sha256": base.facts["sha256"]},
        "alignments": {v.property: dict(v.facts) for v in variants},
        "settings": {**plan.fusion.model_dump(mode="json"), "faithful": sorted(plan.fusion.faithful)},
        "shared": plan.build.shared,
        "seed": plan.build.seed,
        **found,
    }


def _write(
    folder: Path, record: Mapping[str, Any], plan: FusionPlan, model: H3FusionForCausalLM, checkpoint: Checkpoint
) -> None:
    if plan.mixtral:
        save_as_mixtral(model, folder / "mixtral")
        checkpoint.tokenizer.save_pretrained(folder / "mixtral")
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.name}\n"
    card.write_text(text.rstrip("\n") + "\n\n" + fusion_section(record, mixtral=plan.mixtral), encoding="utf-8")
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
