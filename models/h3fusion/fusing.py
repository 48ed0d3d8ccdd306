"""The fine-tuning that makes a mixture of three aligned models one model: L = L_LM + L_reg + lambda * L_gate.

L_LM is the loop's own loss on the answers of all three properties' examples; the two other terms are a hook of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from peft.tuners.lora import LoraLayer
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from labwright.errors import TrainingRefused
from labwright.models.h3fusion.faithful import LAYERS, RELEASED_FORMS
from labwright.models.h3fusion.losses import drift_penalty, factor_penalty, gate_loss, low_rank_norm
from labwright.models.h3fusion.modeling import PROJECTIONS, Mixture
from labwright.models.training.config import LoraSettings, ParameterGroup, TrainingConfig
from labwright.models.training.hooks import Hook

if TYPE_CHECKING:
    from transformers.utils.generic import ModelOutput

    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import TrainingRun

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
Factors = dict[int, list[list[tuple[Tensor, Tensor, float]]]]


class FusionSettings(BaseModel):
    """Settings of the fusion that the training loop does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate_weight: float = Field(0.01, ge=0)
    """lambda: weight of the gating loss; 0 leaves it out. 0.01 is that of the paper's code."""
    gammas: tuple[float, ...] = (0.0, 0.0, 0.0)
    """One dial an expert: how much its drift from its start costs; 0 leaves it free."""
    gate_form: Literal["nll", "double_softmax"] = "nll"
    """losses.py says why."""
    penalty_form: Literal["drift", "factor_norms"] = "drift"
    """losses.py says why."""
    attention: Literal["frozen", "tuned"] = "frozen"
    """tuned gives the attention's projections adapters too."""
    router_learning_rate: float = Field(5e-3, gt=0)
    """Peak learning rate of the router, which starts at random while the rest was trained before."""
    faithful: frozenset[str] = frozenset()
    """Deviations of the released code (faithful.py)."""

    def released(self) -> FusionSettings:
        """With all the deviations on, also in the forms of the losses."""
        return self.model_copy(update=RELEASED_FORMS)

    def training(self, base: TrainingConfig) -> TrainingConfig:
        """The loop's settings: adapters on all experts, the router trained whole, in float32, at its own rate.

        Args:
            base: what the user set; its LoRA rank, alpha and dropout are kept, its targets are those of a fusion.
        """
        tuned = self.attention == "tuned" or "tuned_attention" in self.faithful
        routed = "untrained_router" not in self.faithful
        lora = (base.lora or LoraSettings()).model_copy(
            update={
                "targets": (*PROJECTIONS, *(ATTENTION if tuned else ())),
                "also_train": ("router",) if routed else (),
            }
        )
        router = ParameterGroup(
            pattern=r"\.router\.", learning_rate=self.router_learning_rate, weight_decay=0.0, float32=True
        )
        groups = (router, *base.groups) if routed else base.groups
        return base.model_copy(update={"lora": lora, "groups": groups, "save": "merged"})


class FusionHook(Hook):
    """Adds the gating loss and the penalty to every micro-batch."""

    name = "h3fusion"

    def __init__(self, settings: FusionSettings, properties: Sequence[str]) -> None:
        """Bind the hook to the experts' names, in the order of their ids.

        Raises:
            TrainingRefused: the dials are not one an expert, or one is below 0.
        """
        if len(settings.gammas) != len(properties):
            raise TrainingRefused(f"{len(settings.gammas)} gammas for {len(properties)} experts; give one each")
        if any(gamma < 0 for gamma in settings.gammas):
            raise TrainingRefused("a gamma below 0 would reward drift; give 0 or more")
        if "hard_coded_layers" in settings.faithful and len(properties) != 3:
            raise TrainingRefused("the released code has three experts; leave hard_coded_layers out")
        self._settings = settings
        self._expert = {name: e for e, name in enumerate(properties)}
        self._layers = 0
        self._factors: Factors = {}
        self._sizes: dict[int, list[float]] = {}

    def settings(self) -> Mapping[str, Any]:
        """Everything that decides the two terms."""
        values = self._settings.model_dump(mode="json", exclude={"faithful"})
        return {**values, "faithful": sorted(self._settings.faithful), "properties": list(self._expert)}

    def forward_arguments(self) -> Mapping[str, Any]:
        """The router's logits are needed where the gating loss counts."""
        return {"output_router_logits": self._settings.gate_weight > 0}

    def start(self, run: TrainingRun) -> None:
        """Find the adapters of every expert.

        Raises:
            TrainingRefused: the model is no mixture with adapters on its experts.
        """
        mixtures = [m for m in run.model.modules() if isinstance(m, Mixture)]
        if not mixtures or len(mixtures[0].experts) != len(self._expert):
            raise TrainingRefused(f"the model is no mixture of {len(self._expert)} experts; build one first")
        self._layers = LAYERS if "hard_coded_layers" in self._settings.faithful else len(mixtures)
        self._factors = {
            e: [list(adapter_factors(mixture.experts[e])) for mixture in mixtures] for e in self._expert.values()
        }
        if not all(layer for layers in self._factors.values() for layer in layers):
            raise TrainingRefused("an expert has no adapter; train with lora on gate_proj, up_proj and down_proj")
        self._sizes = {e: [_size(mixture.experts[e]) for mixture in mixtures] for e in self._expert.values()}

    def drifts(self) -> dict[str, dict[str, list[float]]]:
        """How far each expert is from its merged start, layer by layer: ||W - W0||, and that over ||W0||."""
        found = {}
        for name, e in self._expert.items():
            with torch.no_grad():
                moved = [float(low_rank_norm(layer)) for layer in self._factors[e]]
            relative = [m / size if size else 0.0 for m, size in zip(moved, self._sizes[e], strict=True)]
            found[name] = {"absolute": moved, "relative": relative}
        return found

    def loss_terms(self, run: TrainingRun, batch: Batch, outputs: ModelOutput) -> Mapping[str, Tensor]:
        """Both terms of a micro-batch; one whose weight is 0 is left out."""
        terms = {}
        if self._settings.gate_weight:
            terms["gate"] = self._settings.gate_weight * self._gate(batch, outputs)
        if any(self._settings.gammas):
            terms["drift"] = self._penalty().to(batch.input_ids.device)
        return terms

    def _gate(self, batch: Batch, outputs: ModelOutput) -> Tensor:
        unknown = sorted({p for p in batch.properties if p not in self._expert})
        if unknown:
            raise TrainingRefused(
                f"examples of property {unknown[0]!r}: every example of a fusion is of {', '.join(self._expert)}"
            )
        experts = torch.tensor([self._expert[p] for p in batch.properties], device=batch.input_ids.device)
        mask = None if "padded_gate" in self._settings.faithful else batch.attention_mask
        return gate_loss(
            outputs["router_logits"], experts, mask=mask, form=self._settings.gate_form, n_layers=self._layers
        )

    def _penalty(self) -> Tensor:
        gammas = self._settings.gammas
        if self._settings.penalty_form == "drift":
            return drift_penalty(self._factors, gammas, self._layers)
        tensors = {
            e: [t for layer in layers for a, b, _ in layer for t in (a, b)] for e, layers in self._factors.items()
        }
        return factor_penalty(tensors, gammas, self._layers)


def adapter_factors(expert: nn.Module) -> Iterator[tuple[Tensor, Tensor, float]]:
    """A (r, in), B (out, r) and scale of every adapter in an expert, as they are trained."""
    for module in expert.modules():
        if isinstance(module, LoraLayer):
            down, up = cast("dict[str, nn.Linear]", module.lora_A), cast("dict[str, nn.Linear]", module.lora_B)
            for name in down:
                yield down[name].weight, up[name].weight, float(module.scaling[name])


def _size(expert: nn.Module) -> float:
    """Frobenius norm of an expert's weights without its adapters, all matrices as one vector."""
    bases = [cast("Any", m).get_base_layer() for m in expert.modules() if isinstance(m, LoraLayer)]
    weights: list[Tensor] = [base.weight.detach() for base in bases]
    return float(torch.stack([torch.linalg.vector_norm(w.float()) for w in weights]).norm())
