"""Whether the judge orders known damage: a claim about quality by a judge that does not is worth nothing.

The targeted metric alone is asked, of four protocols at three strengths, one sample each: about an hour of the embedded
model. Spearman's rho between strength and score; -1 is best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, product

from labwright.eval.damage import STRENGTHS, TARGETS, damage
from labwright.eval.protocol_judge import judge
from labwright.eval.protocol_reading import Reading
from labwright.eval.suites.figures import Row
from labwright.models.ask import Session

PROTOCOLS = 4
JUDGED_STRENGTHS = (0.0, STRENGTHS[1], STRENGTHS[-1])


def damages(protocols: Mapping[str, Reading], *, quick: bool) -> Iterator[tuple[str, str, float]]:
    """Protocol, kind and strength of everything that is judged.

    Args:
        protocols: good protocols by name.
        quick: one protocol and one kind.
    """
    names = list(islice(protocols, 1 if quick else PROTOCOLS))
    yield from product(names, list(TARGETS)[: 1 if quick else None], JUDGED_STRENGTHS)


def judge_damaged(session: Session, protocols: Mapping[str, Reading], at: tuple[str, str, float]) -> Row:
    """What the judge says about the targeted metric of one damaged protocol.

    Args:
        session: the judge's.
        protocols: good protocols by name.
        at: protocol, kind and strength.

    Returns:
        A row as `damage_series.damage_rows` gives it, with the targeted metric alone.
    """
    name, kind, strength = at
    hurt = damage(protocols[name], kind, strength, 0)
    found = judge(session, hurt.reading, samples=1, metrics=(TARGETS[kind],))
    return {
        "protocol": name,
        "damage": kind,
        "strength": strength,
        "scores": {metric: judgement.score for metric, judgement in found.items()},
        "judge": session.backend,
    }
