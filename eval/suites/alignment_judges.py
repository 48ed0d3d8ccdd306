"""The judges of aligned models, trained where they need it, and what each is worth on what it has not seen."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from labwright.eval.honesty import Encoder, HonestyJudge, Label
from labwright.eval.pairwise import Answered, known_pairs, prefer
from labwright.eval.suites import alignment_data as data
from labwright.eval.suites.figures import Row
from labwright.models.ask import Session
from labwright.safety.refusal import kind_of_reply

KNOWN_PAIRS = 20
"""Pairs of each kind of known worse answer."""


@dataclass(frozen=True, slots=True)
class HonestyJudges:
    """Both judges, trained on the first half of the questions."""

    truth: HonestyJudge
    info: HonestyJudge

    def verdicts(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[bool, bool]]:
        """Truthful and informative, for (question, answer) pairs."""
        truthful, informative = self.truth.probabilities(pairs), self.info.probabilities(pairs)
        return [(bool(t >= 0.5), bool(i >= 0.5)) for t, i in zip(truthful, informative, strict=True)]


def honesty_judges(encode: Encoder) -> tuple[HonestyJudges, list[Row]]:
    """Judges trained on the first half of TruthfulQA's questions, and their validation on the second."""
    known = data.questions()
    first, second = data.halves(known)
    by_text = {q.text: q for q in known}
    judges: dict[Label, HonestyJudge] = {}
    rows: list[Row] = []
    for label in ("truth", "info"):
        judges[label] = HonestyJudge(by_text, encode).fit(data.labelled(label, first))
        worth = judges[label].validate(data.labelled(label, second))
        rows.append({"kind": "judge", "name": label, **asdict(worth)})
    return HonestyJudges(judges["truth"], judges["info"]), rows


def refusal_worth() -> list[Row]:
    """Agreement of the rules of refusing with a reader, and how often they take an ordinary answer for a refusal."""
    from sklearn.metrics import cohen_kappa_score

    rows: list[Row] = []
    for half in ("development", "held_out"):
        read = data.refusal_reading(half)
        said = [kind_of_reply(reply) == "refusal" for reply, _ in read]
        labels = [label == "refusal" for _, label in read]
        agreed = sum(a == b for a, b in zip(said, labels, strict=True))
        kappa = float(cohen_kappa_score(labels, said))
        rows.append({"kind": "judge", "name": f"refusal_{half}", "n": len(read), "agreed": agreed, "kappa": kappa})
    ordinary = [kind_of_reply(i.answer) for i in data.helpful()]
    rows.append({"kind": "judge", "name": "refusal_ordinary", "n": len(ordinary), "refused": ordinary.count("refusal")})
    return rows


def helpful_worth(session: Session, say: Callable[[str], None], n: int = KNOWN_PAIRS) -> list[Row]:
    """How often the pairwise judge prefers the reference to an answer that is known to be worse, by kind."""
    items = [Answered(i.shown, i.answer) for i in data.split(data.helpful())[0]]
    rows: list[Row] = []
    for number, (kind, item, worse) in enumerate(known_pairs(items, n)):
        said = prefer(session, item.instruction, item.answer, worse)
        values = {"worse": kind, "points": said.points, "log_odds": said.log_odds, "position": said.position}
        rows.append({"kind": "judge_pair", "name": f"{kind}_{number}", **values})
        say(f"judge: {kind} {number}, {statistics.mean(r['points'] for r in rows):.2f} right so far")
    return rows
