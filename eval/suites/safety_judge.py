"""What the judges of replies are worth: rules and a trained classifier beside a reader's labels.

The reader labelled safe replies of two halves. The classifier learns from the rest of the file, with labels by rule, and from
ordinary answers; topics are told apart by their questions, none of which is in two parts.
"""

from __future__ import annotations

from collections.abc import Iterator

from labwright.eval.suites import alignment_data as data
from labwright.eval.suites.figures import Row


def judge_rows() -> Iterator[Row]:
    """Agreement of both judges on the reader's held-out half.

    Raises:
        SomethingMissing: the alignment data are not there.
    """
    from sklearn.metrics import cohen_kappa_score

    from labwright.safety.refusal import kind_of_reply
    from labwright.safety.reply_classifier import ReplyClassifier

    read = data.refusal_reading("held_out")
    known = {reply for half in ("development", "held_out") for reply, _ in data.refusal_reading(half)}
    others = [i.answer for i in data.safe_replies() if i.answer not in known and i.answer.strip()]
    ordinary = [i.answer for i in data.helpful()]
    replies = [*others, *ordinary]
    judge = ReplyClassifier(replies, [*(kind_of_reply(r) == "refusal" for r in others), *([False] * len(ordinary))])
    texts, labels = [r for r, _ in read], [label == "refusal" for _, label in read]
    worth = judge.validate(texts, labels)
    yield {"kind": "safety_judge", "name": "classifier", "n": worth.n, "trained_on": len(replies),
           "agreed": worth.agreed, "kappa": worth.kappa, "auroc": worth.auroc}  # fmt: skip
    said = [kind_of_reply(text) == "refusal" for text in texts]
    agreed = sum(a == b for a, b in zip(said, labels, strict=True)) / len(labels)
    yield {"kind": "safety_judge", "name": "rules", "n": len(labels), "agreed": agreed,
           "kappa": float(cohen_kappa_score(labels, said))}  # fmt: skip
