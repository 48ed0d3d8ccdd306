"""A stranger's text made plain: no markup, no invisible characters, no look-alikes; every character knows its origin.

Only what a model is shown is made plain. The stored document stays as it was, so a span found here is given back
as a span of the document. Lower case letters, numbers, Greek letters and superscripts keep their meaning: nothing
is rewritten that could turn one quantity or name into another.

Not covered: text in pictures, and white or tiny print of a PDF, whose letters cannot be told from visible ones.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALIKE = str.maketrans("аеорсухіѕјԁӏвкмнтАЕОРСУХІЅЈВКМНТ", "aeopcyxisjdlbkmhtAEOPCYXISJBKMHT")
"""Cyrillic letters that look like Latin ones."""
INLINE = "a|abbr|b|big|bold|cite|code|em|ext-link|font|i|inf|italic|label|mark|mml:[a-z]+|roman|s|sc|small|span|strike|strong|styled-content|sub|sup|tt|u|underline|xref"  # noqa: E501
BLOCK = "abstract|article-title|body|br|caption|div|fig|h[1-6]|head|hr|html|img|jats:[a-z-]+|li|list|list-item|ol|p|sec|table|table-wrap|tbody|td|th|thead|title|tr|ul"  # noqa: E501
_ATTRIBUTES = (
    r"(?:\s{1,9}[\w:-]{1,40}\s{0,9}=\s{0,9}(?:\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'|[^\s\"'<>=]{1,300})){0,20}\s*/?"
)
TAG = re.compile(rf"</?(?:(?P<inline>{INLINE})|(?:{BLOCK})){_ATTRIBUTES}>", re.IGNORECASE)
COMMENT = re.compile(
    r"<!--(?:(?!<!--).)*?-->|<(script|style)\b[^<>\n]{0,300}>(?:(?!<\1\b).)*?</\1\s{0,9}>", re.DOTALL | re.IGNORECASE
)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
MIXED = re.compile(r"[^\W\d_]+")
MOST_MARKS = 2
"""Accents on one letter; more of them are there to disguise it."""
_STYLED = ("FULLWIDTH ", "MATHEMATICAL ", "LATIN SMALL LIGATURE ", "CIRCLED LATIN ", "PARENTHESIZED LATIN ")


@dataclass(frozen=True, slots=True)
class Plain:
    """A text made plain."""

    text: str
    origin: Sequence[int]
    """Where each character comes from, and last the length of the source; one longer than the text."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The span of the source that a span of the text comes from."""
        return self.origin[start], self.origin[end]

    def replaced(self, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str]) -> Plain:
        """With every match rewritten; the characters that `by` returns come from where the match begins."""
        pieces: list[str] = []
        origin: list[int] = []
        at = 0
        for match in pattern.finditer(self.text):
            new = by(match)
            pieces += [self.text[at : match.start()], new]
            origin += [*self.origin[at : match.start()], *[self.origin[match.start()]] * len(new)]
            at = match.end()
        if not at and not pieces:
            return self
        return Plain("".join([*pieces, self.text[at:]]), [*origin, *self.origin[at:]])


def plain(source: str) -> Plain:
    """The text without markup, invisible characters and disguised letters.

    Example:
        >>> plain("<p>TGF-&beta; at 10<sup>2</sup> ng\\u200b/ml</p>").text.strip()
        'TGF-β at 10^2 ng/ml'
        >>> found = plain("<b>use</b> it")
        >>> found.span(0, 3), found.text
        ((3, 10), 'use it')
    """
    found = Plain(source, range(len(source) + 1))
    if source.isascii() and not re.search(r"[<&\x00-\x08\x0b-\x1f\x7f]", source):
        return found
    found = _characters(found.replaced(ENTITY, lambda m: html.unescape(m.group())))
    found = found.replaced(COMMENT, lambda m: " ").replaced(TAG, _tag)
    if re.search(r"[\u0400-\u052f]", found.text):
        found = found.replaced(MIXED, _one_script)
    return found


def _tag(match: re.Match[str]) -> str:
    name = (match.group("inline") or "").casefold()
    if name == "sup" and not match.group().startswith("</"):
        return "^"
    return "" if name else " "


def _one_script(match: re.Match[str]) -> str:
    word = match.group()
    return word.translate(ALIKE) if re.search(r"[A-Za-z]", word) else word


def _characters(found: Plain) -> Plain:
    if found.text.isascii() and not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", found.text):
        return found
    pieces: list[str] = []
    origin: list[int] = []
    marks = 0
    for char, at in zip(found.text, found.origin, strict=False):
        marks = marks + 1 if unicodedata.category(char) == "Mn" else 0
        shown = _shown(char) if marks <= MOST_MARKS else ""
        pieces.append(shown)
        origin += [at] * len(shown)
    return Plain("".join(pieces), [*origin, found.origin[-1]])


def _shown(char: str) -> str:
    if char in "\n\t" or " " <= char <= "~":
        return char
    category = unicodedata.category(char)
    if category in ("Zl", "Zp") or char in "\x0b\x0c\x85":
        return "\n"
    if category == "Zs" or char == "\r":
        return " "
    if category in ("Cf", "Cc", "Co", "Cs", "Cn") or _is_selector(char):
        return ""
    if unicodedata.name(char, "").startswith(_STYLED):
        return unicodedata.normalize("NFKC", char)
    return char


def _is_selector(char: str) -> bool:
    """Variation selectors, which can carry hidden bytes, and blanks that count as letters."""
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef" or char in "\u115f\u1160\u3164\uffa0"
