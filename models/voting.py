"""Several models' answers made one without touching weights: the output-level baseline of a fusion.

Both rules are ours: the fusion paper names ensembles as a group of baselines and prints no rule.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from labwright.errors import MetricUndefined

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint


def majority(votes: Sequence[Mapping[str, float]]) -> str:
    """The option that most models find likeliest; of a tie, the one with the highest mean probability.

    Args:
        votes: a model's probabilities by option, one mapping a model, all of the same options.

    Raises:
        MetricUndefined: there is no vote, or no option.
        ValueError: the options differ.

    Example:
        >>> majority([{"a": 0.9, "b": 0.1}, {"a": 0.4, "b": 0.6}, {"a": 0.45, "b": 0.55}])
        'b'
    """
    if not votes or not votes[0]:
        raise MetricUndefined("a vote of no model or on no option")
    if any(set(vote) != set(votes[0]) for vote in votes):
        raise ValueError("models voted on different options")
    counted = Counter(max(vote, key=lambda option: vote[option]) for vote in votes)
    return max(votes[0], key=lambda o: (counted[o], statistics.fmean(vote[o] for vote in votes)))


def chosen_by_peers(models: Sequence[Checkpoint], prompt: str, answers: Sequence[str]) -> int:
    """Index of the open answer that the other models find likeliest.

    Each answer is scored by the mean log-probability of its tokens under every model but its author, and these are
    averaged; no model judges its own words. Of equal scores the first counts.

    Args:
        models: two or more, with their own tokenizers.
        prompt: as it was given to each, template included.
        answers: one a model, in the order of the models.

    Raises:
        MetricUndefined: fewer than two models, or every answer is empty.
        ValueError: the numbers differ.
    """
    if len(models) != len(answers):
        raise ValueError(f"{len(answers)} answers of {len(models)} models")
    if len(models) < 2 or not any(answers):
        raise MetricUndefined("a choice among fewer than two models, or of empty answers")
    scores = [
        statistics.fmean(mean_log_probability(m, prompt, answer) for j, m in enumerate(models) if j != i)
        for i, answer in enumerate(answers)
    ]
    return scores.index(max(scores))


def mean_log_probability(checkpoint: Checkpoint, prompt: str, answer: str) -> float:
    """Mean over an answer's tokens of log p(token | prompt, tokens before), nats; minus infinity of an empty answer."""
    import torch

    asked = list(checkpoint.tokenizer(prompt)["input_ids"])
    said = list(checkpoint.tokenizer(answer, add_special_tokens=False)["input_ids"])
    if not said:
        return -math.inf
    ids = torch.tensor([asked + said], device=checkpoint.model.device)
    with torch.inference_mode():
        logits = checkpoint.model(input_ids=ids, use_cache=False).logits[0, len(asked) - 1 : -1]  # (answer, v)
    log_p = logits.float().log_softmax(dim=-1)
    return float(log_p.gather(1, ids[0, len(asked) :, None]).mean())
