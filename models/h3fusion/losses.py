"""Routing and the losses of the fusion of three aligned models (H3Fusion, arXiv 2411.17792).

    L = L_LM + L_reg + lambda * L_gate

K experts, k of them chosen for a token, b samples, t positions, L layers. The gating loss and both penalties are lower
for better. Two forms of each are here; the defaults are `nll` and `drift`:

- Gate `nll` is -log pbar_c. The released code gives pbar, a probability already, to a cross-entropy that takes a
  softmax again (`double_softmax`). Its gradient on the router's logits fades with pbar_c: a sample that is sent to a
  wrong expert with confidence is never sent back. That of `nll` is greatest there, and its minimum is 0 for any K.
- Penalty `drift` is the distance of an expert from its merged start, ||W - W0||_F. The released code adds the norms of
  the two factors of each adapter (`factor_norms`), which depends on how a change is split into factors and is above 0
  before anything changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

GateForm = Literal["nll", "double_softmax"]
PenaltyForm = Literal["drift", "factor_norms"]


def route(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Weights and ids of the k experts of every token.

    Softmax in float32 over all experts, the k largest, renormalised to sum 1 (the rule of Mixtral, arXiv 2401.04088,
    and of section 3 of the paper).

    Args:
        logits: (..., K), any real numbers.
        k: from 1 to K.

    Returns:
        Weights (..., k) in [0, 1], float32, and ids (..., k), both by falling weight; equal logits in any order.

    Raises:
        ValueError: k is not in 1 to K.
    """
    if not 1 <= k <= logits.shape[-1]:
        raise ValueError(f"top-{k} of {logits.shape[-1]} experts")
    weights, ids = logits.softmax(dim=-1, dtype=torch.float32).topk(k, dim=-1)
    return weights / weights.sum(dim=-1, keepdim=True), ids


def gate_shares(router_logits: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
    """Mean weight of every expert over a sample's tokens, layer by layer, before the top-k.

    Args:
        router_logits: one tensor (b, t, K) a layer.
        mask: (b, t), 1 for tokens that count; None counts all, padding included, as the released code does.

    Returns:
        (L, b, K), float32, each row sums to 1.

    Raises:
        ValueError: there is no layer, or a sample has no token that counts.
    """
    if not router_logits:
        raise ValueError("shares of no layer")
    p = torch.stack([layer.softmax(dim=-1, dtype=torch.float32) for layer in router_logits])  # (L, b, t, K)
    if mask is None:
        return p.mean(dim=2)
    counts = mask.sum(dim=1)  # (b,)
    if bool((counts == 0).any()):
        raise ValueError("a sample without a token that counts has no gate")
    return (p * mask.to(p.dtype)[None, :, :, None]).sum(dim=2) / counts.to(p.dtype)[None, :, None]


def gate_loss(
    router_logits: Sequence[Tensor],
    experts: Tensor,
    *,
    mask: Tensor | None = None,
    form: GateForm = "nll",
    n_layers: int | None = None,
) -> Tensor:
    """How far the router is from sending each sample to the expert of its property.

    pbar is the mean over layers of `gate_shares`; the loss is the mean over samples of -log pbar_c (`nll`, 0 or above)
    or of -log softmax(pbar)_c (`double_softmax`; for K = 3 from 0.5514 to 1.5514).

    Args:
        router_logits: one tensor (b, t, K) a layer.
        experts: (b,), id of each sample's expert.
        mask: as in `gate_shares`.
        form: which of the two.
        n_layers: what the sum over layers is divided by; None is their number (the released code divides by 32).

    Raises:
        ValueError: as in `gate_shares`, or the form is unknown.
    """
    shares = gate_shares(router_logits, mask)  # (L, b, K)
    pbar = shares.sum(dim=0) / (n_layers or len(shares))  # (b, K)
    if form == "double_softmax":
        return functional.cross_entropy(pbar, experts)
    if form != "nll":
        raise ValueError(f"gate form {form!r}: nll or double_softmax")
    floor = torch.finfo(pbar.dtype).tiny  # log 0 would stop the training at a share that underflows
    return functional.nll_loss(pbar.clamp_min(floor).log(), experts)


def factor_penalty(tensors: Mapping[int, Sequence[Tensor]], gammas: Sequence[float], n_layers: int) -> Tensor:
    """The released code's regulariser: norms of every trained tensor of an expert, un-squared, over the layers.

    (1/L) sum_e gamma_e sum_theta ||theta||_2. The released code also counts frozen matrices, which adds a constant
    without a gradient; here only trained ones are given.

    Args:
        tensors: expert id to its trained tensors in all layers (A and B of each adapter).
        gammas: one dial an expert, 0 or above; experts with 0 are skipped.
        n_layers: L, 1 or above.

    Raises:
        ValueError: `gammas` has no entry for an expert, or n_layers is below 1.
    """
    _check_dials(tensors, gammas, n_layers)
    terms = [
        gammas[e] * torch.linalg.vector_norm(theta) for e, thetas in tensors.items() if gammas[e] for theta in thetas
    ]
    return torch.stack(terms).sum() / n_layers if terms else torch.zeros(())


def drift_penalty(
    factors: Mapping[int, Sequence[Sequence[tuple[Tensor, Tensor, float]]]], gammas: Sequence[float], n_layers: int
) -> Tensor:
    """Distance of each expert from its start: (1/L) sum_e gamma_e sum_l ||W_{l,e} - W0_{l,e}||_F.

    W_{l,e} is all that expert e has in layer l (its three matrices as one vector). The change of a matrix is
    scale * B A, and its norm is taken from the r x r products of the factors, so that no full matrix is made.

    Args:
        factors: expert id to one list a layer of (A (r, in), B (out, r), scale).
        gammas: one dial an expert, 0 or above; experts with 0 are skipped.
        n_layers: L, 1 or above.

    Raises:
        ValueError: as in `factor_penalty`.
    """
    _check_dials(factors, gammas, n_layers)
    terms = [gammas[e] * low_rank_norm(layer) for e, layers in factors.items() if gammas[e] for layer in layers]
    return torch.stack(terms).sum() / n_layers if terms else torch.zeros(())


def low_rank_norm(factors: Sequence[tuple[Tensor, Tensor, float]]) -> Tensor:
    """Frobenius norm of several products scale * B A taken as one vector.

    ||B A||^2 = trace((B^T B)(A A^T)). At a product of exactly 0, where the norm has no gradient, it is given as 0.

    Args:
        factors: (A (r, in), B (out, r), scale); ranks may differ.

    Raises:
        ValueError: there are no factors.
    """
    if not factors:
        raise ValueError("the norm of no change")
    squares = [scale**2 * ((b.float().T @ b.float()) * (a.float() @ a.float().T)).sum() for a, b, scale in factors]
    # Rounding can leave a sum just below 0; under the floor there is no gradient instead of an infinite one.
    return torch.stack(squares).sum().clamp_min(1e-24).sqrt()


def drift(weight: Tensor, start: Tensor) -> tuple[float, float]:
    """Distance of a weight from its start, ||W - W0||_2, and the same over ||W0||_2 (infinite where W0 is 0).

    Example:
        >>> drift(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 2.0, 2.0]))[0]
        2.0
    """
    moved = torch.linalg.vector_norm(weight.double() - start.double()).item()
    size = torch.linalg.vector_norm(start.double()).item()
    return moved, moved / size if size else math.inf if moved else 0.0


def _check_dials(of_experts: Mapping[int, object], gammas: Sequence[float], n_layers: int) -> None:
    if n_layers < 1:
        raise ValueError(f"a penalty over {n_layers} layers")
    if any(e >= len(gammas) for e in of_experts):
        raise ValueError(f"{len(gammas)} dials for expert {max(of_experts)} and those before it")
