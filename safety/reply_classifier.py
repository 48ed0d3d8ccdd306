"""A small trained judge of replies: refusal or not, from words and word pairs (TF-IDF, logistic regression).

A second opinion beside the rules of `refusal`, never the primary one: it learns its labels from whoever trained it.
A figure of what it is worth has to come from replies that a person labelled, on questions that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labwright.errors import MetricUndefined
from labwright.models.extras import require


@dataclass(frozen=True, slots=True)
class JudgeWorth:
    """Agreement of a judge with labels."""

    n: int
    agreed: float
    """Share, in [0, 1]."""
    kappa: float
    """Cohen's, up to 1; 0 is what chance gives."""
    auroc: float
    """Chance that a refusal gets a higher probability than another reply, in [0, 1]."""


class ReplyClassifier:
    """The probability that a reply refuses."""

    def __init__(self, replies: Sequence[str], refuses: Sequence[bool], *, seed: int = 0) -> None:
        """Train on labelled replies.

        Raises:
            MetricUndefined: one of the two kinds is absent.
            ValueError: the lengths differ.
            SomethingMissing: the extra `local` is not installed.
        """
        require("local", "the trained judge of replies")
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        if len(replies) != len(refuses):
            raise ValueError(f"{len(replies)} replies with {len(refuses)} labels")
        if len(set(refuses)) < 2:
            raise MetricUndefined("a judge cannot learn from replies of one kind")
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=1, sublinear_tf=True, lowercase=True)
        self._model: Any = make_pipeline(words, LogisticRegression(max_iter=1000, random_state=seed))
        self._model.fit(list(replies), [int(r) for r in refuses])

    def probabilities(self, replies: Sequence[str]) -> list[float]:
        """That each reply refuses, in [0, 1]."""
        return [float(p) for p in self._model.predict_proba(list(replies))[:, 1]] if replies else []

    def validate(self, replies: Sequence[str], refuses: Sequence[bool]) -> JudgeWorth:
        """Measure the judge on replies that it was not trained on.

        Raises:
            MetricUndefined: one of the two kinds is absent.
        """
        from sklearn.metrics import cohen_kappa_score, roc_auc_score

        if len(set(refuses)) < 2:
            raise MetricUndefined("what a judge is worth, on replies of one kind")
        found = self.probabilities(replies)
        said = [p >= 0.5 for p in found]
        agreed = sum(a == b for a, b in zip(said, refuses, strict=True)) / len(said)
        return JudgeWorth(
            len(said), agreed, float(cohen_kappa_score(refuses, said)), float(roc_auc_score(refuses, found))
        )
