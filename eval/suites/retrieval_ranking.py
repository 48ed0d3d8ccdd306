"""How well documents are ranked: SciFact and MEDLARS, one row a query; and the choice of the fusion's weights.

nDCG and recall are those of BEIR (Thakur et al. 2021), with binary relevance; higher is better, range [0, 1].
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labwright.errors import MetricUndefined
from labwright.eval.suites.retrieval_data import Query, scifact_abstracts, scifact_claims
from labwright.tools.index_fusion import z_scores
from labwright.tools.index_records import IndexedDocument
from labwright.tools.index_store import Embedder, LiteratureIndex, Mode

Ranks = Sequence[int | None]
MODES: tuple[Mode, ...] = ("hybrid", "sparse", "dense", "ranks")
DEPTH = 100
PENALTY = 1e-3
WEIGHTS = Path("tools/index_weights.json")


def ndcg(ranks: Ranks, cut: int = 10) -> float:
    """Normalised discounted cumulative gain of one query.

    Args:
        ranks: rank from 1 of each relevant document, None where it was not found.
        cut: ranks that count.

    Raises:
        MetricUndefined: nothing is relevant.

    Example:
        >>> round(ndcg([2, None]), 4)  # 1 / log2(3), over 1 + 1 / log2(3)
        0.3869
    """
    if not ranks:
        raise MetricUndefined("nDCG of a query without a relevant document")
    gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank is not None and rank <= cut)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(len(ranks), cut) + 1))


def recall(ranks: Ranks, cut: int = DEPTH) -> float:
    """Share of the relevant documents that were found by rank `cut`.

    Example:
        >>> recall([3, None, 101, 7])
        0.5
    """
    if not ranks:
        raise MetricUndefined("recall of a query without a relevant document")
    return sum(rank is not None and rank <= cut for rank in ranks) / len(ranks)


def rank_rows(kind: str, index: LiteratureIndex, queries: Sequence[Query]) -> list[dict[str, Any]]:
    """One row a query: for each mode the rank of each relevant document within the first hundred."""
    rows = []
    for query in queries:
        ranks = {}
        for mode in MODES:
            found = {hit.document.id: n for n, hit in enumerate(index.search(query.text, DEPTH, mode=mode), start=1)}
            ranks[mode] = [found.get(name) for name in query.relevant]
        rows.append({"kind": kind, "name": query.id, "relevant": list(query.relevant), "ranks": ranks})
    return rows


def sample(documents: Sequence[IndexedDocument], queries: Sequence[Query], step: int) -> list[IndexedDocument]:
    """Every so many documents, and those that are relevant to the queries; all of them when `step` is 1."""
    wanted = {name for query in queries for name in query.relevant}
    return [document for n, document in enumerate(documents) if n % step == 0 or document.id in wanted]


def scifact_index(folder: Path, embedder: Embedder) -> LiteratureIndex:
    """The index of all SciFact abstracts."""
    index = LiteratureIndex(folder, embedder)
    index.add([abstract.document() for abstract in scifact_abstracts()])
    return index


def fit_weights(index: LiteratureIndex, say: Callable[[str], None]) -> dict[str, Any]:
    """Choose the weights of the fusion on SciFact train claims, and write them where the index reads them.

    The weights maximise the likelihood of the cited abstracts under a softmax over each claim's candidates
    (ListNet's top-one probability, Cao et al. 2007), with a small penalty on their squares. Validation claims
    are not read.

    Returns:
        What was written: weights, and their nDCG@10 and recall@100 over five folds of the train claims.
    """
    lists, names = _lists(index)
    say(f"{len(lists)} claims, signals {', '.join(names)}")
    folds = np.random.default_rng(0).integers(0, 5, len(lists))
    ranks: list[Ranks] = []
    for fold in range(5):
        chosen = _fit([one for one, f in zip(lists, folds, strict=True) if f != fold])
        ranks += [_ranks(one, chosen) for one, f in zip(lists, folds, strict=True) if f == fold]
    final = _fit(lists)
    document = {
        "chosen_on": "the 809 train claims of SciFact",
        "cross_validated": {
            "ndcg10": round(float(np.mean([ndcg(r) for r in ranks])), 4),
            "recall100": round(float(np.mean([recall(r) for r in ranks])), 4),
        },
        "weights": dict(zip(names, (final / final.sum()).round(3).tolist(), strict=True)),
    }
    WEIGHTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return document


Candidates = tuple[Any, Any, int]
"""Z-scores (n, s) of one claim's candidates, their relevance (n,), and how many relevant ones there are at all."""


def _lists(index: LiteratureIndex) -> tuple[list[Candidates], list[str]]:
    lists, names = [], []
    for query in scifact_claims("train"):
        documents, signals = index.signals(query.text)
        names = list(signals)
        scores = np.stack([z_scores(values) for values in signals.values()], axis=1)
        relevant = np.asarray([document.id in query.relevant for document in documents], dtype=np.float64)
        lists.append((scores, relevant, len(query.relevant)))
    return lists, names


def _fit(lists: Sequence[Candidates]) -> Any:
    from scipy.optimize import minimize

    useful = [(scores, relevant / relevant.sum()) for scores, relevant, _ in lists if relevant.any()]

    def loss(weights: Any) -> tuple[float, Any]:
        total, slope = PENALTY * float(weights @ weights), 2 * PENALTY * weights
        for scores, target in useful:
            logits = scores @ weights
            logits -= logits.max()
            log_p = logits - np.log(np.exp(logits).sum())
            total -= float(target @ log_p) / len(useful)
            slope = slope + scores.T @ (np.exp(log_p) - target) / len(useful)
        return total, slope

    return minimize(loss, np.full(useful[0][0].shape[1], 0.5), jac=True, method="L-BFGS-B").x


def _ranks(one: Candidates, weights: Any) -> Ranks:
    scores, relevant, n = one
    order = np.argsort(-(scores @ weights), kind="stable")
    found = [int(rank) for rank, at in enumerate(order, start=1) if relevant[at]]
    return [*found, *([None] * (n - len(found)))]
