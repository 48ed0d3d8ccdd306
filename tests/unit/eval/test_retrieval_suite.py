"""The retrieval benchmark: metrics against trec_eval, collections as published, figures from rows by hand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import pytrec_eval
from fakes import hashed_encoder

from labwright.errors import MetricUndefined, SomethingMissing
from labwright.eval.suites.retrieval_data import medlars, scifact_abstracts, scifact_claims
from labwright.eval.suites.retrieval_figures import figures_of
from labwright.eval.suites.retrieval_quotes import DAMAGES, FAKE_KINDS, _fake
from labwright.eval.suites.retrieval_ranking import ndcg, recall, sample
from labwright.eval.suites.retrieval_screening import screening_rows


def test_ndcg_and_recall_agree_with_trec_eval() -> None:
    rng = random.Random(3)
    for _ in range(50):
        ranked = [f"d{n}" for n in rng.sample(range(300), 120)]
        relevant = [f"d{n}" for n in rng.sample(range(300), rng.randint(1, 15))]
        run = {"q": {name: float(len(ranked) - place) for place, name in enumerate(ranked)}}
        judged = pytrec_eval.RelevanceEvaluator({"q": dict.fromkeys(relevant, 1)}, {"ndcg_cut.10", "recall.100"})
        wanted = judged.evaluate(run)["q"]
        ranks = [ranked.index(name) + 1 if name in ranked else None for name in relevant]
        assert ndcg(ranks) == pytest.approx(wanted["ndcg_cut_10"])
        assert recall(ranks) == pytest.approx(wanted["recall_100"])


@pytest.mark.parametrize("metric", [ndcg, recall])
def test_a_query_without_a_relevant_document_has_no_figure(metric) -> None:
    with pytest.raises(MetricUndefined):
        metric([])


def test_the_collections_are_those_that_were_published(test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(test_data))
    abstracts, claims = scifact_abstracts(), scifact_claims("validation")
    assert (len(abstracts), len(claims), sum(len(c.relevant) for c in claims)) == (5183, 300, 339)
    assert len(scifact_claims("train")) == 809
    both = {c.text for c in claims} & {c.text for c in scifact_claims("train")}
    assert len(both) == 2  # as published; the weights are six numbers, two claims in 809 do not carry them
    assert all(a.sentences for a in abstracts)
    documents, queries = medlars()
    assert (len(documents), len(queries), sum(len(q.relevant) for q in queries)) == (1033, 30, 696)


def test_missing_collections_are_said_with_the_way_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(tmp_path))
    with pytest.raises(SomethingMissing, match="set LABWRIGHT_TEST_DATA"):
        scifact_abstracts()


def test_every_damage_changes_a_sentence_and_every_fake_differs(
    test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(test_data))
    rng = random.Random(0)
    sentence = "The 'first' efficient TNF-alpha response \"was\" not seen in 12 of 30 fibroblasts."
    for damage in DAMAGES.values():
        assert any(damage(sentence, rng) != sentence for _ in range(5))
    abstracts = {a.id: a for a in scifact_abstracts()[:200]}
    for kind in FAKE_KINDS:
        made = [_fake(kind, abstracts, (name, 0), rng) for name in list(abstracts)[:30]]
        assert any(made)
        assert all(f is None or f != abstracts[name].sentences[0] for f, name in zip(made, abstracts, strict=False))


def test_figures_from_rows_by_hand() -> None:
    modes = ("hybrid", "sparse", "dense", "ranks")
    rows = [
        *({"kind": "scifact_query", "name": str(n), "ranks": dict.fromkeys(modes, r)} for n, r in enumerate(([1], [2], [None]))),
        *({"kind": "query_times", "name": f"{n}:{m}", "ms": ms} for n, m, ms in (
            (5183, "sparse", [1, 2, 3]), (51830, "sparse", [4, 4, 4]), (5183, "hybrid", [30, 20, 40]), (51830, "hybrid", [30, 30, 30]))),
        {"kind": "sparse_indexing", "name": "0", "documents": 1000, "seconds": 0.5},
        {"kind": "dense_indexing", "name": "0", "documents": 1, "texts": 9, "index_s": 10.5, "encoder_s": 10, "passages_s": 5},
        {"kind": "quote_damaged", "name": "1:0:case", "found": True},
        {"kind": "quote_damaged", "name": "1:0:greek", "found": False},
        {"kind": "quote_fake", "name": "1:0:word:0", "accepted": True},
        {"kind": "screening", "name": "o", "found": ["a", "b", "c"], "kept": ["a", "b"], "musts": ["a", "d"], "near_misses": ["b", "c", "e"]},
        {"kind": "stance", "name": "1:2", "label": "support", "said": "support"},
    ]  # fmt: skip
    values = {f["name"]: f["value"] for f in figures_of(rows, "raw")}
    assert values == {
        "scifact_ndcg10": pytest.approx((1 + 0.6309 + 0) / 3, abs=1e-4),
        "scifact_recall100": pytest.approx(2 / 3, abs=1e-4),
        "query_p50_ms_sparse": 2,
        "query_p50_ms_hybrid": 30,
        "growth_5k_50k": 2,  # the sparse one; the hybrid one is 1
        "sparse_docs_per_s": 2000,
        "dense_over_encoder": 1.05,
        "quote_recall": 0.5,
        "fakes_accepted": 1,
        "search_recall": 0.5,
        "near_miss_kept_share": 0.5,
        "stance_accuracy": 1,
    }


def test_the_search_of_a_run_is_measured_over_every_objective() -> None:
    rows = list(screening_rows(None, hashed_encoder))
    assert len(rows) == 5
    for row in rows:
        assert set(row["kept"]) <= set(row["found"])
        assert row["musts"]
        assert not set(row["musts"]) & set(row["near_misses"])


def test_a_sample_keeps_what_its_queries_are_about() -> None:
    documents, queries = medlars()
    taken = {document.id for document in sample(documents, queries[:1], 10)}
    assert set(queries[0].relevant) <= taken
    assert len(taken) < len(documents) / 5
    assert sample(documents, queries, 1) == documents
