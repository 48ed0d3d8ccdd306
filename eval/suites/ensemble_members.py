"""The members of the PubMedQA ensemble: models as they are, and models that are fine-tuned on this machine first."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.config import BackendConfig
from labwright.eval.suites.parts import training_progress
from labwright.models.topla.collected import closed_prompt
from labwright.models.topla.questions import Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from labwright.models.training.config import TrainingConfig
    from labwright.models.training.examples import TrainingData

Say = Callable[[str], None]
BASE_05B, BASE_15B, BASE_135M = "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct", "smollm2-135m-instruct"
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
TOP_THIRD = tuple(f"{layer}.mlp.{name}" for layer in range(16, 24) for name in FEED_FORWARD)
"""Of the 24 layers of the 0.5B model."""
TOP_THIRD_15B = tuple(
    f"{layer}.{name}"
    for layer in range(19, 28)
    for name in (*(f"self_attn.{n}" for n in ATTENTION), *(f"mlp.{n}" for n in FEED_FORWARD))
)
"""Of the 28 layers of the 1.5B model."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a member is fine-tuned; fixed before it was measured."""

    targets: tuple[str, ...]
    """Linear layers that get an adapter."""
    epochs: float
    learning_rate: float
    depth: float = 1.0
    """Share of the layers, from the top, that have adapters: the gradient goes no deeper, which saves that much."""
    bagged: bool = False
    """Train on questions drawn with replacement (Breiman 1996), so that members of one base differ."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """One member of the pool."""

    name: str
    base: str
    """Name of `labwright models list`, or a folder."""
    parameters: float
    """How many it has, for the estimate of the time."""
    tuning: Tuning | None = None
    """None: as it is, by llama.cpp."""

    def backend(self, home: Path) -> BackendConfig:
        """Its table of labwright.toml; a tuned one's adapter is in `home`."""
        if self.tuning is None:
            return BackendConfig(kind="embedded", model=self.base, context_tokens=CONTEXT_TOKENS)
        return BackendConfig(
            kind="local",
            model=self.base,
            adapter=str(home / self.name),
            context_tokens=CONTEXT_TOKENS,
            dtype="bfloat16",
        )


CONTEXT_TOKENS = 2048
MEMBERS = (
    MemberPlan("qwen-1.5b", BASE_15B, 1.54e9),
    MemberPlan("qwen-0.5b", BASE_05B, 0.49e9),
    MemberPlan("smollm2-135m-tuned", BASE_135M, 0.135e9, Tuning((*ATTENTION, *FEED_FORWARD), 3, 5e-4)),
    MemberPlan("qwen-0.5b-tuned", BASE_05B, 0.49e9, Tuning((*ATTENTION, *FEED_FORWARD), 2, 2e-4)),
    MemberPlan("qwen-0.5b-bagged", BASE_05B, 0.49e9, Tuning(TOP_THIRD, 2, 5e-4, depth=1 / 3, bagged=True, seed=1)),
    MemberPlan("qwen-1.5b-tuned", BASE_15B, 1.54e9, Tuning(TOP_THIRD_15B, 3, 3e-4, depth=1 / 3, seed=2)),
)
"""The last one was added when the five before it had been measured, so the reporting half had been looked at once."""


def tune(plan: MemberPlan, questions: Sequence[Question], home: Path, say: Say) -> dict[str, Any]:
    """Fine-tune a member, or go on where it was interrupted; returns its training record without the steps.

    Args:
        plan: the member; it has a tuning.
        questions: what it is trained on.
        home: its adapter goes to a folder there.
        say: shows progress.
    """
    from labwright.models.checkpoints import load_checkpoint
    from labwright.models.training.loop import train

    folder = home / plan.name
    record = folder / "training.json"
    if not record.is_file():
        checkpoint = load_checkpoint(plan.base)
        data = examples(questions, checkpoint.tokenizer, plan)
        config = settings(plan, str(checkpoint.tokenizer.eos_token))
        train(checkpoint, data, config, folder, report=training_progress(plan.name, say), resume=folder.is_dir())
    about = json.loads(record.read_text(encoding="utf-8"))
    return {name: about[name] for name in ("base_sha256", "config", "data", "parameters", "result")}


def examples(questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, plan: MemberPlan) -> TrainingData:
    """Questions as prompts of this model, exactly as it will be asked them, with their answers."""
    import random

    from labwright.models.chat_templates import rendered
    from labwright.models.training.examples import Example, TrainingData

    chosen = list(questions)
    if plan.tuning is not None and plan.tuning.bagged:
        chosen = random.Random(plan.tuning.seed).choices(chosen, k=len(chosen))  # noqa: S311  (a sample, not a secret)
    found = []
    for number, question in enumerate(chosen):
        prompt = closed_prompt(question)
        asked = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        found.append(Example(rendered(tokenizer, asked), question.answer, id=f"{question.id}:{number}"))
    return TrainingData(tuple(found), source="PubMedQA, labelled training part", licence="MIT")


def settings(plan: MemberPlan, end: str) -> TrainingConfig:
    """The training's settings: the rendered prompt as it is, the answer, and the model's own end of a turn."""
    from labwright.models.training.config import LoraSettings, TrainingConfig

    tuning = plan.tuning
    if tuning is None:
        raise ValueError(f"{plan.name} is not fine-tuned")
    return TrainingConfig(
        lora=LoraSettings(r=8, alpha=16, dropout=0.1, targets=tuning.targets),
        template="none",
        stop_marker=end,
        max_tokens=1024,
        too_long="drop",
        epochs=tuning.epochs,
        batch_size=2,
        accumulate=4,
        learning_rate=tuning.learning_rate,
        warmup_steps=5,
        seed=tuning.seed,
        autocast="bfloat16",
        checkpoint_every=10,
    )
