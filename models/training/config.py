"""What a training is asked to do; every field that changes the result is part of its identity.

Defaults are those of the alignments of H3Fusion (arXiv 2411.17792, released code): LoRA of rank 8 on the
feed-forward projections, AdamW at 5e-4 with a linear decay, three epochs, 300 tokens, the Alpaca template.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

IDLE = ("checkpoint_every", "keep_checkpoints", "log_every", "heldout_every", "memory_check", "save")
"""Fields that leave the trained weights as they are; a resumed training may change them."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoraSettings(_Part):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): W + alpha / r * B A, with only A and B trained."""

    r: int = Field(8, ge=1)
    """Rank."""
    alpha: float = Field(4.0, gt=0)
    """Numerator of the scale alpha / r."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of an adapter's inputs that are set to zero in training."""
    targets: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")
    """Ends of the names of the linear layers that get an adapter."""
    also_train: tuple[str, ...] = ()
    """Ends of the names of modules that are trained and saved whole beside the adapters, such as a router."""


class ParameterGroup(_Part):
    """Parameters with a learning rate of their own; the first group whose pattern is found in the name wins."""

    pattern: str
    """Regular expression, searched in the parameter's name."""
    learning_rate: float = Field(gt=0)
    """Peak learning rate."""
    weight_decay: float | None = Field(None, ge=0)
    """Decoupled weight decay; None takes the training's."""
    float32: bool = False
    """Keep these parameters in float32 whatever the model's dtype is."""


class TrainingConfig(_Part):
    """Settings of one training; see docs/training.md."""

    lora: LoraSettings | None = LoraSettings()
    """Adapters; None trains the weights themselves."""
    trainable: str = ""
    """Without adapters: regular expression of the parameters that are trained; empty means all."""
    groups: tuple[ParameterGroup, ...] = ()
    """Parameters with learning rates of their own."""

    template: Literal["alpaca", "chat", "none"] = "alpaca"
    """How an instruction becomes a prompt: Alpaca's two texts, the tokenizer's chat template, or as it is."""
    stop_marker: str = "###END"
    """Written after the answer (templates alpaca and none); the chat template brings its own end."""
    append_eos: bool = False
    """Also put the tokenizer's end-of-text token after the answer."""
    max_tokens: int = Field(300, ge=2)
    """Longest example, tokens; what is longer loses the end of its answer."""
    too_long: Literal["refuse", "drop"] = "refuse"
    """What becomes of examples whose prompt alone fills `max_tokens`."""

    epochs: float = Field(3.0, gt=0)
    """Passes over the data; a fraction ends within one."""
    max_steps: int | None = Field(None, ge=1)
    """Most optimiser steps; None means all of the epochs."""
    batch_size: int = Field(8, ge=1)
    """Examples in one forward pass of one process."""
    accumulate: int = Field(1, ge=1)
    """Forward passes of each process in one optimiser step."""
    learning_rate: float = Field(5e-4, gt=0)
    """Peak learning rate."""
    schedule: Literal["linear", "constant", "cosine"] = "linear"
    """What follows the warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Optimiser steps over which the rate rises from 0."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay of everything but biases and norms (tensors of one dimension)."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW's decay of the first moment."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """AdamW's decay of the second moment."""
    epsilon: float = Field(1e-8, gt=0)
    """AdamW's epsilon."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Most that the global norm of a step's gradient may be; None never clips."""
    seed: int = Field(42, ge=0)
    """Of the adapters' start, dropout and the order of the data."""
    autocast: Literal["none", "bfloat16"] = "none"
    """Precision of the forward pass; weights keep the dtype that they were loaded in."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
    device: Literal["auto", "cpu"] = "auto"
    """auto takes the accelerator that there is."""

    log_every: int = Field(1, ge=1)
    """Steps between the lines of metrics.jsonl."""
    heldout_every: int = Field(0, ge=0)
    """Steps between measurements on held-out examples; 0 measures at the end alone."""
    checkpoint_every: int = Field(100, ge=0)
    """Steps between checkpoints; 0 saves at an interrupt and at the end alone."""
    keep_checkpoints: int = Field(2, ge=1)
    """Checkpoints that are kept, newest first."""
    memory_check: bool = True
    """Refuse to start when the estimate is above the memory at hand."""
    save: Literal["adapter", "merged"] = "adapter"
    """With adapters: what the folder holds at the end, the adapter alone or a whole model with it added."""

    @model_validator(mode="after")
    def _fits(self) -> TrainingConfig:
        if self.lora is not None and self.trainable:
            raise ValueError("trainable: only without adapters; with them, name whole modules in lora.also_train")
        return self

    def identity(self) -> dict[str, Any]:
        """The fields that decide the trained weights, as JSON values."""
        return self.model_dump(mode="json", exclude=set(IDLE))
