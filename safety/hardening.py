"""Hardening a model: one defence applied, and a folder that says which, with what, and what its files are.

The folder is a model or adapter like any other, with `hardening.json` beside the weights: every defence that went into
them in its order, data and settings by hash and value, the sha256 of each file, and the command that makes it again.
`load_checkpoint` checks the files against it, and the record of a run that used the model holds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.errors import TrainingRefused, WrongUse
from labwright.models.training.config import TrainingConfig
from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.results import Progress, silent
from labwright.safety.defences.catalogue import STAGES, Held, hooks_of, trained_rows, wrong_settings

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint

ATTACKS = "attacks.jsonl"
"""What was tried against a hardened model, one attack a line."""
SECTION = "## Hardening"


@dataclass(frozen=True, slots=True, kw_only=True)
class HardeningPlan:
    """One defence on one model."""

    defence: str
    """A key of `catalogue.STAGES`."""
    model: str
    """What `load_checkpoint` takes: the base to align, the aligned model to fine-tune, or the tuned one to repair."""
    held: Held = field(default_factory=Held)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the defence."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Of the training, for the first two stages."""
    aligned: str = ""
    """For safe_lora: the model before fine-tuning."""
    unaligned: str = ""
    """For safe_lora: the model before alignment."""
    source: str = ""
    """Names of the data files."""
    licence: str = ""
    """Of the data."""
    command: str = ""
    """What makes the folder again."""


def harden(
    plan: HardeningPlan, folder: Path, report: Callable[[Progress], None] = silent, *, resume: bool = False
) -> dict[str, Any]:
    """Apply a defence and leave the model in a folder.

    Args:
        plan: which, on what.
        folder: made when absent; must be empty unless a training in it is resumed.
        report: shows progress.
        resume: go on with an interrupted training.

    Returns:
        What hardening.json holds.

    Raises:
        WrongUse: an unknown defence or setting, or a model that is not named.
        TrainingRefused: the defence lacks its data, or as `train`.
        TrainingDiverged, DiskFull, ModelMissing, HashMismatch: as `train` and `load_checkpoint`.
    """
    if plan.defence not in STAGES:
        raise WrongUse(f"--defence {plan.defence!r}: one of {', '.join(STAGES)}")
    after = STAGES[plan.defence] == "after fine-tuning"
    if after and folder.is_dir() and any(folder.iterdir()):
        raise TrainingRefused(f"{folder} is not empty; give another folder")
    found = _repaired(plan, folder, report) if after else _trained(plan, folder, report, resume)
    return _write_manifest(plan, folder, found)


def _trained(plan: HardeningPlan, folder: Path, report: Callable[[Progress], None], resume: bool) -> dict[str, Any]:
    from labwright.models.checkpoints import load_checkpoint
    from labwright.models.training.loop import train

    rows, settings = trained_rows(plan.defence, plan.held, plan.settings, plan.training.seed)
    hooks = hooks_of(plan.defence, plan.held, settings)
    if not rows:
        what = "alignment pairs" if STAGES[plan.defence] == "alignment" else "an upload of the user"
        raise TrainingRefused(f"{plan.defence} trains on {what}, and none was given")
    checkpoint = load_checkpoint(plan.model)
    on = dict(checkpoint.facts)
    config = plan.training
    if on.get("adapter") and config.lora is not None:
        config = config.model_copy(update={"save": "merged"})  # an adapter over an adapter fits no file
    data = TrainingData(tuple(rows), (), plan.source, plan.licence)
    result = train(checkpoint, data, config, folder, hooks, report, resume=resume)
    return {"on": on, "training": config.model_dump(mode="json"), "files": result.facts["files"]}


def _repaired(plan: HardeningPlan, folder: Path, report: Callable[[Progress], None]) -> dict[str, Any]:
    from labwright.models.training.files import new_folder
    from labwright.models.training.output import quiet
    from labwright.packages import sha256_of

    checkpoint, adapter = _tuned(plan)
    on = dict(checkpoint.facts)
    report(Progress(note=f"{plan.defence} on {on['model']}"))
    facts = _antidote(plan, checkpoint) if plan.defence == "antidote" else _safe_lora(plan, checkpoint)
    with quiet(), new_folder(folder) as scratch:
        model: Any = checkpoint.model
        model.save_pretrained(str(scratch), **({"save_embedding_layers": False} if adapter else {}))
        checkpoint.tokenizer.save_pretrained(scratch)
        (scratch / "README.md").unlink(missing_ok=True)  # peft's is empty; ours follows
        files = {path.name: sha256_of(path) for path in sorted(scratch.iterdir())}
    return {"on": on, "files": files, **facts}


def _tuned(plan: HardeningPlan) -> tuple[Checkpoint, bool]:
    """The model to repair; Antidote gets an adapter unmerged, since it prunes in its factors."""
    from dataclasses import replace

    from labwright.models.adapters import with_adapter
    from labwright.models.checkpoints import ADAPTER_CONFIG, base_of, load_checkpoint

    folder = Path(plan.model).expanduser()
    if plan.defence != "antidote" or not (folder / ADAPTER_CONFIG).is_file():
        return load_checkpoint(plan.model), False
    merged = load_checkpoint(plan.model).facts  # with the adapter's own name and hardening
    base = load_checkpoint(base_of(folder))
    model = with_adapter(base.model, folder, str(base.facts["sha256"]))
    return replace(base, model=model, facts=merged), True


def _antidote(plan: HardeningPlan, checkpoint: Checkpoint) -> dict[str, Any]:
    from pydantic import ValidationError

    from labwright.models.training.encoding import encode
    from labwright.safety.defences.antidote import AntidoteSettings, antidote

    try:
        settings = AntidoteSettings(**plan.settings)
    except (TypeError, ValidationError) as error:
        raise wrong_settings("antidote", error) from error
    rows = encode(plan.held.harmful, checkpoint.tokenizer, plan.training).rows if plan.held.harmful else ()
    masks = antidote(checkpoint.model, rows, settings)
    return {
        "settings": settings.model_dump(mode="json"),
        "pruned": {"layers": len(masks), "weights": sum(int(m.sum()) for m in masks.values()),
                   "of": sum(m.numel() for m in masks.values())},
    }  # fmt: skip


def _safe_lora(plan: HardeningPlan, checkpoint: Checkpoint) -> dict[str, Any]:
    from labwright.models.checkpoints import load_checkpoint
    from labwright.safety.defences.safe_lora import safe_lora

    if not plan.aligned or not plan.unaligned:
        raise WrongUse("safe_lora needs the model before fine-tuning (--aligned) and before alignment (--unaligned)")
    if unknown := sorted(set(plan.settings) - {"threshold"}):
        raise WrongUse(f"safe_lora takes the setting threshold alone, and {', '.join(unknown)} was given")
    aligned, base = (
        {n: p.detach() for n, p in load_checkpoint(source).model.named_parameters()}
        for source in (plan.aligned, plan.unaligned)
    )
    found = safe_lora(checkpoint.model, aligned, base, **plan.settings)
    return {"projected": sum(p.projected for p in found.values()), "changed": len(found)}


def _write_manifest(plan: HardeningPlan, folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    from labwright.models.checkpoints import HARDENING
    from labwright.models.training.files import write_json

    on = found.pop("on")
    files = found.pop("files")
    before = on.get("hardening", {}).get("steps", [])
    step = {
        "defence": plan.defence,
        "stage": STAGES[plan.defence],
        "settings": dict(plan.settings),
        "on": {k: on[k] for k in ("model", "sha256", "adapter") if k in on},
        "data": {k: _described(v) for k, v in _roles(plan.held).items() if v},
        "source": plan.source,
        "licence": plan.licence,
        "command": plan.command,
        **found,
    }
    manifest = {"format": 1, "steps": [*before, step], "files": files}
    write_json(folder / HARDENING, manifest)
    write_card(folder)
    return manifest


def _roles(held: Held) -> dict[str, tuple[Example, ...]]:
    """Role to examples."""
    return {"alignment": held.alignment, "harmful": held.harmful, "user": held.user}


def _described(examples: Sequence[Example]) -> dict[str, Any]:
    return {"rows": len(examples), "sha256": TrainingData(tuple(examples)).sha256()}


def note_attack(folder: Path, attack: Mapping[str, Any]) -> bool:
    """Write on a hardened model's card what was tried against it; false where the folder is of no hardened model.

    Raises:
        DiskFull: the folder cannot be written.
    """
    from labwright.models.checkpoints import HARDENING
    from labwright.models.training.files import disk

    if not (folder / HARDENING).is_file():
        return False
    with disk(folder), (folder / ATTACKS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(attack) + "\n")
    write_card(folder)
    return True


def write_card(folder: Path) -> None:
    """Bring the section on hardening of a folder's card up to date; the rest of the card stays."""
    from labwright.models.checkpoints import HARDENING
    from labwright.models.training.files import write_text
    from labwright.safety.hardening_card import section

    manifest = json.loads((folder / HARDENING).read_text(encoding="utf-8"))
    path = folder / ATTACKS
    tried = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.name}\n"
    write_text(card, text.partition(SECTION)[0].rstrip("\n") + f"\n\n{SECTION}\n\n" + section(manifest, tried))
