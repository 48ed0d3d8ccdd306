"""A decoder whose feed-forward block is, in every layer, a mixture of the feed-forward blocks of aligned models.

Attention, embeddings, norms and head are those of the base model, which may be any causal language model of
transformers whose layers hold an `mlp` with gate_proj, up_proj and down_proj (Llama, Mistral, Qwen2, Gemma and the
like). A linear router without bias chooses k of K experts for a token (losses.route); only the chosen ones are
computed, the tokens of one expert in one matrix product. The router is computed, and kept, in float32 (a bfloat16
router flips choices between nearly equal experts).

Importing `labwright.models.h3fusion.modeling` registers the class: AutoConfig and AutoModelForCausalLM load what
save_pretrained wrote, and generate() works as with every other model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MoeCausalLMOutputWithPast

from labwright.errors import WrongUse
from labwright.models.h3fusion.losses import route

PROPERTIES = ("helpful", "harmless", "honest")
"""Names of the experts in the order of their ids (0, 1, 2 in the paper's code)."""
PROJECTIONS = ("gate_proj", "up_proj", "down_proj")


class H3FusionConfig(PretrainedConfig):  # type: ignore[no-untyped-call]  # its base is partly untyped
    """What a mixture is made of.

    Args:
        text_config: configuration of the base model, as an object or its dictionary.
        num_experts: K, 2 or above.
        num_experts_per_tok: the top k, experts computed for a token, 1 to K.
        properties: one name an expert.
        output_router_logits: return the router's logits with every forward pass.
    """

    model_type = "h3fusion"
    sub_configs = {"text_config": AutoConfig}  # noqa: RUF012  (as transformers declares it)

    def __init__(
        self,
        text_config: PretrainedConfig | dict[str, Any] | None = None,
        num_experts: int = 3,
        num_experts_per_tok: int = 2,
        properties: tuple[str, ...] = PROPERTIES,
        output_router_logits: bool = False,
        **kwargs: Any,
    ) -> None:
        # transformers makes one without arguments to find what differs from the defaults: the smallest family serves.
        given = {"model_type": "llama"} if text_config is None else text_config
        if isinstance(given, dict):
            given = AutoConfig.for_model(**copy.deepcopy(given))
        self.text_config = given
        self.num_experts, self.num_experts_per_tok = num_experts, num_experts_per_tok
        self.properties = list(properties)
        self.output_router_logits = output_router_logits
        if num_experts < 2 or len(self.properties) != num_experts:
            raise ValueError(f"{num_experts} experts named {', '.join(self.properties)}: two or more, one name each")
        if not 1 <= num_experts_per_tok <= num_experts:
            raise ValueError(f"top-{num_experts_per_tok} of {num_experts} experts")
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            kwargs.setdefault(name, getattr(given, name, None))
        kwargs["tie_word_embeddings"] = bool(getattr(given, "tie_word_embeddings", False))
        super().__init__(**kwargs)


class Router(nn.Linear):
    """Linear map from a hidden state to K logits, no bias, computed in float32 whatever the model's dtype."""

    def __init__(self, hidden: int, num_experts: int) -> None:
        super().__init__(hidden, num_experts, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (the base class names it so)
        """Logits (..., K), float32, of hidden states (..., hidden)."""
        with torch.autocast(input.device.type, enabled=False):  # it would take both to bfloat16
            return nn.functional.linear(input.float(), self.weight.float())


class Mixture(nn.Module):
    """The feed-forward block of one layer: y = sum over the top k of w_e * Expert_e(h)."""

    def __init__(self, mlp: nn.Module, hidden: int, num_experts: int, top_k: int) -> None:
        super().__init__()
        self.router = Router(hidden, num_experts)
        self.experts = nn.ModuleList([mlp, *(copy.deepcopy(mlp) for _ in range(num_experts - 1))])
        self.top_k = top_k

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Mix the experts' outputs.

        Args:
            hidden_states: (b, t, hidden).

        Returns:
            (b, t, hidden), in the dtype of the input.
        """
        x = hidden_states.reshape(-1, hidden_states.shape[-1])  # (n, hidden), n = b * t tokens
        weights, ids = route(self.router(x), self.top_k)  # (n, k) each
        weights = weights.to(x.dtype)
        if len(x) == 1:  # one token, as in generation: no gathering
            y = sum(w * self.experts[e](x) for w, e in zip(weights[0], ids[0].tolist(), strict=True))
            return torch.as_tensor(y).view_as(hidden_states)
        y = torch.zeros_like(x)
        for e, expert in enumerate(self.experts):
            rows, slots = torch.where(ids == e)  # the tokens that chose e, and at which rank
            if len(rows):
                out = expert(x.index_select(0, rows)) * weights[rows, slots, None]
                y.index_add_(0, rows, out)
        return y.view_as(hidden_states)


class H3FusionForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]  # partly untyped
    """A base causal language model with a mixture in the place of every feed-forward block."""

    config_class = H3FusionConfig
    base_model_prefix = "language_model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _keep_in_fp32_modules_strict = {"router"}  # noqa: RUF012  (the type that the base has)

    def __init__(self, config: H3FusionConfig) -> None:
        super().__init__(config)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)  # type: ignore[no-untyped-call]
        for layer in decoder_layers(self.language_model):
            layer.mlp = Mixture(
                cast("nn.Module", layer.mlp),
                config.text_config.hidden_size,
                config.num_experts,
                config.num_experts_per_tok,
            )
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def from_dense(cls, dense: PreTrainedModel, config: H3FusionConfig, seed: int) -> H3FusionForCausalLM:
        """Turn a loaded base model into a mixture whose experts are all copies of its feed-forward blocks.

        Args:
            dense: becomes part of the mixture; its weights are not copied.
            config: of the mixture; its text_config is that of `dense`.
            seed: of the routers' start, normal with the base's initializer_range.
        """
        with torch.device("meta"):
            fused = cls(config)
        generator = torch.Generator().manual_seed(seed)
        for layer in decoder_layers(dense):
            layer.mlp = Mixture(
                cast("nn.Module", layer.mlp),
                config.text_config.hidden_size,
                config.num_experts,
                config.num_experts_per_tok,
            )
            start = torch.empty(layer.mlp.router.weight.shape)
            start.normal_(std=getattr(config.text_config, "initializer_range", 0.02), generator=generator)
            layer.mlp.router.weight.data = start.to(dense.device)
        fused.language_model = dense
        fused.generation_config = copy.deepcopy(dense.generation_config)
        return fused

    @property
    def mixtures(self) -> list[Mixture]:
        """The mixture of every layer, first layer first; an adapter around the model does not hide them."""
        return [module for module in self.modules() if isinstance(module, Mixture)]

    def set_top_k(self, k: int) -> None:
        """Compute k experts for a token from now on.

        Raises:
            ValueError: k is not in 1 to K.
        """
        if not 1 <= k <= self.config.num_experts:
            raise ValueError(f"top-{k} of {self.config.num_experts} experts")
        self.config.num_experts_per_tok = k
        for mixture in self.mixtures:
            mixture.top_k = k

    def get_input_embeddings(self) -> nn.Module:
        """The base model's."""
        return self.language_model.get_input_embeddings()  # type: ignore[no-any-return]  # untyped there

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the base model's."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module | None:
        """The base model's head."""
        return self.language_model.get_output_embeddings()  # type: ignore[no-any-return]  # untyped there

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the base model's head."""
        self.language_model.set_output_embeddings(new_embeddings)

    def _init_weights(self, module: nn.Module) -> None:
        # The base model's own rule for its parts; the router like any linear layer of it.
        if isinstance(module, Router):
            nn.init.normal_(module.weight, std=getattr(self.config.text_config, "initializer_range", 0.02))
        else:
            self.language_model._init_weights(module)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        output_router_logits: bool | None = None,
        **inputs: Any,
    ) -> MoeCausalLMOutputWithPast:
        """Next-token logits, the loss where labels are given, and the router's logits where asked.

        Args:
            input_ids: (b, t) token ids.
            attention_mask: (b, t), 0 on padding; named here, for generation gives it to models that name it only.
            output_router_logits: also return the logits of every router; the default is that of the configuration.
            inputs: all that the base model takes (labels, past_key_values, use_cache...).

        Returns:
            `logits` (b, t, vocabulary), `loss`, `past_key_values`, and `router_logits`, one (b, t, K) a layer. The loss
            is that of the base model, the language model's alone: the fusion's other terms are in losses.py.
        """
        wanted = self.config.output_router_logits if output_router_logits is None else output_router_logits
        with self._recording(wanted) as recorded:
            out = self.language_model(
                input_ids=input_ids, attention_mask=attention_mask, **{**inputs, "return_dict": True}
            )
        routed: dict[str, Any] = (
            {"router_logits": tuple(self._by_sample(recorded, input_ids, inputs))} if wanted else {}
        )
        return MoeCausalLMOutputWithPast(**out, **routed)

    @staticmethod
    def _by_sample(recorded: list[Tensor], input_ids: Tensor | None, inputs: dict[str, Any]) -> Iterator[Tensor]:
        batch = len(inputs["inputs_embeds"] if input_ids is None else input_ids)
        for logits in recorded:  # (b * t, K)
            yield logits.view(batch, -1, logits.shape[-1])

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> Any:
        """What the base model does between two tokens."""
        return self.language_model.prepare_inputs_for_generation(*args, **kwargs)

    @contextmanager
    def _recording(self, wanted: bool) -> Iterator[list[Tensor]]:
        """Collect what the routers return; the layers are the base model's and do not pass it on."""
        recorded: list[Tensor] = []
        routers = [m.router for m in self.mixtures] if wanted else []
        handles = [r.register_forward_hook(lambda _m, _i, out: recorded.append(out)) for r in routers]
        try:
            yield recorded
        finally:
            for handle in handles:
                handle.remove()


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The layers of a causal language model, each with an `mlp` of gate_proj, up_proj and down_proj.

    Raises:
        WrongUse: the model is built otherwise, so that its feed-forward blocks cannot become experts.
    """
    layers = getattr(getattr(model, "model", None), "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise WrongUse(f"{type(model).__name__} has no `model.layers`; a fusion needs a Llama-like decoder")
    for layer in layers:
        mlp = getattr(layer, "mlp", None)
        if not all(isinstance(getattr(mlp, name, None), nn.Linear) for name in PROJECTIONS):
            raise WrongUse(
                f"{type(model).__name__}: its layers have no `mlp` of {', '.join(PROJECTIONS)}; a fusion needs one"
            )
    return layers


AutoConfig.register("h3fusion", H3FusionConfig, exist_ok=True)
AutoModelForCausalLM.register(H3FusionConfig, H3FusionForCausalLM, exist_ok=True)
