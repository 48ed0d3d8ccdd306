"""Words that the protocol metrics look for: stages, quantities, vagueness, tools that exist.

English only. The lists were written before any damage series was measured; they name what a stranger needs in order
to run a protocol, not what a particular system writes.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

STAGES = ("data acquisition", "quality control", "analysis", "validation", "interpretation")
_STAGE_WORDS = {
    "data acquisition": r"load|download|obtain|retriev|collect|acquir|fetch|import|gather|recruit",
    "quality control": r"quality|missing|outlier|normali[sz]|filter|clean|exclud|remov|describ|inspect|check|screen",
    "analysis": r"compar|fit|test|cluster|correlat|regress|rank|train|estimat|model|enrich|differential|classif|"
    r"associat|stratif|select|predict|deriv|score|comput|calculat|measur|analy[sz]",
    "validation": r"validat|held.out|hold out|cross.validat|permut|bootstrap|independent|replicat|sensitivity|robust|"
    r"confirm|repeat|calibrat|refit",
    "interpretation": r"interpret|summari[sz]|report|discuss|conclud|limitation|relate|write|answer|place the",
}
_STAGE = {stage: re.compile(rf"\b(?:{words})", re.IGNORECASE) for stage, words in _STAGE_WORDS.items()}

_MENTION = re.compile(
    r"\b(?:steps?|parts?|figures?|tables?)\s+[\d.]+(?:(?:\s*,\s*|\s+and\s+|\s*-\s*)[\d.]+)*", re.IGNORECASE
)
QUANTITY = re.compile(r"(?<![\w./-])[-+]?\d[\d,]*(?:\.\d+)?(?:\s?%)?(?![\w/]|\.\d|-\w)")
"""A number that stands alone: not within a name (TP53, GSE7390) and not an address of a step."""
VAGUE = re.compile(
    r"\b(?:several|some|various|a few|many|numerous|suitabl[ey]|appropriate(?:ly)?|adequate(?:ly)?|sufficient(?:ly)?|"
    r"reasonabl[ey]|proper(?:ly)?|customary|usual|certain|moderate|enough|approximately|roughly|relatively|"
    r"as (?:needed|required|many as)|if necessary|default settings|standard settings|unspecified|to be decided|"
    r"tbd|and so on|etc)\b",
    re.IGNORECASE,
)


def stages_in(text: str) -> dict[str, int]:
    """Stages that a text names, each with the place of its first word.

    Example:
        >>> list(stages_in("Load the data and remove outliers"))
        ['data acquisition', 'quality control']
    """
    found = ((stage, pattern.search(text)) for stage, pattern in _STAGE.items())
    return {stage: match.start() for stage, match in found if match}


def quantities(text: str) -> list[str]:
    """Numbers that say how much: no step numbers, no digits within names.

    Example:
        >>> quantities("Keep 100 genes of step 2.1 below 5 % in GSE7390")
        ['100', '5 %']
    """
    return QUANTITY.findall(_MENTION.sub(" ", text))


def vague_words(text: str) -> list[str]:
    """Words that stand where a quantity or a choice should.

    Example:
        >>> vague_words("Keep a suitable number of genes")
        ['suitable']
    """
    return VAGUE.findall(text)


@cache
def known_tools() -> frozenset[str]:
    """Names of analysis software that exists, in lower case; the list is not complete."""
    text = files("labwright.eval").joinpath("known_tools.txt").read_text(encoding="utf-8")
    return frozenset(line.strip().casefold() for line in text.splitlines() if line.strip() and not line.startswith("#"))
