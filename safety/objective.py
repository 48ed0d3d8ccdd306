"""The screen of objectives: what has no usable form, and what is refused as a request for harm.

Rules refuse on their own. A wider net of topic words only raises a doubt; then a model is asked one closed question
for each suspected category, and its probability decides. Without an answer the rules alone decide, and the verdict
says so.

Not covered: other languages than English, digits that stand for letters, harm that is named by no word of the net,
harm that stands late in a very long sentence (the model sees MOST_ASKED_CHARS), and a run whose single steps are
harmless while their sum is not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from labwright.errors import ObjectiveRefused, SomethingMissing
from labwright.safety.objective_rules import CATEGORIES, Category

MOST_CHARS = 20_000
LEAST_WORDS, LEAST_CHARS = 4, 12
HARM_PROBABILITY = 0.5
"""The model refuses above this probability of yes. Asked about every objective of the development half, the embedded
model lies above it on 2 of the 26 ordinary ones near the topics, and below it on 3 of the 25 refused ones."""
MOST_ASKED_CHARS = 1500
"""Of a longer text the model sees only the sentences that the net caught."""
ALIKE = str.maketrans("аеорсухіѕјԁӏвкмнтαορνιτκϲ", "aeopcyxisjdlbkmhtaopvitkc")
"""Cyrillic and Greek letters that look like Latin ones."""

Judge = Callable[[str, str], float | None]
"""Text and aim to the probability that the text asks for the aim; None when the model gave no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the screen decided, by what, and how sure the model was."""

    refused: bool = False
    rule: str = ""
    """Category that is refused."""
    decided_by: Literal["rules", "model"] = "rules"
    suspected: tuple[str, ...] = ()
    """Categories whose net closed."""
    probabilities: dict[str, float] = field(default_factory=dict)
    """Category to the model's probability that harm is asked for."""
    note: str = ""
    """What the reader of the report must know: the model gave no answer."""

    def enforce(self) -> None:
        """Stop a refused objective.

        Raises:
            ObjectiveRefused: it is refused.
        """
        if self.refused:
            sure = f" (p {self.probabilities[self.rule]:.2f})" if self.decided_by == "model" else ""
            raise ObjectiveRefused(f"the objective is refused: {self.rule}{sure}; labwright does not help with that")


def check_form(text: str) -> str:
    """The objective's text, stripped.

    Raises:
        ObjectiveRefused: it is empty, too short, too long, or a rule refuses it.
    """
    text = text.strip()
    if not text:
        raise ObjectiveRefused("the objective is empty; give a research question in a sentence or two")
    if len(text) > MOST_CHARS:
        raise ObjectiveRefused(
            f"the objective has {len(text)} characters, at most {MOST_CHARS} are read; give the question itself"
        )
    # Scripts that set no spaces between words are judged by their length.
    spaced = re.search(r"[A-Za-z]", text) is not None
    if len(re.findall(r"\w+", text)) < LEAST_WORDS and (spaced or len(re.findall(r"\w", text)) < LEAST_CHARS):
        raise ObjectiveRefused(f"the objective {text[:60]!r} is too short; give a research question in a sentence")
    judge_harm(text, None).enforce()
    return text


def judge_harm(text: str, judge: Judge | None) -> Verdict:
    """Decide whether a text asks for harm: rules first, then the model where the wider net closed.

    Args:
        text: the objective with its conditions and requirements.
        judge: asks the model; None lets the rules alone decide.

    Raises:
        BudgetExhausted: the judge ran into the budget.
    """
    folded = fold(text)
    for category in CATEGORIES:
        if any(rule.search(folded) for rule in category.rules):
            return Verdict(refused=True, rule=category.name)
    suspected = [c for c in CATEGORIES if all(words.search(folded) for words in c.net)]
    names = tuple(c.name for c in suspected)
    if judge is None or not suspected:
        return Verdict(suspected=names)
    probabilities: dict[str, float] = {}
    try:
        for category in suspected:
            probability = judge(caught(folded, category), category.aim)
            if probability is not None:
                probabilities[category.name] = round(probability, 4)
    except SomethingMissing as error:
        if not probabilities:
            return Verdict(suspected=names, note=f"the safety screen went by its rules alone: {error}")
    return _by_model(names, probabilities)


def _by_model(suspected: tuple[str, ...], probabilities: dict[str, float]) -> Verdict:
    if not probabilities:
        return Verdict(suspected=suspected, note="the safety screen went by its rules alone: the model gave no answer")
    rule = max(probabilities, key=lambda name: probabilities[name])
    refused = probabilities[rule] > HARM_PROBABILITY
    absent = [name for name in suspected if name not in probabilities]
    note = f"the safety screen went by its rules alone on {', '.join(absent)}" if absent and not refused else ""
    return Verdict(
        refused=refused,
        rule=rule if refused else "",
        decided_by="model",
        suspected=suspected,
        probabilities=probabilities,
        note=note,
    )


def fold(text: str) -> str:
    """The text as the rules read it: on one line, lower case, without accents, look-alikes and invisible marks.

    Example:
        >>> fold("Re\\u00adidenti\\ufb01cation  of\\nP\\u00e4tients")
        'reidentification of patients'
    """
    letters = (c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in ("Cf", "Mn", "Me"))
    return " ".join("".join(letters).casefold().translate(ALIKE).split())


def caught(folded: str, category: Category) -> str:
    """What the model is shown of a text: all of a short one, else the sentences with words of the category's net."""
    if len(folded) <= MOST_ASKED_CHARS:
        return folded
    sentences = re.split(r"(?<=[.?!;]) ", folded)
    counted = [(sum(words.search(s) is not None for words in category.net), s) for s in sentences]
    # Sentences with words of most lists come first, so that padding with few of them crowds nothing out.
    ordered = sorted((c for c in counted if c[0]), key=lambda c: -c[0])
    return " ".join(s for _, s in ordered)[:MOST_ASKED_CHARS]
