"""How the agents read what strangers wrote: papers, data cards, and what a model made of them.

The screen itself is bound by the graph (`labwright.workflows.untrusted`); an agent only knows what it may show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labwright.domain import Quote
from labwright.models.prompt_file import Material


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What stands between strangers' text and a prompt."""

    read: Callable[[str], str]
    """A text as a model may see it: plain, instruction-like passages replaced by a mark."""
    hidden: Callable[[str], Sequence[tuple[int, int]]]
    """Spans of a stored document that a model may not see."""
    tidy: Callable[[str], str]
    """A text without markup and tokens of a chat template; nothing of what it says is taken out."""
    code: str
    """Marks the fences of the run."""

    def material(self, text: str) -> Material:
        """A text for a prompt: screened, then fenced."""
        return Material(self.read(text), self.code)

    def written(self, text: str) -> Material:
        """What a model wrote, for a prompt: fenced, and not screened.

        It was made of screened text, and steps of a protocol are orders by nature: the screen would take them out.
        """
        return Material(self.tidy(text), self.code)

    def visible(self, document: str, quotes: Sequence[Quote]) -> list[Quote]:
        """The quotes that touch no hidden span of their document."""
        spans = self.hidden(document)
        return [q for q in quotes if not any(q.start < end and start < q.end for start, end in spans)]
