"""The screen for misuse, with the model behind it."""

from __future__ import annotations

from labwright.agents.prompting import prompt
from labwright.domain import Objective
from labwright.models.ask import Session, choose
from labwright.safety.objective import Verdict, judge_harm


def judged(session: Session | None, objective: Objective) -> Verdict:
    """Decide by rules, and by the model where the wider net closed.

    Args:
        session: who is asked; None lets the rules alone decide.
        objective: all its fields are read.

    Raises:
        BudgetExhausted: a limit was reached.
    """
    if session is None:
        return judge_harm(objective.brief(), None)

    def asks_for(text: str, aim: str) -> float | None:
        asked = prompt("misuse").render(objective=text, aim=aim)
        given = choose(session, asked, ("yes", "no"), fallback={"yes": 0.5, "no": 0.5})
        return given.value["yes"] if given.decided_by == "model" else None

    return judge_harm(objective.brief(), asks_for)
