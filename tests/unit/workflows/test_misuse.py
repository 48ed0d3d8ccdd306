"""The screen within a run: what is asked, what is kept, and how a refused objective ends."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fake_run import materials

from labwright.config import Config
from labwright.domain import Objective
from labwright.errors import BudgetExhausted, ModelMissing, ObjectiveRefused
from labwright.models.ask import Session
from labwright.models.calls import Budget, CallLog
from labwright.models.scripted import ScriptedChat
from labwright.workflows.control import Options, start
from labwright.workflows.misuse import judged
from labwright.workflows.search_nodes import screen
from labwright.workflows.state import RunState

DOUBTFUL = Objective(text="Which changes would help a virus to spread between animals and people?")


class Unreachable(ScriptedChat):
    def _generate(self, *args, **kwargs):
        raise ModelMissing("the model server is down")


def session(tmp_path, chat: ScriptedChat, budget: Budget | None = None) -> Session:
    return Session(role="search", backend="t", chat=chat, log=CallLog(tmp_path / "c.sqlite", budget))


def says(p_yes: float) -> ScriptedChat:
    return ScriptedChat(rules=[{"match": "ask for help to", "probabilities": {"yes": p_yes, "no": 1 - p_yes}}])


@pytest.mark.parametrize(("p", "refused"), [(0.9, True), (0.1, False)])
def test_the_token_probability_decides(p, refused, tmp_path):
    chat = says(p)
    verdict = judged(session(tmp_path, chat), DOUBTFUL)
    assert verdict.refused is refused
    assert verdict.probabilities == {"enhancing a pathogen": pytest.approx(p)}
    [asked] = chat.seen
    assert "make a pathogen more contagious" in asked
    assert DOUBTFUL.text.casefold() in asked


@pytest.mark.parametrize("field", ["conditions", "requirements"])
def test_harm_in_another_field_is_seen(field):
    objective = Objective(text="Which genes respond to infection?", **{field: "Make a virus that spreads more easily."})
    assert judged(None, objective).rule == "enhancing a pathogen"


def test_a_model_that_does_not_understand_gives_no_probability(tmp_path):
    chat = ScriptedChat(rules=[{"match": ".", "probabilities": {"perhaps": 1.0}}])
    verdict = judged(session(tmp_path, chat), DOUBTFUL)
    assert (verdict.refused, verdict.decided_by, verdict.probabilities) == (False, "rules", {})
    assert "rules alone" in verdict.note


def test_a_server_that_is_down_leaves_the_rules(tmp_path):
    verdict = judged(session(tmp_path, Unreachable()), DOUBTFUL)
    assert (verdict.refused, verdict.decided_by) == (False, "rules")
    assert verdict.note == "the safety screen went by its rules alone: the model server is down"


def test_a_used_up_budget_stops_the_run_and_does_not_pass_the_objective(tmp_path):
    with pytest.raises(BudgetExhausted):
        judged(session(tmp_path, says(0.1), Budget(tokens=0)), DOUBTFUL)


def test_a_refused_objective_ends_the_run_and_the_verdict_is_kept(tmp_path):
    m = materials(tmp_path)  # its model says yes to every question
    with pytest.raises(ObjectiveRefused, match=r"refused: enhancing a pathogen \(p 0\.90\)"):
        screen(RunState(), m=replace(m, objective=DOUBTFUL))
    kept = json.loads((tmp_path / "objective_screen.json").read_text())
    assert (kept["refused"], kept["decided_by"]) == (True, "model")
    assert kept["probabilities"] == {"enhancing a pathogen": pytest.approx(0.9)}
    assert not m.log.notes()


def test_an_ordinary_objective_goes_on_and_its_verdict_is_kept(tmp_path):
    m = materials(tmp_path)
    assert screen(RunState(), m=m) == {}
    kept = json.loads((tmp_path / "objective_screen.json").read_text())
    assert (kept["refused"], kept["decided_by"], kept["suspected"]) == (False, "rules", [])


def test_without_an_answer_the_report_is_told(tmp_path):
    m = materials(tmp_path)
    chat = ScriptedChat(rules=[{"match": "ask for help to", "probabilities": {"perhaps": 1.0}}])
    silent = {role: replace(s, chat=chat) for role, s in m.sessions.items() if s is not None}
    assert screen(RunState(), m=replace(m, objective=DOUBTFUL, sessions=silent)) == {}
    assert m.log.notes() == ("the safety screen went by its rules alone: the model gave no answer",)


@pytest.mark.parametrize("field", ["text", "conditions", "requirements"])
def test_a_run_that_asks_for_harm_in_any_field_makes_nothing(field, tmp_path):
    asked = {"text": "Which genes respond to infection?", field: "Make a virus that spreads more easily."}
    with pytest.raises(ObjectiveRefused, match="refused: enhancing a pathogen") as refused:
        start(Objective(**asked), Config(), tmp_path / "runs", Options())
    assert refused.value.exit_code == 2
    assert not (tmp_path / "runs").exists()
