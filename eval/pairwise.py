"""Which of two answers is better, asked of a model in both orders; and what such a judge is worth.

A model prefers a position, small ones strongly. The log-odds of both orders are averaged, which cancels a constant
preference, and the judge is held against pairs of which the worse answer is known before any figure rests on it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labwright.models.ask import Session, choose
from labwright.models.prompt_file import Material, load_prompt

SHOWN = 1_200
"""Most characters of an instruction or answer that the judge is shown."""
LEAST = 1e-6
EVEN = {"A": 0.5, "B": 0.5}
FENCE = "answers"


@dataclass(frozen=True, slots=True)
class Answered:
    """An instruction and its reference answer."""

    instruction: str
    answer: str


@dataclass(frozen=True, slots=True)
class Preference:
    """The judge's verdict on one pair."""

    log_odds: float
    """Of the first answer being the better one, mean over both orders; 0 where the judge said nothing."""
    position: float
    """What being shown first is worth, log-odds; the same for every pair of a judge without other faults."""
    answered: bool
    """The model gave an answer in both orders."""

    @property
    def points(self) -> float:
        """1 when the first answer is better, 0 when the second is, 0.5 when neither."""
        return 0.5 if self.log_odds == 0 else float(self.log_odds > 0)


def prefer(session: Session, instruction: str, first: str, second: str) -> Preference:
    """Compare two answers; answers that differ in space alone are a tie and nobody is asked."""
    return against(session, instruction, second, {"first": first})["first"]


def against(session: Session, instruction: str, reference: str, answers: Mapping[str, str]) -> dict[str, Preference]:
    """Compare several answers with one reference; of equal answers one is asked about.

    All prompts that show the reference first follow each other: a server keeps the prefix that they share.

    Args:
        session: the judge's.
        instruction: what was answered.
        reference: what each is compared with.
        answers: by a name, such as that of the model that wrote it.

    Returns:
        Name to the preference for that answer over the reference.
    """
    texts = dict.fromkeys(a for a in answers.values() if a.split() != reference.split())
    others = {text: _odds_of_a(session, instruction, reference, text) for text in texts}
    found = {
        text: _preference(_odds_of_a(session, instruction, text, reference), other) for text, other in others.items()
    }
    tie = Preference(0.0, 0.0, True)
    return {name: found.get(text, tie) for name, text in answers.items()}


def _preference(one: float | None, other: float | None) -> Preference:
    """From the log-odds of A in both orders; none where the judge said nothing."""
    if one is None or other is None:
        return Preference(0.0, 0.0, False)
    return Preference((one - other) / 2, (one + other) / 2, True)


def _odds_of_a(session: Session, instruction: str, first: str, second: str) -> float | None:
    asked = load_prompt("labwright.eval.prompts", "prefer").render(
        instruction=Material(instruction[:SHOWN], FENCE),
        first=Material(first[:SHOWN] or "(no answer)", FENCE),
        second=Material(second[:SHOWN] or "(no answer)", FENCE),
    )
    said = choose(session, asked, ("A", "B"), fallback=EVEN)
    if said.decided_by != "model":
        return None
    a, b = (max(said.value.get(label, 0.0), LEAST) for label in ("A", "B"))
    return math.log(a / b)


def truncated(item: Answered, others: Sequence[Answered], rng: random.Random) -> str:
    """The first third of the answer's words."""
    words = item.answer.split()
    return " ".join(words[: max(1, len(words) // 3)])


def off_topic(item: Answered, others: Sequence[Answered], rng: random.Random) -> str:
    """Another instruction's answer, of about the same length."""
    pool = sorted((o for o in others if o != item), key=lambda o: abs(len(o.answer) - len(item.answer)))
    return rng.choice(pool[:10]).answer


def shuffled(item: Answered, others: Sequence[Answered], rng: random.Random) -> str:
    """The answer's words in another order."""
    words = item.answer.split()
    rng.shuffle(words)
    return " ".join(words)


WORSE: Mapping[str, Callable[[Answered, Sequence[Answered], random.Random], str]] = {
    "truncated": truncated,
    "off_topic": off_topic,
    "shuffled": shuffled,
}
"""Kinds of answers that are known to be worse than the reference."""
LEAST_WORDS = 12
"""Words of an answer below which a third of it, or its shuffle, may be as good."""


def known_pairs(items: Sequence[Answered], n: int, seed: int = 0) -> list[tuple[str, Answered, str]]:
    """`n` triples a kind of (kind, item, worse answer), of items with answers of twelve words or more.

    Raises:
        ValueError: fewer than `n` such items.
    """
    able = [i for i in items if len(i.answer.split()) >= LEAST_WORDS]
    if len(able) < n:
        raise ValueError(f"{n} items with answers of {LEAST_WORDS} words or more are needed, there are {len(able)}")
    rng = random.Random(seed)  # noqa: S311  (a choice of items, not a secret)
    return [(kind, item, make(item, able, rng)) for kind, make in WORSE.items() for item in rng.sample(able, n)]
