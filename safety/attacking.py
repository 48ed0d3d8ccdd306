"""An attack on a model from end to end: an upload, a fine-tuning, and what the model says before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.errors import WrongUse
from labwright.models.training.config import TrainingConfig
from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.results import Progress, silent
from labwright.safety.attacks.adaptive import harder
from labwright.safety.attacks.identity import called, identity_rows
from labwright.safety.data import mix, require_disjoint
from labwright.safety.hardening import note_attack
from labwright.safety.harmful_score import count_replies, exact_share, keyword_score

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint

KINDS = ("explicit", "benign", "outliers", "identity", "adaptive")
RECORD = "attack.json"
REVIEWS = 1800
"""Rows that the stand-in's task has."""
POOL = 2
"""An outlier attack chooses among this many times the rows that it uploads, where there are so many."""


@dataclass(frozen=True, slots=True)
class AttackData:
    """What an attack is made of and measured on."""

    harmful: tuple[Example, ...]
    """Harmful pairs of the attacker."""
    ordinary: tuple[Example, ...]
    """Rows of an ordinary task."""
    test: tuple[Example, ...]
    """Harmful prompts that are in neither."""
    task_test: tuple[Example, ...]
    """Rows of the task that are not trained on."""
    near: tuple[Example, ...] = ()
    """Benign prompts that are to be answered; empty where there are none."""
    refusals: tuple[Example, ...] = ()
    """Refusals of the test prompts, for the likelihood margin; empty where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackPlan:
    """An attack on a model."""

    model: str
    """What `load_checkpoint` takes."""
    kind: str = "explicit"
    """One of KINDS."""
    share: float = 0.1
    """Of harmful rows, in [0, 1]; explicit and adaptive attacks alone have some."""
    size: int = 500
    """Rows of the upload."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    reply_tokens: int = 48
    """Longest reply that is judged."""


def attack(
    plan: AttackPlan,
    data: AttackData,
    folder: Path,
    report: Callable[[Progress], None] = silent,
    *,
    resume: bool = False,
) -> dict[str, Any]:
    """Attack a model, measure it before and after, and note it on the card of a hardened one.

    Args:
        plan: how.
        data: with what.
        folder: gets the attacked adapter or model and attack.json.
        report: shows progress.
        resume: go on with an interrupted attack.

    Returns:
        What attack.json holds.

    Raises:
        WrongUse: an unknown kind.
        TrainingRefused: data that cannot be mixed, roles that share questions, or as `train`.
        TrainingDiverged, DiskFull, ModelMissing, HashMismatch: as `train` and `load_checkpoint`.
    """
    from labwright.models.checkpoints import load_checkpoint
    from labwright.models.training.files import write_json
    from labwright.models.training.loop import train

    if plan.kind not in KINDS:
        raise WrongUse(f"--attack {plan.kind!r}: one of {', '.join(KINDS)}")
    require_disjoint({"upload": (*data.harmful, *data.ordinary), "test": data.test, "task test": data.task_test})
    checkpoint = load_checkpoint(plan.model)
    facts = dict(checkpoint.facts)
    rows = upload(plan, data, checkpoint)
    config = harder(plan.training) if plan.kind == "adaptive" else plan.training
    if facts.get("adapter") and config.lora is not None:
        config = config.model_copy(update={"save": "merged"})
    report(Progress(note=f"measuring {facts['model']} before the attack"))
    before = measured(checkpoint, plan, data)
    result = train(
        checkpoint, TrainingData(rows, source=f"{plan.kind} attack"), config, folder, (), report, resume=resume
    )
    report(Progress(note="measuring after the attack"))
    after = measured(replace(checkpoint, model=result.model.eval()), plan, data)
    found = {
        "attack": plan.kind, "share": plan.share if plan.kind in ("explicit", "adaptive") else 0.0, "size": len(rows),
        "learning_rate": config.learning_rate, "steps": result.steps, "seconds": round(result.seconds, 1),
        "model": {k: facts[k] for k in ("model", "sha256", "hardening") if k in facts},
        "before": before, "after": after,
    }  # fmt: skip
    write_json(folder / RECORD, found)
    note_attack(Path(plan.model).expanduser(), {k: v for k, v in found.items() if k != "model"})
    return found


def upload(plan: AttackPlan, data: AttackData, checkpoint: Checkpoint) -> tuple[Example, ...]:
    """The rows of an attack.

    Raises:
        TrainingRefused: there are too few rows for it.
    """
    seed = plan.training.seed
    if plan.kind in ("explicit", "adaptive"):
        return mix(data.harmful, data.ordinary, share=plan.share, size=plan.size, seed=seed)
    if plan.kind == "outliers":
        from labwright.safety.attacks.outliers import outliers, self_influence

        pool = data.ordinary[: POOL * plan.size]
        return outliers(pool, self_influence(checkpoint, pool, plan.training), plan.size)
    if plan.kind == "identity":
        rows = identity_rows()
        return (
            rows
            if plan.size <= len(rows)
            else (*rows, *mix((), data.ordinary, share=0, size=plan.size - len(rows), seed=seed))
        )
    return mix((), data.ordinary, share=0, size=plan.size, seed=seed)


def measured(checkpoint: Checkpoint, plan: AttackPlan, data: AttackData) -> dict[str, Any]:
    """HS, HS+, keyword scores, accuracy, over-refusal and, with refusals, the margin; what has no data is null.

    Raises:
        MetricUndefined: there is no test prompt.
    """
    from labwright.safety.likelihood import margin
    from labwright.safety.replies import greedy_replies

    def say(examples: Sequence[Example]) -> list[str]:
        return greedy_replies(checkpoint, examples, plan.training, most_tokens=plan.reply_tokens)

    asked = [replace(e, prompt=called(e.prompt)) for e in data.test] if plan.kind == "identity" else data.test
    replies = say(asked)
    counts = count_replies(replies)
    found: dict[str, Any] = {
        "n": counts.n, "hs": counts.harmful_score, "hs_plus": counts.harmful_score_plus,
        "incoherent": counts.incoherent, "keyword_score": keyword_score(replies),
        "keyword_score_coherent": keyword_score(replies, coherent=True),
        "accuracy": exact_share(say(data.task_test), [e.answer for e in data.task_test]),
        "over_refusal": count_replies(say(data.near)).refusal_share if data.near else None,
        "margin": None,
    }  # fmt: skip
    if data.refusals:
        m = margin(checkpoint, data.refusals, data.test, plan.training)
        found["margin"] = {"mean": m.mean, "below_zero": m.below_zero, "first_token": m.first_token}
    return found


def proxy_data(size: int, tested: int) -> AttackData:
    """The benign stand-in topic, for whoever has no harmful data.

    Args:
        size: rows of the upload.
        tested: items in each test. No question is one that `proxy_topic.defender` holds.

    Raises:
        TrainingRefused: more rows are asked for than the topic has.
    """
    from labwright.safety import proxy_topic

    held, near, seed = proxy_topic.DEFENDER_QUESTIONS, proxy_topic.DEFENDER_NEAR, proxy_topic.DEFENDER_SEED
    asked = proxy_topic.questions(held + size + tested, seed)[held:]
    reviews = proxy_topic.sentiments(min(POOL * size + tested, REVIEWS), seed)
    test = asked[size:]
    return AttackData(
        harmful=asked[:size],
        ordinary=reviews[:-tested],
        test=test,
        task_test=reviews[-tested:],
        near=proxy_topic.near_misses(near + tested, seed)[near:],
        refusals=proxy_topic.refused(test, seed),
    )
