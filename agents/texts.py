"""Model-written text, tidied: a grammar that bounds its length may stop it in the middle of a sentence."""

from __future__ import annotations

import re

VERBS = (
    *("Adjust", "Classify", "Cluster", "Compare", "Compute", "Count", "Cross-validate", "Describe", "Divide"),
    *("Estimate", "Examine", "Fit", "Group", "Identify", "Measure", "Plot", "Predict", "Rank", "Relate", "Score"),
    *("Select", "Split", "Summarise", "Test", "Train", "Use"),
)
"""What an instruction to an analyst begins with. A finding does not: none exists when a protocol is written."""
DANGLING = re.compile(
    r"[\s,;:(-]+(and|or|the|a|an|of|to|in|with|for|by|if|that|which|any|we|then|before|further)?$", re.IGNORECASE
)


def whole(text: str, most: int) -> str:
    """Cut a text that was stopped at its limit back to its last sentence, else to its last word, marked with dots.

    Example:
        >>> whole("Genes are ranked. The best on", 29)
        'Genes are ranked.'
        >>> whole("A short text", 40)
        'A short text'
    """
    text = " ".join(text.split())
    if len(text) < most - 1 or text.endswith((".", "?", "!")):
        return text
    end = max(text.rfind(". "), text.rfind("? "))
    if end >= most * 0.3:
        return text[: end + 1]
    cut = text.rsplit(" ", 1)[0]
    while DANGLING.search(cut) and " " in cut:
        cut = DANGLING.sub("", cut)
    return f"{cut} ..."


def instruction(least: int, most: int) -> str:
    """Pattern of one line that begins as an instruction does, of `least` to `most` characters after its verb."""
    return rf"^({'|'.join(VERBS)}) [^\n\r\"\\]{{{least},{most - 20}}}$"
