"""Quotes of SciFact's evidence sentences: damaged ones that must be found, altered ones that must not.

Recall of the damaged: higher is better, range [0, 1]. Altered ones accepted: lower is better, the goal is none.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from labwright.errors import QuoteNotFound
from labwright.eval.suites.retrieval_data import Abstract, scifact_abstracts, scifact_claims
from labwright.tools.evidence import locate

FAKES = 1000
GREEK = {"alpha": "\u03b1", "beta": "\u03b2", "gamma": "\u03b3", "delta": "\u03b4", "kappa": "\u03ba", "mu": "\u03bc"}
GENE = re.compile(r"\b(?=[A-Za-z0-9]*\d|[A-Z]{3})[A-Z][A-Za-z]{1,4}[0-9]{0,3}[A-Z]?\b")
NEGATION = re.compile(r"\b(?:not|no|never|without|neither|nor)\b ?", re.IGNORECASE)
VERB = re.compile(r"\b(?:is|are|was|were|did|does|do|has|have|can|could|may|might|will|would)\b")
Change = Callable[[str, random.Random], str]


def quote_rows(seed: int = 0) -> list[dict[str, Any]]:
    """One row a damaged quote and one a fake, with whether it was located.

    A damage is tried on the sentences that it changes; 1,000 fakes, 200 of each of five kinds.
    """
    rng = random.Random(seed)  # noqa: S311  (a sample, not a secret)
    abstracts = {abstract.id: abstract for abstract in scifact_abstracts()}
    evidence = sorted(set(_evidence(abstracts)))
    rows = [
        {"kind": "quote_damaged", "name": f"{name}:{n}:{kind}", "found": _is_right(abstracts[name], n, damaged)}
        for name, n in evidence
        for kind, damage in DAMAGES.items()
        if (damaged := damage(abstracts[name].sentences[n], rng)) != abstracts[name].sentences[n]
    ]
    for kind in FAKE_KINDS:
        made = 0
        while made < FAKES // len(FAKE_KINDS):
            name, n = rng.choice(evidence)
            fake = _fake(kind, abstracts, (name, n), rng)
            if fake is not None:
                found = _found(abstracts[name], fake)
                row = {"kind": "quote_fake", "name": f"{name}:{n}:{kind}:{made}", "accepted": found is not None}
                rows.append({**row, **({"fake": fake, "taken_for": found} if found is not None else {})})
                made += 1
    return rows


def _evidence(abstracts: dict[str, Abstract]) -> Iterator[tuple[str, int]]:
    for split in ("train", "validation"):
        for claim in scifact_claims(split):
            for name, _, numbers in claim.evidence:
                yield from ((name, n) for n in numbers if n < len(abstracts[name].sentences))


def _is_right(abstract: Abstract, number: int, damaged: str) -> bool:
    """The located span is the sentence itself."""
    found = _found(abstract, damaged)
    return found is not None and found.strip() == " ".join(abstract.sentences[number].split())


def _found(abstract: Abstract, text: str) -> str | None:
    document = " ".join(" ".join([abstract.title, *abstract.sentences]).split())
    try:
        return locate(abstract.id, document, text).text
    except QuoteNotFound:
        return None


def _case(text: str, rng: random.Random) -> str:
    ordinary = re.compile(r"(?<![\w-])[A-Za-z][a-z]{2,}(?![\w-])")
    flipped = ordinary.sub(lambda m: m.group().capitalize() if rng.random() < 0.5 else m.group().lower(), text)
    return rng.choice((flipped, text.lower(), text.upper()))


def _white_space(text: str, rng: random.Random) -> str:
    return re.sub(" ", lambda _: rng.choice((" ", "  ", "\t", "\u00a0", " \u2003")), text)


def _ligatures(text: str, rng: random.Random) -> str:
    for letters, ligature in (
        ("ffi", "\ufb03"),
        ("ffl", "\ufb04"),
        ("ff", "\ufb00"),
        ("fi", "\ufb01"),
        ("fl", "\ufb02"),
    ):
        text = text.replace(letters, ligature)
    return text


def _hyphens(text: str, rng: random.Random) -> str:
    return re.sub("[-\u2013\u2212]", lambda _: rng.choice("\u2010\u2011\u2013\u2212-"), text)


def _quotation_marks(text: str, rng: random.Random) -> str:
    text = re.sub(r'"', lambda _: rng.choice("\u201c\u201d"), text)
    return re.sub(r"'", lambda _: rng.choice("\u2018\u2019"), text)


def _greek(text: str, rng: random.Random) -> str:
    for name, letter in GREEK.items():
        text = text.replace(letter, name) if letter in text else re.sub(rf"\b{name}\b", letter, text)
    return text.replace("\u00b5", "\u03bc")


def _soft_hyphens(text: str, rng: random.Random) -> str:
    return re.sub(r"(?<=[a-z]{3})(?=[a-z]{3})", lambda _: "\u00ad" if rng.random() < 0.2 else "", text)


def _line_breaks(text: str, rng: random.Random) -> str:
    broken = re.sub(" ", lambda _: "\n" if rng.random() < 0.15 else " ", text)
    words = list(re.finditer(r"(?<![\w-])[a-z]{8,}(?![\w-])", broken))
    if words:
        middle = (match := rng.choice(words)).start() + len(match.group()) // 2
        broken = f"{broken[:middle]}-\n{broken[middle:]}"
    return broken


DAMAGES: dict[str, Change] = {
    "case": _case,
    "white_space": _white_space,
    "ligatures": _ligatures,
    "hyphens": _hyphens,
    "quotation_marks": _quotation_marks,
    "greek": _greek,
    "soft_hyphens": _soft_hyphens,
    "line_breaks": _line_breaks,
}
FAKE_KINDS = ("number", "negation", "gene", "word", "other_paper")


def _fake(kind: str, abstracts: dict[str, Abstract], place: tuple[str, int], rng: random.Random) -> str | None:
    name, number = place
    sentence = abstracts[name].sentences[number]
    if kind == "other_paper":
        other = rng.choice([a for a in rng.sample(list(abstracts.values()), 5) if a.id != name])
        return rng.choice(other.sentences)
    if kind == "number":
        return _swapped(
            sentence, list(re.finditer(r"\d", sentence)), lambda d: str((int(d) + rng.randint(1, 9)) % 10), rng
        )
    if kind == "negation":
        negations = list(NEGATION.finditer(sentence))
        return _swapped(sentence, negations or list(VERB.finditer(sentence)), _negated, rng)
    pattern = GENE if kind == "gene" else re.compile(r"\b[a-z]{4,}\b")
    others = [
        m.group() for a in rng.sample(list(abstracts.values()), 20) for s in a.sentences for m in pattern.finditer(s)
    ]
    return _swapped(
        sentence, list(pattern.finditer(sentence)), lambda w: rng.choice([o for o in others if o != w] or [""]), rng
    )


def _negated(word: str) -> str:
    return "" if NEGATION.match(word) else f"{word} not"


def _swapped(text: str, matches: Sequence[re.Match[str]], new: Callable[[str], str], rng: random.Random) -> str | None:
    if not matches:
        return None
    match = rng.choice(matches)
    put = new(match.group())
    return None if put == match.group() else text[: match.start()] + put + text[match.end() :]
