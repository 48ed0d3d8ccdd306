"""Routing and losses; expected numbers are those of the specification's test vectors (torch 2.13, CPU, float32)."""

from __future__ import annotations

import math

import pytest
import torch

from labwright.models.h3fusion.losses import (
    drift,
    drift_penalty,
    factor_penalty,
    gate_loss,
    gate_shares,
    low_rank_norm,
    route,
)

ROWS = torch.tensor([[1.0, 0, -1], [0.2, 0.1, 0], [0, 2, 2], [-1, 0.5, 0.25]])
FIRST = ROWS.view(2, 2, 3)
SECOND = torch.tensor([[[0.0, 0, 0], [1, 0, 0]], [[0, 0, 3], [0, 1, 0]]])
LABELS = torch.tensor([0, 2])


def close(found: torch.Tensor, expected: list[object]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=0)


def test_vector_1_routing() -> None:
    weights, ids = route(ROWS, 2)
    close(ROWS.softmax(-1)[3], [0.111457, 0.499518, 0.389025])
    assert [sorted(row) for row in ids.tolist()] == [[0, 1], [0, 1], [1, 2], [1, 2]]
    close(weights, [[0.731059, 0.268941], [0.524979, 0.475021], [0.5, 0.5], [0.562177, 0.437824]])
    experts = torch.tensor([[1.0, 2], [-1, 0], [0, 3]])
    y = (weights[..., None] * experts[ids]).sum(dim=1)
    close(y, [[0.462117, 1.462117], [0.049958, 1.049958], [-0.5, 1.5], [-0.562177, 1.313470]])


def test_routing_is_computed_in_float32_and_refuses_an_impossible_k() -> None:
    assert route(ROWS.bfloat16(), 1)[0].dtype == torch.float32
    for k in (0, 4):
        with pytest.raises(ValueError, match="of 3 experts"):
            route(ROWS, k)


def test_vector_2_gate_loss() -> None:
    shares = gate_shares([FIRST, SECOND])
    close(shares[0], [[0.516203, 0.288477, 0.195320], [0.087418, 0.483914, 0.428668]])
    close(shares[1], [[0.454725, 0.272637, 0.272637], [0.128610, 0.310698, 0.560692]])
    close(shares.mean(0), [[0.485464, 0.280557, 0.233979], [0.108014, 0.397306, 0.494680]])
    close(gate_loss([FIRST, SECOND], LABELS, form="double_softmax"), 0.951445)  # type: ignore[arg-type]
    close(gate_loss([FIRST, SECOND], LABELS, form="nll"), 0.713247)  # type: ignore[arg-type]
    assert gate_loss([FIRST, SECOND], LABELS) == gate_loss([FIRST, SECOND], LABELS, form="nll")


def test_vector_3_bounds_of_the_double_softmax_form() -> None:
    sure, even = torch.tensor([[[60.0, 0, 0]]]), torch.zeros(1, 1, 3)
    for logits, label, expected in ((sure, 0, 0.551445), (even, 0, 1.098612), (sure, 1, 1.551445)):
        found = gate_loss([logits], torch.tensor([label]), form="double_softmax")
        assert found.item() == pytest.approx(expected, abs=1e-6)


def test_the_default_form_sends_a_wrongly_routed_sample_back_and_the_released_form_does_not() -> None:
    wrong = torch.tensor([[[0.0, 12.0, 0.0]]], requires_grad=True)
    size = {}
    for form in ("nll", "double_softmax"):
        (gradient,) = torch.autograd.grad(gate_loss([wrong], torch.tensor([0]), form=form), wrong)  # type: ignore[arg-type]
        size[form] = gradient.norm().item()
    assert size["nll"] > 1
    assert size["double_softmax"] < 1e-4


def test_a_share_that_underflows_gives_a_finite_loss() -> None:
    assert math.isfinite(gate_loss([torch.tensor([[[0.0, 300.0, 0.0]]])], torch.tensor([0])).item())


def test_padding_counts_only_when_there_is_no_mask() -> None:
    mask = torch.tensor([[1, 0], [1, 1]])
    masked = gate_shares([FIRST], mask)
    torch.testing.assert_close(masked[0, 0], FIRST[0, 0].softmax(-1))
    torch.testing.assert_close(masked[0, 1], gate_shares([FIRST])[0, 1])
    assert not torch.allclose(masked[0, 0], gate_shares([FIRST])[0, 0])


def test_a_gate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer"):
        gate_shares([])
    with pytest.raises(ValueError, match="without a token"):
        gate_shares([FIRST], torch.tensor([[0, 0], [1, 1]]))
    with pytest.raises(ValueError, match="gate form"):
        gate_loss([FIRST], LABELS, form="other")  # type: ignore[arg-type]


def test_the_sum_over_layers_can_be_divided_by_another_number() -> None:
    halved = gate_loss([FIRST, SECOND], LABELS, n_layers=4)
    assert halved.item() == pytest.approx(gate_loss([FIRST, SECOND], LABELS).item() + math.log(2), abs=1e-6)


def test_vector_4_penalty_and_total() -> None:
    tensors = {
        0: [torch.tensor([[3.0, 4]]), torch.tensor([[0.0, 1], [0, 0]])],
        1: [torch.tensor([[2.0, 0]])],
        2: [torch.tensor([[6.0, 8]])],
    }
    penalty = factor_penalty(tensors, (0.1, 0.01, 0), 2)
    assert penalty.item() == pytest.approx(0.31, abs=1e-6)
    total = 2 + penalty + 0.01 * gate_loss([FIRST, SECOND], LABELS, form="double_softmax")
    assert total.item() == pytest.approx(2.319514, abs=1e-6)
    with pytest.raises(ValueError, match="2 dials"):
        factor_penalty(tensors, (0.1, 0.1), 2)
    with pytest.raises(ValueError, match="0 layers"):
        factor_penalty(tensors, (0.1, 0.1, 0.1), 0)


def test_drift_penalty_is_the_norm_of_the_whole_change() -> None:
    generator = torch.Generator().manual_seed(0)
    layers = [
        [(torch.randn(2, 5, generator=generator), torch.randn(4, 2, generator=generator), 0.5) for _ in range(3)]
        for _ in range(2)
    ]
    by_hand = sum(
        torch.cat([(s * b.double() @ a.double()).flatten() for a, b, s in layer]).norm().item() for layer in layers
    )
    assert drift_penalty({0: layers}, (0.3,), 2).item() == pytest.approx(0.3 * by_hand / 2, rel=1e-5)
    assert drift_penalty({0: layers}, (0.0,), 2).item() == 0


def test_drift_at_the_start_is_nothing_and_has_a_finite_gradient() -> None:
    a, b = torch.randn(2, 4), torch.zeros(3, 2, requires_grad=True)
    norm = low_rank_norm([(a, b, 1.0)])
    norm.backward()
    assert norm.item() < 1e-9
    assert b.grad is not None
    assert torch.isfinite(b.grad).all()
    with pytest.raises(ValueError, match="no change"):
        low_rank_norm([])


def test_vector_8_drift() -> None:
    moved, relative = drift(torch.tensor([1.0, 2, 4]), torch.tensor([1.0, 2, 2]))
    assert moved == 2.0
    assert relative == pytest.approx(0.666667, abs=1e-6)
    assert drift(torch.ones(2), torch.zeros(2))[1] == math.inf
    assert drift(torch.zeros(2), torch.zeros(2))[1] == 0.0
