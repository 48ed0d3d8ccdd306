"""Adding a vector to the hidden states of a model while it reads and writes (CMRM, equation 6).

h_aligned^l = h^l(x, img) + alpha * v^l, with v text minus corrupted (vectors.py). Hooks stand on the modules of the
decoder layers, where the vectors were taken too: transformers' `hidden_states` ends with a state after the final norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from labwright.errors import HashMismatch, WrongUse

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

Positions = Literal["last_prompt", "last_and_generated", "all"]
NamedLayers = Literal["all", "upper_half", "last"]
Layers = NamedLayers | tuple[int, ...]
MOST_ALPHA = 2.0


@dataclass(frozen=True, slots=True)
class Policy:
    """Where a vector is added."""

    layers: Layers = "all"
    """All, the upper half of them, the last, or indices from 0."""
    positions: Positions = "last_and_generated"
    """The last prompt token; that and every generated one; or all real tokens, those of an image included."""
    compensate: bool = False
    """Add the difference to the vector of the steered layer before: the residual stream carries on what that added."""


EVERYWHERE = Policy()


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The layers of the text decoder of a language or vision-language model, first one first.

    Raises:
        WrongUse: the model has no such decoder.
    """
    get = getattr(model, "get_decoder", None)
    layers = getattr(get() if callable(get) else model, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise WrongUse(f"{type(model).__name__} has no decoder with `layers`; steering needs one")
    return layers


def chosen_layers(model: nn.Module, layers: Layers) -> list[int]:
    """Indices of the layers that are steered.

    Raises:
        WrongUse: an index that the model does not have, or an unknown word.
    """
    n = len(decoder_layers(model))
    first = {"all": 0, "upper_half": n // 2, "last": n - 1}
    if isinstance(layers, str) and layers not in first:
        raise WrongUse(f"layers {layers!r}: {', '.join(first)}, or indices")
    wanted = list(range(first[layers], n)) if isinstance(layers, str) else [int(i) for i in layers]
    if wrong := [i for i in wanted if not 0 <= i < n]:
        raise WrongUse(f"layers {', '.join(map(str, wrong))}: the model has 0 to {n - 1}")
    return wanted


@dataclass(slots=True)
class _Reading:
    """What the forward pass under way is: set before it, read by the hooks of the layers."""

    prefill: bool = True
    mask: Tensor | None = None
    _last: tuple[tuple[int, int, torch.device], Tensor, Tensor] | None = None
    """Shape that `rows` was asked for, and its answer: the same in every layer of a pass."""

    def begin(self, *, prefill: bool, mask: Tensor | None) -> None:
        """Another pass begins."""
        self.prefill, self.mask, self._last = prefill, mask, None

    def rows(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Row and index of the last real token of each sample."""
        b, t, _ = hidden.shape
        asked = (b, t, hidden.device)
        if self._last is None or self._last[0] != asked:
            index = torch.full((b,), t - 1, device=hidden.device)
            if self.mask is not None and self.mask.shape == (b, t):
                places = torch.arange(t, device=hidden.device)
                index = (self.mask.to(hidden.device).bool() * places).argmax(dim=1)
            self._last = (asked, torch.arange(b, device=hidden.device), index)
        return self._last[1:]

    def changed(self, hidden: Tensor, shift: Tensor, positions: Positions) -> Tensor:
        """The states with the vector added where it belongs; (b, t, d). Padding is left alone."""
        if not self.prefill and positions == "last_prompt":
            return hidden
        if not self.prefill:
            return hidden + shift
        if positions == "all":
            real = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
            if self.mask is not None and self.mask.shape == hidden.shape[:2]:
                real = self.mask.to(hidden.device).bool()
            return torch.where(real[..., None], hidden + shift, hidden)
        rows, index = self.rows(hidden)
        out = hidden.clone()
        out[rows, index] += shift
        return out


class Steerer:
    """Context in which a model is steered; entered again within itself it adds once more, as another one does.

    At alpha 0 nothing is hooked, so that the model's numbers are the same bits. On the way out, also by an exception,
    every hook is taken away.
    """

    def __init__(
        self,
        model: nn.Module,
        vectors: Mapping[int, Tensor],
        alpha: float,
        policy: Policy = EVERYWHERE,
    ) -> None:
        """Check everything; nothing is hooked yet.

        Args:
            model: decoder-only, or a vision-language model with one.
            vectors: layer to (d,).
            alpha: 0 to 2.
            policy: where.

        Raises:
            WrongUse: alpha or a layer out of range, or unknown positions.
            HashMismatch: a vector is missing or of another width.
        """
        if not 0 <= alpha <= MOST_ALPHA:
            raise WrongUse(f"alpha {alpha:g}: 0 to {MOST_ALPHA:g}")
        if policy.positions not in get_args(Positions):
            raise WrongUse(f"positions {policy.positions!r}: {', '.join(get_args(Positions))}")
        self._model, self._positions = model, policy.positions
        wanted = chosen_layers(model, policy.layers)
        self._shifts = {} if alpha == 0 else _shifts(model, vectors, wanted, alpha, policy.compensate)
        self._entered: list[list[RemovableHandle]] = []

    def __enter__(self) -> Steerer:
        """Hook the layers."""
        handles: list[RemovableHandle] = []
        self._entered.append(handles)
        try:
            if self._shifts:
                reading = _Reading()
                handles.append(self._model.register_forward_pre_hook(_watcher(reading), with_kwargs=True))
                modules = decoder_layers(self._model)
                handles += [modules[i].register_forward_hook(self._adder(v, reading)) for i, v in self._shifts.items()]
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the hooks of the last entering away."""
        for handle in self._entered.pop():
            handle.remove()

    def _adder(self, shift: Tensor, reading: _Reading) -> Callable[..., Any]:
        cast: dict[tuple[torch.dtype, torch.device], Tensor] = {}

        def add(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            key = (hidden.dtype, hidden.device)
            if key not in cast:
                cast[key] = shift.to(dtype=hidden.dtype, device=hidden.device)
            changed = reading.changed(hidden, cast[key], self._positions)
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return add


def _shifts(
    model: nn.Module, vectors: Mapping[int, Tensor], wanted: Sequence[int], alpha: float, compensate: bool
) -> dict[int, Tensor]:
    width = getattr(getattr(model, "config", None), "get_text_config", lambda: None)()
    d = getattr(width, "hidden_size", None)
    if missing := [i for i in wanted if i not in vectors]:
        raise HashMismatch(f"no shift vector of layers {', '.join(map(str, missing))}; extract them from this model")
    found: dict[int, Tensor] = {}
    before: Tensor | None = None
    for i in wanted:
        v = vectors[i]
        if v.dim() != 1 or (d is not None and len(v) != d):
            raise HashMismatch(
                f"the shift vector of layer {i} has the shape {tuple(v.shape)}, the model a width of {d}"
            )
        found[i] = alpha * (v if before is None or not compensate else v - before)
        before = v
    return found


def _watcher(reading: _Reading) -> Callable[..., None]:
    def watch(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        # Looked for by what it can do: `generate` has named it past_key_values, and names it cache.
        past = next((v for v in named.values() if hasattr(v, "get_seq_length")), None)
        reading.begin(prefill=past is None or past.get_seq_length() == 0, mask=named.get("attention_mask"))

    return watch


def last_states(model: nn.Module, inputs: Mapping[str, Any]) -> dict[int, Tensor]:
    """Hidden states of the last prompt token at the output of every decoder layer; layer to (b, d) float32, on the CPU.

    Args:
        model: in evaluation mode.
        inputs: what its forward pass takes, `attention_mask` among them where rows are padded.
    """
    found: dict[int, Tensor] = {}
    reading = _Reading(mask=inputs.get("attention_mask"))

    def keep(layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            rows, index = reading.rows(hidden)
            found[layer] = hidden[rows, index].detach().float().cpu()

        return hook

    handles = [m.register_forward_hook(keep(i)) for i, m in enumerate(decoder_layers(model))]
    try:
        with torch.inference_mode():
            model(**inputs, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return {layer: state.clone() for layer, state in found.items()}
