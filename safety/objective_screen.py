"""The screen of objectives: what is not biomedical, and what is refused.

The refusals are plain rules on the text and need no model. They do not catch a request that is worded to
avoid them; they are the floor, not the whole of a dual-use policy.
"""

from __future__ import annotations

import re
import unicodedata

from labwright.errors import ObjectiveRefused

MOST_CHARS = 20_000
LEAST_WORDS, LEAST_CHARS = 4, 12
# Windows instead of open word ends: nested open repetitions take minutes on 20 000 hostile characters.
_AGENT = r"(pathogen|virus|influenza|anthrax|bacteri|toxin|ricin|botulinum|smallpox|ebola|nerve agent|bioweapon)"
_WORSE = r"(transmissib|virulen|lethal|pathogenic|infectiv|infectious|deadly)"
_HARM = (
    r"(transmissibilit|virulence|lethality|pathogenicity|infectivit|infectiousness|deadliness"
    r"|(lethal|deadly|infectious) (dose|effect|potency|power|reach))"
)
RULES = {
    "enhancing a pathogen": rf"gain[- ]of[- ]function[^.]{{0,70}}{_AGENT}"
    rf"|(increas|enhanc|improv|\bgain|boost)[^.]{{0,70}}{_HARM}[^.]{{0,70}}{_AGENT}"
    rf"|\b(mak|creat|engineer|design|modif|mutat|render|turn)[^.]{{0,70}}{_AGENT}"
    rf"[^.]{{0,60}}(more|increas\w{{1,9}}|enhanc\w{{1,9}}) {_WORSE}",
    "producing a toxin or weapon": r"(produc|synthesi[sz]|manufactur|weaponi[sz]|aerosoli[sz])"
    rf"[^.]{{0,50}}{_AGENT}[^.]{{0,80}}(weapon|attack|population|people|release|harm)",
    "evading detection": r"(evad|escap|avoid|bypass)[^.]{0,50}(screening|detection|biosecurity|surveillance)"
    r"[^.]{0,60}(pathogen|toxin|sequence|synthesis|order)",
    "identifying persons": r"(re-?identif|de-?anonymi[sz])[^.]{0,70}"
    r"(patient|participant|person|donor|individual|people)",
}


def check_form(text: str) -> str:
    """The objective's text, stripped.

    Raises:
        ObjectiveRefused: it is empty, too short, too long, or asks for something that is refused.
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
    # Ligatures, wide letters and soft hyphens of pasted text must not hide a word.
    folded = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    for rule, pattern in RULES.items():
        if re.search(pattern, folded, re.IGNORECASE):
            raise ObjectiveRefused(f"the objective is refused: {rule}; labwright does not help with that")
    return text
