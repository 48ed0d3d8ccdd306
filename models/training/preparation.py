"""From a loaded model to what is trained of it: adapters, frozen weights, groups, optimiser and schedule."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from labwright.errors import TrainingRefused
from labwright.models.training.config import LoraSettings, TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from labwright.models.training.hooks import Hook


def prepare_model(model: nn.Module, config: TrainingConfig, hooks: Sequence[Hook]) -> nn.Module:
    """Add adapters or freeze what is not trained, then let hooks change it; the model is in training mode.

    Raises:
        TrainingRefused: nothing is left to train, or no layer goes by a target's name.
    """
    model = _chosen(model, config)
    for hook in hooks:
        hook.prepare(model)
    if not any(p.requires_grad for p in model.parameters()):
        raise TrainingRefused(f"no parameter is trained: none has {config.trainable!r} in its name")
    _to_float32(model, config)
    if config.gradient_checkpointing:
        with warnings.catch_warnings():
            # transformers will call it activation_checkpointing_enable, which earlier versions do not have.
            warnings.simplefilter("ignore", FutureWarning)
            # Re-entrant checkpointing loses the gradients of adapters when the embeddings are frozen.
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]
    return model.train()


def _chosen(model: nn.Module, config: TrainingConfig) -> nn.Module:
    from peft import PeftModel

    if isinstance(model, PeftModel):
        if config.lora is None:
            raise TrainingRefused("the model has an adapter; train it on (with lora set), or load it merged")
        for name, parameter in model.named_parameters():
            parameter.requires_grad = "lora_" in name or "modules_to_save" in name
    elif config.lora is not None:
        return _with_adapters(model, config.lora)
    else:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = re.search(config.trainable, name) is not None
    return model


def _with_adapters(model: nn.Module, settings: LoraSettings) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    absent = [t for t in settings.targets if not any(n == t or n.endswith(f".{t}") for n in linear)]
    if absent or not settings.targets:
        ends = sorted({n.rsplit(".", 1)[-1] for n in linear})
        raise TrainingRefused(
            f"lora.targets: no linear layer named {', '.join(absent) or '(none given)'}; "
            f"this model has {', '.join(ends)}"
        )
    wanted = LoraConfig(
        r=settings.r,
        lora_alpha=cast("int", settings.alpha),  # any number; only the ratio to r counts
        lora_dropout=settings.dropout,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=list(settings.targets),
        modules_to_save=list(settings.also_train) or None,
    )
    with warnings.catch_warnings():
        # peft asks transformers by a name that it will drop; nothing that a user could mend.
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, wanted)


def _to_float32(model: nn.Module, config: TrainingConfig) -> None:
    for name, parameter in model.named_parameters():
        group = group_of(name, config)
        if parameter.requires_grad and group is not None and config.groups[group].float32:
            parameter.data = parameter.data.float()


def group_of(name: str, config: TrainingConfig) -> int | None:
    """Index of the first group of the configuration whose pattern is in the name."""
    return next((i for i, g in enumerate(config.groups) if re.search(g.pattern, name)), None)


def make_optimiser(parameters: Mapping[str, nn.Parameter], config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with a group for each rate and decay.

    Raises:
        TrainingRefused: a group's pattern is in the name of no trained parameter.
    """
    sorted_out: dict[tuple[float, float], list[nn.Parameter]] = {}
    used: set[int] = set()
    for name, parameter in parameters.items():
        index = group_of(name, config)
        rate, decay = config.learning_rate, config.weight_decay
        if index is not None:
            used.add(index)
            own = config.groups[index]
            rate, decay = own.learning_rate, decay if own.weight_decay is None else own.weight_decay
        sorted_out.setdefault((rate, decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    idle = [g.pattern for i, g in enumerate(config.groups) if i not in used]
    if idle:
        raise TrainingRefused(f"groups: no trained parameter matches {', '.join(idle)}")
    groups: list[dict[str, Any]] = [
        {"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in sorted_out.items()
    ]
    return torch.optim.AdamW(groups, betas=(config.beta1, config.beta2), eps=config.epsilon)


def make_schedule(optimiser: torch.optim.Optimizer, config: TrainingConfig, steps: int) -> Any:
    """The learning-rate schedule of transformers by that name, over `steps` updates."""
    from transformers import get_scheduler

    name = "constant_with_warmup" if config.schedule == "constant" else config.schedule
    return get_scheduler(name, optimiser, num_warmup_steps=config.warmup_steps, num_training_steps=steps)
