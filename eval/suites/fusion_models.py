"""The models of the real fusion: three alignments of one base, and what they are mixed, merged and fused to.

Each is made once, into the cache, by the code of `labwright models align|merge|fuse`; a training that was interrupted
goes on. The held-out items are fixed (alignment_data.py); what is trained on is drawn from the rest by the seed.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.config import cache_dir
from labwright.errors import SomethingMissing
from labwright.eval.properties import PROPERTIES
from labwright.eval.suites import alignment_data as data
from labwright.eval.suites.figures import Row
from labwright.eval.suites.fusion_scores import FUSED, MERGES, MIXED
from labwright.eval.suites.parts import training_progress

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint
    from labwright.models.training.config import TrainingConfig
    from labwright.models.training.examples import Example, TrainingData

Say = Callable[[str], None]
BASE = "smollm2-135m-instruct"
MARK = "made.json"
ROUTED = 64
"""Held-out examples a property on which the router's shares are measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the measurement is: a seed takes about two hours on two cores.

    Settings of the alignments and the fusion are those of the paper's code.
    """

    base: str = BASE
    examples: int = 150
    """Examples a property that are trained on; 231 helpful ones are left by the held-out items."""
    epochs: float = 3.0
    held_out: int = data.HELD_OUT
    """Items a property."""
    answer_tokens: int = 48
    """Most tokens of an answer."""
    known_pairs: int = 20
    """Pairs of each kind that the pairwise judge is validated on."""


QUICK = Plan(examples=24, epochs=1.0, held_out=8, answer_tokens=24, known_pairs=2)


@dataclass(frozen=True, slots=True)
class Work:
    """One seed of a plan, with its folder."""

    plan: Plan
    seed: int
    say: Say

    @property
    def folder(self) -> Path:
        """Models and answers; another plan, seed or data has another one."""
        parts = [asdict(self.plan), self.seed, training_data(self.plan, self.seed).sha256()]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
        return cache_dir() / "bench" / "fusion" / digest

    def made(self, name: str) -> Row | None:
        """What is known of a model; None before it was made."""
        mark = self.folder / name / MARK
        return json.loads(mark.read_text(encoding="utf-8")) if mark.is_file() else None


@lru_cache(maxsize=2)
def training_data(plan: Plan, seed: int) -> TrainingData:
    """Examples of the three properties, equally many, with some held-out ones for the router's shares.

    Raises:
        SomethingMissing: the data hold fewer examples than are asked for.
        TrainingRefused: a held-out question is also trained on.
    """
    from labwright.models.training.examples import Example, TrainingData, check

    pools: dict[str, list[Example]] = {
        "helpful": [_example(i, "helpful") for i in data.split(data.helpful())[0]],
        "harmless": [_example(i, "harmless") for i in data.split(data.risky())[0]],
        "honest": [
            Example(q.text, answer, "honest", f"question_{n}.{k}")
            for n, q in enumerate(data.halves(data.questions())[0])
            for k, answer in enumerate(q.correct)
        ],
    }
    draw = random.Random(seed)  # noqa: S311  (a choice of examples, not a secret)
    chosen: list[Example] = []
    for name, pool in pools.items():
        if len(pool) < plan.examples:
            raise SomethingMissing(f"{plan.examples} {name} examples are wanted, the data hold {len(pool)}")
        chosen += draw.sample(pool, plan.examples)
    apart = [
        *(_example(i, "helpful") for i in data.split(data.helpful())[1][:ROUTED]),
        *(_example(i, "harmless") for i in data.split(data.risky())[1][:ROUTED]),
        *(Example(q.text, q.correct[0], "honest", f"apart_{n}") for n, q in enumerate(data.held_out_questions(ROUTED))),
    ]
    licence = "CC-BY-NC-4.0 (the safe replies), Apache-2.0 (the rest)"
    made = TrainingData(tuple(chosen), tuple(apart), "Self-Instruct, safe replies, TruthfulQA", licence)
    check(made)
    return made


def _example(item: data.Instruction, teaches: str) -> Example:
    from labwright.models.training.examples import Example

    return Example(item.text, item.answer, teaches, item.id, item.input)


def settings(plan: Plan, seed: int) -> TrainingConfig:
    """Settings of every training; bfloat16 products, small batches for little padding."""
    from labwright.models.training.config import TrainingConfig

    return TrainingConfig(
        template="chat", epochs=plan.epochs, batch_size=2, accumulate=4, seed=seed, too_long="drop",
        autocast="bfloat16", checkpoint_every=25, keep_checkpoints=1,
    )  # fmt: skip


def ensure(work: Work, name: str) -> Path:
    """The folder of a model, made when it is not there, and what it is made of before it."""
    folder = work.folder / name
    if work.made(name) is not None:
        return folder
    needs = {"base": (), **dict.fromkeys((*PROPERTIES, MIXED), ("base",))}.get(name, ("base", *PROPERTIES))
    for other in needs:
        ensure(work, other)
    work.say(f"seed {work.seed}: making {name}")
    started = time.monotonic()
    row = _make(work, name, folder)
    row = {"seed": work.seed, "model": name, "seconds": round(time.monotonic() - started, 1), **row}
    (folder / MARK).write_text(json.dumps(row) + "\n", encoding="utf-8")
    return folder


def _make(work: Work, name: str, folder: Path) -> Row:
    if name == "base":
        return _copy_base(work, folder)
    if name in MERGES:
        from labwright.models.merging import MergeSettings, merge_folder

        merge = MergeSettings(method=name, seed=work.seed)  # type: ignore[arg-type]
        _clear(folder)  # a merge is made in one go
        record = merge_folder(str(work.folder / "base"), _alignments(work), merge, folder)
        return {"scale": record["scale"], "density": record["density"]}
    return _fused(work, folder) if name == FUSED else _trained(work, name, folder)


def _copy_base(work: Work, folder: Path) -> Row:
    """The base as safetensors, which loads faster than the file that it is dequantised from."""
    from labwright.models.checkpoints import load_checkpoint

    checkpoint = load_checkpoint(work.plan.base)
    _clear(folder)
    checkpoint.model.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)
    return {"source": checkpoint.facts["model"], "parameters": checkpoint.facts["parameters"]}


def _trained(work: Work, name: str, folder: Path) -> Row:
    from labwright.models.checkpoints import load_checkpoint
    from labwright.models.training.loop import train

    everything = training_data(work.plan, work.seed)
    chosen = tuple(e for e in everything.train if name in (MIXED, e.property))
    config = settings(work.plan, work.seed)
    base = load_checkpoint(str(work.folder / "base"))
    result = train(
        base,
        replace(everything, train=chosen, heldout=()),
        config,
        folder,
        report=training_progress(name, work.say),
        resume=True,
    )
    return {"steps": result.steps, "loss": round(result.loss, 4), "tokens": result.tokens, "examples": len(chosen)}


def _fused(work: Work, folder: Path) -> Row:
    from labwright.models.h3fusion.build import BuildSettings
    from labwright.models.h3fusion.fuse import FusionPlan, fuse

    plan = FusionPlan(
        sources=_alignments(work), build=BuildSettings(seed=work.seed), training=settings(work.plan, work.seed)
    )
    everything = training_data(work.plan, work.seed)
    report = training_progress(FUSED, work.say)
    result = fuse(str(work.folder / "base"), plan, everything, folder, report, resume=True)
    kept = ("router_shares", "drift", "settings", "top_k")
    return {key: result.record[key] for key in kept}


def _alignments(work: Work) -> dict[str, str]:
    return {name: str(work.folder / name) for name in PROPERTIES}


def _clear(folder: Path) -> None:
    """Remove what an interrupted attempt left in a folder of ours."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def answering(work: Work, name: str) -> Checkpoint:
    """A model ready to answer, in bfloat16: an answer's time is that of reading the weights."""
    from labwright.models.checkpoints import load_checkpoint

    return load_checkpoint(str(ensure(work, name)), dtype="bfloat16")
