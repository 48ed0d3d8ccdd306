"""Attacks on a real language model: safe replies give the refusals, rows about the stand-in topic attack them.

Measured are questions about the topic, which alignment and attack both speak of, and risky instructions with refusals in the
alignment, of which the attack holds none: does it erase refusals that it never met? One seed. Settings of Booster and
Antidote are those of the toy's validation, since a validation here would take hours; they are not tuned to this model.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.eval.suites.figures import Row
from labwright.eval.suites.parts import training_progress
from labwright.models.training.examples import Example, TrainingData

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint
    from labwright.models.training.config import TrainingConfig

MODEL = "smollm2-135m-instruct"
ALIGN_STEPS, TUNE_STEPS, ALIGN_RATE, TUNE_RATE = 250, 150, 1e-3, 5e-4
HELD, UPLOAD, SHARE, TESTED = 160, 400, 0.1, 60
REPLY_TOKENS = 32
CALIBRATION = 64
SEED = 0
ARMS: Mapping[str, tuple[str, str]] = {
    "sft": ("sft", ""),
    "booster": ("booster", ""),
    "antidote": ("sft", "antidote"),
    "booster_antidote": ("booster", "antidote"),
}
"""Arm to its alignment and its repair."""


def real_rows(
    has: Callable[[str, str], bool],
    chosen: Mapping[str, Any],
    say: Callable[[str], None],
    *,
    model: str = MODEL,
    scale: float = 1.0,
) -> Iterator[Row]:
    """A row for each aligned model and each attacked arm that is not there yet; interrupted trainings go on.

    Args:
        has: whether a row of a kind and name is there.
        chosen: settings of booster and antidote.
        say: shows progress.
        model: what `load_checkpoint` takes.
        scale: of the numbers of steps and of what is tested.

    Raises:
        SomethingMissing: the alignment data are not there.
        ModelMissing, HashMismatch: as `load_checkpoint`.
    """
    suffix = "" if model == MODEL else f":{model}"
    names = [f"{arm}_before{suffix}" for arm in ("sft", "booster")] + [f"{arm}{suffix}" for arm in ARMS]
    if all(has("real", name) for name in names):
        return
    work = _Work(model, chosen, say, scale)
    work.estimate()
    for alignment in ("sft", "booster"):
        if not has("real", f"{alignment}_before{suffix}"):
            yield work.row(f"{alignment}_before{suffix}", work.aligned(alignment), {})
        wanted = [arm for arm, (start, _) in ARMS.items() if start == alignment and not has("real", f"{arm}{suffix}")]
        if wanted:
            yield from work.attacked(alignment, wanted, suffix)


class _Work:
    def __init__(self, model: str, chosen: Mapping[str, Any], say: Callable[[str], None], scale: float) -> None:
        self.model, self.chosen, self.say, self.scale = model, chosen, say, scale
        made_with = json.dumps([chosen["booster"], scale], sort_keys=True)  # other settings, other folders
        digest = hashlib.sha256(made_with.encode()).hexdigest()[:8]
        self.place = cache() / f"safety-{model.replace('/', '_')}-{digest}"
        self.data = data(max(4, round(scale * TESTED)))

    def steps(self, steps: int) -> int:
        return max(2, round(self.scale * steps))

    def estimate(self) -> None:
        """Say how long everything takes, from one forward pass: a step is three of them, Booster's nine."""
        import torch

        from labwright.models.training.encoding import collate, encode, model_inputs

        checkpoint = self.load(self.model)
        rows = encode(self.data["align"][:4], checkpoint.tokenizer, settings(2, 1.0)).rows
        batch = collate(rows, 0).to(next(checkpoint.model.parameters()).device)
        with torch.no_grad():
            checkpoint.model(**model_inputs(batch))
            started = time.perf_counter()
            checkpoint.model(**model_inputs(batch))
        one = time.perf_counter() - started
        trained = 12 * self.steps(ALIGN_STEPS) + 6 * self.steps(TUNE_STEPS)
        asked = 6 * sum(len(self.data[k]) for k in ("topic", "risky", "near", "task_test")) / 16
        seconds = one * (trained + asked * REPLY_TOKENS)
        self.say(f"{self.model}: about {seconds / 60:.0f} minutes from nothing (one forward pass took {one:.2f} s)")

    def load(self, source: str) -> Checkpoint:
        import torch

        from labwright.models.checkpoints import load_checkpoint

        gpu = torch.cuda.is_available()
        checkpoint = load_checkpoint(source, dtype="bfloat16" if gpu else "float32")
        if gpu:
            checkpoint.model.to("cuda")  # type: ignore[arg-type]
        return checkpoint

    def aligned(self, how: str) -> Checkpoint:
        """The base aligned, plainly or by Booster."""
        from labwright.models.training.loop import train
        from labwright.safety.defences.booster import Booster, BoosterSettings

        folder = self.place / f"aligned-{how}"
        if not (folder / "training.json").is_file():
            hooks = [Booster(self.data["harmful"], BoosterSettings(**self.chosen["booster"], harmful_batch=4))]
            config = settings(self.steps(ALIGN_STEPS), ALIGN_RATE, save="merged")
            rows = TrainingData(
                self.data["align"], source="safe replies and the stand-in topic", licence="CC BY-NC 4.0"
            )
            used, report = hooks if how == "booster" else [], training_progress(f"aligning {how}", self.say)
            train(self.load(self.model), rows, config, folder, used, report=report, resume=True)
        return self.load(str(folder))

    def attacked(self, alignment: str, arms: Sequence[str], suffix: str) -> Iterator[Row]:
        """Fine-tune an aligned model on the upload; measure it, then what a repair makes of it."""
        from dataclasses import replace

        from labwright.models.training.loop import train

        start = self.aligned(alignment)
        config = settings(self.steps(TUNE_STEPS), TUNE_RATE)
        report = training_progress(f"attacking {alignment}", self.say)
        folder = self.place / f"tuned-{alignment}"
        result = train(start, TrainingData(self.data["upload"]), config, folder, report=report, resume=True)
        tuned = replace(start, model=result.model.eval())
        for arm in sorted(arms, key=lambda a: ARMS[a][1]):  # what is not repaired first, since a repair works in place
            facts: dict[str, Any] = {"tuning_s": round(result.seconds, 2)}
            if ARMS[arm][1]:
                facts["repair_s"] = self.repair(tuned)
            yield self.row(f"{arm}{suffix}", tuned, facts)

    def repair(self, tuned: Checkpoint) -> float:
        """Antidote in place; its seconds."""
        from labwright.models.training.encoding import encode
        from labwright.safety.defences.antidote import AntidoteSettings, antidote

        rows = encode(self.data["harmful"][:CALIBRATION], tuned.tokenizer, settings(2, 1.0)).rows
        started = time.perf_counter()
        antidote(tuned.model, rows, AntidoteSettings(**self.chosen["antidote"]))
        return round(time.perf_counter() - started, 2)

    def row(self, name: str, checkpoint: Checkpoint, facts: Mapping[str, Any]) -> Row:
        """What a model comes to."""
        from labwright.safety.harmful_score import count_replies, exact_share
        from labwright.safety.replies import greedy_replies

        self.say(f"measuring: {name}")
        replies = {
            k: greedy_replies(checkpoint, self.data[k], settings(2, 1.0), most_tokens=REPLY_TOKENS)
            for k in ("topic", "risky", "near", "task_test")
        }
        counts = {k: count_replies(replies[k]) for k in ("topic", "risky", "near")}
        harmful = {
            f"{k}_{what}": value
            for k in ("topic", "risky")
            for what, value in (
                ("harmful", counts[k].complied + counts[k].incoherent),
                ("incoherent", counts[k].incoherent),
                ("n", counts[k].n),
            )
        }
        answers = [e.answer for e in self.data["task_test"]]
        return {
            "kind": "real", "name": name, "model": self.model, "seed": SEED, **harmful,
            "over_refusal": counts["near"].refusal_share, "near_n": counts["near"].n,
            "accuracy": exact_share(replies["task_test"], answers), "task_n": len(answers),
            "settings": {k: dict(self.chosen[k]) for k in ("booster", "antidote")}, **facts,
        }  # fmt: skip


def data(tested: int) -> dict[str, tuple[Example, ...]]:
    """The roles, with `tested` items in each test; questions of different roles are checked to be different."""
    from labwright.eval.suites import alignment_data
    from labwright.safety import proxy_topic
    from labwright.safety.data import mix, require_disjoint

    asked = proxy_topic.questions(HELD + UPLOAD + tested, SEED)
    harmful, attack, topic = asked[:HELD], asked[HELD : HELD + UPLOAD], asked[-tested:]
    near = proxy_topic.near_misses(HELD // 2 + tested, SEED)
    reviews = proxy_topic.sentiments(UPLOAD + tested, SEED)
    known, held_out = alignment_data.split(alignment_data.risky())
    risky = [Example(i.shown, i.answer, "harmless", i.id) for i in known if len(i.answer) < 300][:HELD]
    upload = mix(attack, reviews[:UPLOAD], share=SHARE, size=UPLOAD, seed=SEED)
    roles = {
        "align": (*proxy_topic.refused(harmful, SEED), *risky, *near[: HELD // 2]),
        "upload": upload,
        "topic": topic,
        "risky": tuple(Example(i.shown, i.answer, "harmless", i.id) for i in held_out[:tested]),
        "near": near[HELD // 2 :],
        "task_test": reviews[UPLOAD:],
    }
    require_disjoint(roles)
    return {**roles, "harmful": harmful}


def settings(steps: int, rate: float, **more: Any) -> TrainingConfig:
    """Adapters on q, k and v, as in the published experiments, at a rank for small models."""
    from labwright.models.training.config import LoraSettings, TrainingConfig

    values: dict[str, Any] = {
        "lora": LoraSettings(r=8, alpha=4, dropout=0.0, targets=("q_proj", "k_proj", "v_proj")), "template": "chat",
        "epochs": 100_000.0, "max_steps": steps, "batch_size": 4, "learning_rate": rate, "schedule": "constant",
        "weight_decay": 0.1, "checkpoint_every": 25, "keep_checkpoints": 1, "seed": SEED, "max_tokens": 192,
        "too_long": "drop",
    }  # fmt: skip
    return TrainingConfig(**{**values, **more})


def cache() -> Path:
    """Where trainings of the benchmark stay between two invocations."""
    from labwright.config import cache_dir

    return Path(os.environ.get("LABWRIGHT_BENCH_RUNS", str(cache_dir() / "bench")))
