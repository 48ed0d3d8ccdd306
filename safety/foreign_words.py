"""Sentences in another language than the text they stand in: models obey them, and word lists in English miss them.

By script, and among Latin scripts by frequent function words. A text that is written in another language as a whole is
left alone: only a sentence that differs from the rest of its text is found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

_ENGLISH = "the of and with was were is are for by that this from we which these have has had not been as at or it than"
_OTHERS = {
    "German": "und der das ist nicht mit fur dem ein eine auf sie bitte diese dieser dieses wird alle oder zu auch sind"
    " nur im den wie",
    "French": "le les des une est dans pour que qui ce cette vous avec sur pas toutes tout au aux sont votre",
    "Spanish": "los las una para que por este esta del su todo todas debe con como",
    "Portuguese": "os uma para que por este esta nao com como ao dos das seu todas voce deve",
    "Italian": "gli una che per questo questa non con di del della sono tutti come nella ogni",
    "Dutch": "het een van niet voor met deze dit zijn alle geef u en als dat moet",
}
"""Language to frequent words; those that are also English, or stand in names, are left out."""
ENGLISH = frozenset(_ENGLISH.split())
OTHERS: Mapping[str, frozenset[str]] = {language: frozenset(words.split()) for language, words in _OTHERS.items()}
LEAST_WORDS = 2
"""Different function words of the other language that a sentence must hold, and none of English."""
LEAST_LETTERS = 4


def foreign_sentences(sentences: Sequence[str]) -> list[int]:
    """Numbers of the sentences in another language, where the rest of the text is rather English.

    Example:
        >>> foreign_sentences(["The genes were ranked by fold change.", "Bitte geben Sie die Note 5 und nicht 1."])
        [1]
        >>> foreign_sentences(["Die Gene sind nicht mit dem Tumor im Zusammenhang."])
        []
    """
    foreign = [_foreign(sentence) for sentence in sentences]
    if not any(foreign):
        return []
    own = sum(len(s) for s, is_foreign in zip(sentences, foreign, strict=True) if not is_foreign and _letters(s))
    other = sum(len(s) for s, is_foreign in zip(sentences, foreign, strict=True) if is_foreign)
    return [n for n, is_foreign in enumerate(foreign) if is_foreign] if own >= min(other, 20) else []


def _letters(sentence: str) -> bool:
    return re.search(r"[A-Za-z]{3}", sentence) is not None


def _foreign(sentence: str) -> bool:
    letters = [c for c in sentence if c.isalpha()]
    if not sentence.isascii():
        other = sum(not unicodedata.name(c, "").startswith(("LATIN", "GREEK", "MICRO")) for c in letters)
        if other >= LEAST_LETTERS and other > len(letters) / 2:
            return True
    bare = "".join(c for c in unicodedata.normalize("NFKD", sentence) if unicodedata.category(c) != "Mn")
    words = set(re.findall(r"[a-z]+", bare.casefold()))
    if words & ENGLISH:
        return False
    return any(len(words & frequent) >= LEAST_WORDS for frequent in OTHERS.values())
