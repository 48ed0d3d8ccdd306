"""TOPLA-Weighted: a small network that learns from the members' scores of the options which option is right.

Two modes. `released` is the network of LLM-TOPLA's released code (Tekin et al. 2024, arXiv:2410.03953) with its quirks,
each of which is a field of `Released`: sigmoids in the hidden layers and on the output, a softmax on top that the loss
takes for logits once more, validation rows among the training rows, accuracy as a mean over batches. `clean` is one
hidden layer, logits, one cross entropy; its settings were chosen by cross-validation on training rows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from labwright.errors import MetricUndefined

Floats = NDArray[np.float64]
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Released:
    """Settings of the released recipe."""

    hidden: int = 100
    learning_rate: float = 1e-3
    batch: int = 64
    """4 in the released BBH notebook."""
    epochs: int = 300
    patience: int = 200
    """Epochs without gain in validation accuracy after which training ends."""
    validation: float = 0.2
    """Share of the training rows, from the end, that choose the epoch."""
    validation_in_training: bool = True
    """They are trained on as well (released for GSM8k, BBH and ARC)."""
    batch_mean_accuracy: bool = True
    """Validation accuracy is a mean over batches, so that a short last batch counts more."""
    seed: int = 9


@dataclass(frozen=True, slots=True)
class Clean:
    """Settings of the clean network."""

    hidden: int = 100
    dropout: float = 0.5
    learning_rate: float = 3e-3
    weight_decay: float = 1.0
    batch: int = 32
    epochs: int = 20
    seed: int = 0


def checked_scores(scores: ArrayLike) -> Floats:
    """Scores (n, S, C) as numbers.

    Raises:
        ValueError: another shape, one member or one option only, or a value that is not a number.
    """
    given = np.asarray(scores, dtype=float)
    if given.ndim != 3 or not given.size:
        raise ValueError(f"scores are (rows, members, options); the shape is {given.shape}")
    if given.shape[1] < 2 or given.shape[2] < 2:
        raise ValueError(
            f"an ensemble has two members and two options or more, not {given.shape[1]} and {given.shape[2]}"
        )
    if not np.isfinite(given).all():
        row, member, option = np.argwhere(~np.isfinite(given))[0]
        raise ValueError(f"the score of option {option} by member {member} on row {row} is not a number")
    return given


def log_softmax(scores: Floats) -> Floats:
    """Log-probabilities over each member's options; shape as given."""
    shifted = scores - scores.max(axis=2, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True)))


def released_network(inputs: int, options: int, hidden: int = 100) -> nn.Sequential:
    """Linear-sigmoid, linear-sigmoid, linear-sigmoid, softmax; Xavier-uniform weights, biases 0.01."""
    network = nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.Sigmoid(),
        nn.Linear(hidden, hidden),
        nn.Sigmoid(),
        nn.Linear(hidden, options),
        nn.Sigmoid(),
        nn.Softmax(dim=1),
    )
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.constant_(layer.bias, 0.01)
    return network


def clean_network(inputs: int, options: int, hidden: int = 100, dropout: float = 0.5) -> nn.Sequential:
    """Linear-ReLU-dropout, linear: logits."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, options))


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How scores become inputs: as they are, or probabilities and log-probabilities in standard units."""

    raw: bool
    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, scores: Floats, *, raw: bool) -> Preprocessing:
        """Means and spreads of training rows."""
        if raw:
            return cls(True, np.zeros(0), np.ones(0))
        inputs = _logs_and_shares(scores)
        return cls(False, inputs.mean(axis=0), inputs.std(axis=0) + EPSILON)

    def inputs(self, scores: Floats) -> Tensor:
        """Inputs of the network, float32, shape (n, S C) or (n, 2 S C)."""
        rows = scores.reshape(len(scores), -1) if self.raw else (_logs_and_shares(scores) - self.mean) / self.scale
        return torch.tensor(rows, dtype=torch.float32)


def _logs_and_shares(scores: Floats) -> Floats:
    logs = log_softmax(scores)
    return np.hstack([np.exp(logs).reshape(len(scores), -1), logs.reshape(len(scores), -1)])


@dataclass(frozen=True, slots=True)
class Weighted:
    """A trained network with what it needs to be used."""

    network: nn.Sequential
    preprocessing: Preprocessing
    mode: str
    members: int
    options: int

    def probabilities(self, scores: ArrayLike) -> Floats:
        """Probability of each option; shape (n, S, C) to (n, C).

        Raises:
            ValueError: scores of another number of members or options, or not numbers.
        """
        given = checked_scores(scores)
        if given.shape[1:] != (self.members, self.options):
            raise ValueError(
                f"this ensemble was trained on {self.members} members and {self.options} options, not {given.shape[1:]}"
            )
        self.network.eval()
        with torch.no_grad():
            out = self.network(self.preprocessing.inputs(given))
            out = out if self.mode == "released" else out.softmax(dim=1)
        return np.asarray(out.numpy(), dtype=float)

    def predictions(self, scores: ArrayLike) -> NDArray[np.int64]:
        """The most probable option of each row; shape (n,)."""
        return np.asarray(self.probabilities(scores).argmax(axis=1))


def fit(scores: ArrayLike, labels: ArrayLike, settings: Released | Clean = Clean()) -> Weighted:
    """Train on rows of known label.

    Args:
        scores: shape (n, S, C): score of each option by each member (log-likelihoods, or shares of samples).
        labels: shape (n,): index of the right option.
        settings: which network and how.

    Raises:
        ValueError: shapes or labels do not fit, or a score is not a number.
        MetricUndefined: a single label, or fewer rows than members.
    """
    given, key = checked_scores(scores), np.asarray(labels)
    if key.shape != given.shape[:1] or not np.issubdtype(key.dtype, np.integer):
        raise ValueError(f"labels are a whole number a row; {len(given)} rows, labels of shape {key.shape}")
    if key.min() < 0 or key.max() >= given.shape[2]:
        raise ValueError(f"labels are whole numbers from 0 to {given.shape[2] - 1}")
    if len(np.unique(key)) < 2:
        raise MetricUndefined("all rows have one label: there is nothing to learn")
    if len(given) < given.shape[1]:
        raise MetricUndefined(f"{len(given)} rows are fewer than {given.shape[1]} members")
    targets = torch.tensor(key.astype(np.int64))
    with one_thread():
        if isinstance(settings, Released):
            return _fit_released(given, targets, settings)
        return _fit_clean(given, targets, settings)


@contextmanager
def one_thread() -> Iterator[None]:
    """Several threads on matrices of this size spend their time waiting for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit_clean(scores: Floats, key: Tensor, settings: Clean) -> Weighted:
    preprocessing = Preprocessing.of(scores, raw=False)
    inputs = preprocessing.inputs(scores)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = clean_network(inputs.shape[1], scores.shape[2], settings.hidden, settings.dropout)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        for _ in range(settings.epochs):
            _epoch(network, optimiser, inputs, key, settings.batch, nn.functional.cross_entropy)
    return Weighted(network, preprocessing, "clean", scores.shape[1], scores.shape[2])


def _fit_released(scores: Floats, key: Tensor, settings: Released) -> Weighted:
    preprocessing = Preprocessing.of(scores, raw=True)
    inputs = preprocessing.inputs(scores)
    start = len(key) - max(1, int(len(key) * settings.validation))
    trained_on = slice(None) if settings.validation_in_training else slice(0, start)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = released_network(inputs.shape[1], scores.shape[2], settings.hidden)
        optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
        best, best_state, since = -1.0, copy.deepcopy(network.state_dict()), 0
        for _ in range(settings.epochs):
            _epoch(network, optimiser, inputs[trained_on], key[trained_on], settings.batch, nn.functional.cross_entropy)
            accuracy = _accuracy(network, inputs[start:], key[start:], settings)
            since += 1
            if accuracy > best:
                best, best_state, since = accuracy, copy.deepcopy(network.state_dict()), 0
            if since >= settings.patience:
                break
        network.load_state_dict(best_state)
    return Weighted(network, preprocessing, "released", scores.shape[1], scores.shape[2])


def _epoch(  # noqa: PLR0913  (a network, its rows and how they are taken)
    network: nn.Sequential,
    optimiser: torch.optim.Optimizer,
    inputs: Tensor,
    key: Tensor,
    batch: int,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    network.train()
    for rows in torch.split(torch.randperm(len(inputs)), batch):
        optimiser.zero_grad()
        loss(network(inputs[rows]), key[rows]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _accuracy(network: nn.Sequential, inputs: Tensor, key: Tensor, settings: Released) -> float:
    network.eval()
    with torch.no_grad():
        right = (network(inputs).argmax(dim=1) == key).float()
    if not settings.batch_mean_accuracy:
        return float(right.mean())
    return float(torch.stack([part.mean() for part in torch.split(right, settings.batch)]).mean())
