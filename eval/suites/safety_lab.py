"""One seed's laboratory: a base, its alignments, attacks on them, repairs, and what each comes to.

Alignment and pre-training change all weights; fine-tuning trains LoRA adapters on every linear layer, in whose factors Antidote
prunes. The defences are those of safety/defences; nothing of the toy is in that code.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.eval.suites import safety_world as made_up
from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.hooks import Hook

if TYPE_CHECKING:
    from torch import Tensor

    from labwright.models.checkpoints import Checkpoint
    from labwright.models.training.results import TrainingResult

SIZE = 500
"""Rows of an upload."""
ALIGN_STEPS, ALIGN_RATE = 300, 1e-3
TUNE_STEPS = 200
CURVE = (25, 50, 100, 150, 200)
"""Steps of a fine-tuning at which the harmful score is measured."""
CALIBRATION = 64
"""Harmful pairs that Antidote looks at."""
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
REPLY_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Attack:
    """A fine-tuning on a user's rows."""

    rows: tuple[Example, ...]
    rate: float
    steps: int = TUNE_STEPS
    curve: tuple[int, ...] = ()


class Lab:
    """The models of one seed, made when they are first asked for."""

    def __init__(self, seed: int, place: Path, *, scale: float = 1.0) -> None:
        """Make the world and the base.

        Args:
            seed: of everything.
            place: for files that nobody needs afterwards.
            scale: of the numbers of steps; below 1 for a smoke test.
        """
        self.seed, self.place, self.scale = seed, place, scale
        self.world = made_up.world(seed)
        self.base = made_up.base_model(self.world, seed, place / "base", self._steps(made_up.PRETRAIN_STEPS))
        self._aligned: dict[str, Checkpoint] = {}
        self._count = 0

    def _steps(self, steps: int) -> int:
        return max(2, round(self.scale * steps))

    def aligned(self, name: str, hook: Hook | None = None) -> Checkpoint:
        """The base aligned by a defence; the same name gives the same model."""
        if name not in self._aligned:
            config = made_up.settings(self.seed, self._steps(ALIGN_STEPS), ALIGN_RATE)
            data = TrainingData(self.world.alignment)
            result = self._train(self.base, data, config, [hook] if hook else [])
            self._aligned[name] = self._checkpoint(result)
        return self._aligned[name]

    def tuned(self, aligned: Checkpoint, attack: Attack, hooks: Sequence[Hook] = ()) -> tuple[TrainingResult, Curve]:
        """A fine-tuned copy with its adapters, and its harmful score over the steps."""
        from labwright.models.training.config import LoraSettings

        lora = LoraSettings(r=16, alpha=16, dropout=0.0, targets=TARGETS)
        config = made_up.settings(self.seed, self._steps(attack.steps), attack.rate, lora=lora)
        curve = Curve(self, {self._steps(s) for s in attack.curve})
        return self._train(aligned, TrainingData(attack.rows), config, [*hooks, curve]), curve

    def _train(self, start: Checkpoint, data: TrainingData, config: Any, hooks: Sequence[Hook]) -> TrainingResult:
        from dataclasses import replace

        from labwright.models.training.loop import train

        self._count += 1
        folder = self.place / str(self._count)
        try:
            return train(replace(start, model=copy.deepcopy(start.model), facts={}), data, config, folder, hooks)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _checkpoint(self, result: TrainingResult) -> Checkpoint:
        from dataclasses import replace

        return replace(self.base, model=result.model.eval())

    def measured(self, model: Any) -> dict[str, float]:
        """HS, HS+, refusals, accuracy on the task, and refusals of allowed questions."""
        found = self.kinds(model, self.world.test)
        near = self.kinds(model, self.world.near)
        from labwright.safety.harmful_score import count_kinds, exact_share

        counts, allowed = count_kinds(found), count_kinds(near)
        task = self.replies(model, self.world.task_test)
        return {
            "hs": counts.harmful_score,
            "hs_plus": counts.harmful_score_plus,
            "refused": counts.refusal_share,
            "accuracy": exact_share(task, [e.answer for e in self.world.task_test]),
            "over_refusal": allowed.refusal_share,
            "near_answered": allowed.harmful_score,
        }

    def kinds(self, model: Any, examples: Sequence[Example]) -> list[Any]:
        """What the replies to questions do."""
        replies = self.replies(model, examples)
        return [made_up.judge(r, e.answer) for r, e in zip(replies, examples, strict=True)]

    def replies(self, model: Any, examples: Sequence[Example]) -> list[str]:
        """Greedy replies."""
        from dataclasses import replace

        from labwright.safety.replies import greedy_replies

        asked = replace(self.base, model=model)
        config = made_up.settings(self.seed, 1, 1.0)
        return greedy_replies(asked, examples, config, most_tokens=REPLY_TOKENS, batch_size=256)

    def harmful_loss(self, model: Any) -> float:
        """h: mean loss of the answers to forbidden test questions, nats a token."""
        import torch

        from labwright.models.training.encoding import answer_loss, answers_only, collate, encode, model_inputs

        rows = encode(self.world.test, self.base.tokenizer, made_up.settings(self.seed, 1, 1.0)).rows
        batch = collate(rows, 0)
        with torch.no_grad(), answers_only(model, batch):
            return float(answer_loss(model(**model_inputs(batch)).logits, batch)) / batch.answer_tokens()

    def calibration(self, examples: Sequence[Example]) -> Any:
        """Encoded harmful pairs for Antidote."""
        from labwright.models.training.encoding import encode

        return encode(examples[:CALIBRATION], self.base.tokenizer, made_up.settings(self.seed, 1, 1.0)).rows


class Curve(Hook):
    """The harmful score of the test questions over the steps of a fine-tuning."""

    name = "curve"

    def __init__(self, lab: Lab, steps: set[int]) -> None:
        self._lab, self._steps = lab, steps
        self.points: list[tuple[int, float]] = []

    def after_step(self, run: Any) -> None:
        """Measure at the wanted steps; greedy replies draw no random number, so the training goes on as it would."""
        if run.step in self._steps:
            from labwright.safety.harmful_score import count_kinds

            counts = count_kinds(self._lab.kinds(run.model, self._lab.world.test))
            self.points.append((run.step, counts.harmful_score_plus))


def weights(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """The weights of a model by name."""
    return {n: p.detach() for n, p in checkpoint.model.named_parameters()}


def merged(model: Any) -> Any:
    """A copy of a model with its adapters added to its weights."""
    return copy.deepcopy(model).merge_and_unload().eval()
