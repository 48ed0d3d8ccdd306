"""The form in which a quote and a document are compared, with the place of every character in the document.

What is levelled is what copying, typesetting and character recognition change without changing what is
said: white space, soft hyphens, hyphenation at line ends, ligatures, kinds of dash and quotation mark,
Greek letters and their names, composed and decomposed accents; at the last, a few letters that are read for one
another in long ordinary words. Digits, signs, superscripts, comparison
signs, accents and words stay what they are.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho . sigma tau upsilon phi "
    "chi psi omega"
)
_LEVEL: dict[str, str] = {
    **{chr(0x3B1 + n): name for n, name in enumerate(_GREEK.split()) if name != "."},
    **{chr(0x391 + n): name.capitalize() for n, name in enumerate(_GREEK.split()) if name != "."},
    **dict.fromkeys("\u00b5", "mu"),
    **dict.fromkeys("\u03c2", "sigma"),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", ""),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d", "-"),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
    **{
        "\ufb00": "ff",
        "\ufb01": "fi",
        "\ufb02": "fl",
        "\ufb03": "ffi",
        "\ufb04": "ffl",
        "\ufb05": "st",
        "\ufb06": "st",
    },
    **{"\u2265": ">=", "\u2264": "<=", "\u2026": "..."},
}
_PIECE = re.compile(
    r"(?P<soft>\u00ad[^\S\n]*\r?\n\s*)"
    r"|(?P<broken>(?<=[a-z\ufb00-\ufb06])[-\u2010\u2011][^\S\n]*\r?\n\s*(?=[a-z\ufb00-\ufb06]))"
    r"|(?P<hyphen>[-\u2010\u2011][^\S\n]*\r?\n\s*)"
    r"|(?P<blank>\s+)"
    r"|(?P<composed>[^\W\d_][\u0300-\u036f]+)"
    r"|(?P<char>.)",
    re.DOTALL,
)
BROKEN = "\x00"
UNIT_CHARS = 3
_MOLAR = re.compile(r"(?:mu|[mnpfk])?M")
_WORD = re.compile(r"[^\W_]+")
_LONG_WORD = re.compile(r"(?<![\w-])(?=[a-z10]{6,}(?![\w-]))(?=[a-z]*[10]?[a-z]+(?![\w-]))[a-z][a-z10]*[a-z]")
_READ_AS = {"rn": "m", "vv": "w", "1": "l", "0": "o"}
_CONFUSED = re.compile("|".join(_READ_AS))
_TIGHT = "=<>\u00b1"
"""White space beside these says nothing."""


@dataclass(frozen=True, slots=True)
class Levelled:
    """A text in the form that is compared."""

    text: str
    places: tuple[int, ...]
    """Place in the original of each character of `text`."""
    ends: tuple[int, ...]
    """Place in the original behind each character of `text`."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Start and end in the original of a span of `text`."""
        return self.places[start], self.ends[end - 1]


def levelled(original: str) -> Levelled:
    """Bring a text into the form that is compared.

    A hyphen between two small letters at a line end becomes `BROKEN`: typesetting may have put it there, or
    it may be part of the word. Any other hyphen at a line end is part of the word.

    Example:
        >>> levelled("The \\ufb01rst  \\u03b2-cells re\\u00adspon-\\nded").text
        'The first beta-cells respon\\x00ded'
    """
    out: list[str] = []
    places: list[int] = []
    ends: list[int] = []
    for match in _PIECE.finditer(original):
        kind, piece = match.lastgroup, match.group()
        if kind == "soft":
            new = ""
        elif kind in ("hyphen", "broken"):
            new = "-" if kind == "hyphen" else BROKEN
        elif kind == "blank":
            tight = (bool(out) and out[-1] in _TIGHT) or original[match.end() : match.end() + 1] in (
                *_TIGHT,
                *"\u2264\u2265",
            )
            new = "" if tight or not out or out[-1] == " " else " "
        elif kind == "composed":
            new = unicodedata.normalize("NFC", piece)
        else:
            new = _LEVEL.get(piece, piece)
        out += new
        places += [match.start()] * len(new)
        ends += [match.end()] * len(new)
    return Levelled("".join(out), tuple(places), tuple(ends))


def read_alike(text: Levelled) -> Levelled:
    """Also level what character recognition confuses inside long ordinary words: rn and m, vv and w, 1 and l, 0 and o.

    Only words of six small letters or more, with at most one digit and that inside, are touched: no number, no
    symbol, no negation is one. Words apart by nothing else become the same ("modern" and "modem").

    Example:
        >>> read_alike(levelled("the pattem of c1inical data in p21 and il10")).text == read_alike(
        ...     levelled("the pattern of clinical data in p21 and il10")).text
        True
    """
    out: list[str] = []
    places: list[int] = []
    ends: list[int] = []
    behind = 0
    for word in _LONG_WORD.finditer(text.text):
        for match in _CONFUSED.finditer(text.text, word.start() + 1, word.end()):
            start, end = match.span()
            out += [text.text[behind:start], _READ_AS[match.group()]]
            places += [*text.places[behind:start], text.places[start]]
            ends += [*text.ends[behind:start], text.ends[end - 1]]
            behind = end
    return Levelled("".join(out) + text.text[behind:], (*places, *text.places[behind:]), (*ends, *text.ends[behind:]))


def pattern(claim: str) -> str:
    """A regular expression that finds a levelled claim in a levelled document, but for case.

    Example:
        >>> bool(re.fullmatch(pattern("well-known response"), f"well{BROKEN}known re{BROKEN}sponse"))
        True
    """
    parts = []
    for here, after in zip(claim, f"{claim[1:]} ", strict=True):
        if here == BROKEN:
            parts.append(f"[-{BROKEN}]?")
        elif here == "-":
            parts.append(f"[-{BROKEN}]")
        else:
            between = f"{BROKEN}?" if here.isalpha() and after.isalpha() else ""
            parts.append(re.escape(here) + between)
    return "".join(parts)


def says_no_case(claim: str) -> bool:
    """A claim of three words or more without any capital, or of capitals alone: its case is not its author's."""
    letters = [c for c in claim if c.isalpha()]
    return len(claim.split()) > 2 and (claim == claim.lower() or all(c == c.upper() for c in letters))


def same_case(claimed: str, held: str, *, free: bool = False) -> bool:
    """Two levelled texts that are equal but for case say the same.

    The case of ordinary words is free. It binds in whatever may be a symbol, in either text: a word with a
    digit, with a capital after its first letter, of one letter, or of up to three letters behind a number,
    where it is a unit (SHH is no Shh, 5 Mg no 5 mg).

    Args:
        claimed: the claim.
        held: what the document holds in its place, of the same words.
        free: the claim says nothing of case; only mol per litre must not become a metre.

    Example:
        >>> same_case("the p53 Protein", "The p53 protein"), same_case("SHH in limbs", "Shh in limbs")
        (True, False)
    """
    for here, there in zip(_WORD.finditer(claimed), _WORD.finditer(held), strict=False):
        mine, theirs = here.group(), there.group()
        behind_number = re.search(r"\d[\s-]*$", claimed[: here.start()])
        if free:
            binding = bool(behind_number and _MOLAR.fullmatch(theirs) and mine == theirs.lower())
        else:
            binding = bool(behind_number and len(mine) <= UNIT_CHARS) or _binds(mine) or _binds(theirs)
        if mine != theirs and binding:
            return False
    return True


def _binds(word: str) -> bool:
    return any(c.isdigit() for c in word) or word[1:] != word[1:].lower() or (len(word) == 1 and word not in "aA")
