"""What a build will take: time, memory and disk, before anything is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labwright.models.training.alignment_data import PROPERTIES
from labwright.workflows.stacks.recipe import NONE, Recipe

TOKENS_A_ROW = 320
"""Of a question of a role with its card; examples of properties are shorter."""
CORES_TFLOPS = 0.19
"""Sustained by two cores in bfloat16: 236 tokens a second through 135 million weights, six operations a weight."""
SUSTAINED = 0.4
"""Share of an accelerator's peak that a training of this kind reaches."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
SIDE_PASSES = {"booster": 3.0, "vaccine": 2.0, "repnoise": 3.0, "sft": 1.0}
"""Forward and backward passes of a step, over those of a plain one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of stage."""

    name: str
    tokens: float
    seconds: float
    memory_gib: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of a whole build."""

    parameters: int
    steps: tuple[Step, ...]
    disk_gib: float

    @property
    def seconds(self) -> float:
        """Of all trainings; data, questions to the ensemble and exports come on top."""
        return sum(s.seconds for s in self.steps)

    @property
    def memory_gib(self) -> float:
        """At once."""
        return max(s.memory_gib for s in self.steps)


def estimate(recipe: Recipe, parameters: int, *, peak_tflops: float | None = None) -> Estimate:
    """Estimate a build from its recipe.

    Args:
        recipe: what is built.
        parameters: of the base.
        peak_tflops: of the accelerator in the training's precision; None takes two cores of a processor.
    """
    speed = CORES_TFLOPS * 1e12 if peak_tflops is None else peak_tflops * 1e12 * SUSTAINED
    table = recipe.data
    roles = table.role_examples / len(PROPERTIES)
    member = (roles + table.property_examples) * TOKENS_A_ROW * recipe.settings_of("align").epochs
    tuned = table.user_rows * TOKENS_A_ROW * recipe.settings_of("tune").epochs
    guard = 2 * 300 * TOKENS_A_ROW / 4 * recipe.settings_of("align").epochs  # short questions of the stand-in topic
    weights = parameters * 4 / 2**30
    named: list[tuple[str, float, float]] = []
    for name in PROPERTIES:
        named.append((f"align-{name}", member, 1.0))
        if recipe.harden.alignment != NONE:
            named.append((f"guard-{name}", guard * SIDE_PASSES.get(recipe.harden.alignment, 1.5), 1.0))
        named.append((f"tune-{name}", tuned, 1.0))
    if recipe.fuse is not None:
        whole = sum((roles + table.property_examples) * TOKENS_A_ROW for _ in PROPERTIES)
        named.append(("fused", whole * recipe.settings_of("fusion").epochs, 2.2))
    steps = [
        Step(name, tokens, 6 * parameters * size * tokens / speed, weights * size * 1.3 + _activations(recipe))
        for name, tokens, size in named
    ]
    stages_of_a_member = 2 + (recipe.harden.alignment != NONE) + (recipe.harden.after != NONE)
    copies = len(PROPERTIES) * stages_of_a_member + (2.2 if recipe.fuse is not None else 0)
    return Estimate(parameters, tuple(steps), weights * copies)


def _activations(recipe: Recipe) -> float:
    """GiB of a step's activations, roughly: a batch of the longest rows through a small model."""
    config = recipe.settings_of("align")
    return config.batch_size * config.max_tokens * 60_000 / 2**30


def as_rows(found: Estimate) -> Sequence[tuple[str, str, str, str]]:
    """Stage, tokens, minutes, GiB; for a table."""
    return [(s.name, f"{s.tokens / 1e3:.0f} k", f"{s.seconds / 60:.0f}", f"{s.memory_gib:.1f}") for s in found.steps]
