"""From the screen of untrusted text to what the agents are handed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labwright.agents.untrusted import Guard
from labwright.domain import Objective
from labwright.safety.plain_text import plain
from labwright.safety.untrusted_text import TOKEN, Screened, fence_code, screened


def guard_of(objective: Objective, seed: int, screen: Callable[[str], Screened] = screened) -> Guard:
    """The guard of a run.

    Args:
        objective: with the seed, gives the code of the fences.
        seed: of the run.
        screen: what decides about a text.
    """
    return guard_for(objective.brief(), seed, screen)


def guard_for(asked: str, seed: int = 0, screen: Callable[[str], Screened] = screened) -> Guard:
    """The guard of one question outside a run, whose text gives the code of the fences."""

    def hidden(document: str) -> Sequence[tuple[int, int]]:
        return [(p.start, p.end) for p in screen(document).passages]

    return Guard(
        read=lambda text: screen(text).text,
        hidden=hidden,
        tidy=lambda text: TOKEN.sub(" ", plain(text).text),
        code=fence_code(asked, seed),
    )
