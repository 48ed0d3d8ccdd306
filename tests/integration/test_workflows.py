"""The workflows that labwright is compared with, on a scripted model: they end, resume, and share one literature."""

from __future__ import annotations

import json

import pytest
from fake_run import materials
from fakes import FakeSandbox

from labwright.domain import Protocol, TaskResult
from labwright.errors import AnswerInvalid, RunFailed
from labwright.models.calls import Allowance
from labwright.workflows.baselines import COMPARED, RUN_WHILE_DECIDING
from labwright.workflows.control import invoke
from labwright.workflows.data import data_folder

pytestmark = pytest.mark.docker
STEP = {
    "title": "Survival by hormone therapy",
    "details": "Compare survival with and without hormone therapy.",
    "sources": [],
}
WHOLE = {
    "protocol": {
        "data_set": "gbsg2",
        "logic": "The groups are compared directly.",
        "analyses": [
            {"analysis": "survival_curves", "group_column": "hormone_therapy", **STEP},
            {"analysis": "cox_regression", "covariates": ["age", "hormone_therapy"], **STEP},
        ],
    }
}
PLAN = {
    "data_set": "gbsg2",
    "logic": "The groups are compared directly.",
    "steps": [
        {"analysis": "survival_curves", "goal": "Compare survival by therapy"},
        {"analysis": "drug_association", "goal": "Relate drugs to alterations"},
    ],
}
USE = {"thought": "These are the right patients.", "action": {"tool": "use_data_set", "data_set": "gbsg2"}}
RUN = {"thought": "Compare the groups first.", "action": {"tool": "survival_curves", "group_column": "hormone_therapy"}}
END = {"thought": "The groups were compared.", "action": {"tool": "finish", "answer": "Therapy helps."}}
REACT = [
    {"match": r"Turns so far:.*\n3\. ", "reply": END},
    {"match": r"Turns so far:.*\n2\. ", "reply": RUN},
    {"match": r"Turns so far:.*\n1\. ", "reply": RUN},
    {"match": r"Turns so far:.*none yet", "reply": USE},
]
RULES = [
    {"match": "whole dry-lab protocol in one answer", "reply": WHOLE},
    {"match": "then list the analyses that the objective asks for, in order", "reply": PLAN},
    {"match": "Name one more analysis", "reply": {"analysis": "none", "goal": ""}},
    *REACT,
]


@pytest.fixture(scope="module", autouse=True)
def _data(sandbox):
    """The data sets that the objective is near to, one of which an agent without a search falls back to."""
    for name in ("actg320", "colon", "gbsg2", "gse1992", "gse4335", "nki70"):
        data_folder(name, sandbox.run)


def results(folder) -> list[TaskResult]:
    return [TaskResult.model_validate_json(p.read_text()) for p in sorted((folder / "tasks").glob("*/result.json"))]


def protocol_in(folder) -> Protocol:
    return Protocol.model_validate_json((folder / "protocol.json").read_text())


@pytest.mark.parametrize("workflow", COMPARED)
def test_every_workflow_ends_in_a_protocol_whose_steps_are_tasks_that_were_run(tmp_path, workflow):
    m = materials(tmp_path, rules=RULES, workflow=workflow)
    assert invoke(m, review=False) == "done"
    protocol = protocol_in(tmp_path)
    assert protocol.datasets[0].verified
    assert protocol.parts
    assert [r.level for r in results(tmp_path)] == [3] * len(protocol.parts)
    assert (tmp_path / "protocol.md").read_text().startswith("# Protocol")
    valid, made = m.log.tool_calls()
    assert (made > 0) == (workflow != "rules_only")
    # The plan names an analysis that the data cannot carry: that is an invalid call, and the only one.
    assert made - valid == (workflow == "plan_execute")


def test_workflows_without_a_reviewer_have_no_review(tmp_path):
    found = {}
    for workflow in ("no_hierarchy", "no_reviewer"):
        folder = tmp_path / workflow
        folder.mkdir()
        invoke(materials(folder, rules=RULES, workflow=workflow), review=False)
        found[workflow] = json.loads((folder / "reviews.json").read_text())
    assert not found["no_reviewer"]
    assert {r["stage"] for r in found["no_hierarchy"]} == {"Protocol"}


def test_an_agent_that_repeats_a_call_is_told_so_and_the_analysis_is_not_run_again(tmp_path):
    sandbox = FakeSandbox()
    invoke(materials(tmp_path, rules=RULES, workflow="react", sandbox=sandbox), review=False)
    assert len(protocol_in(tmp_path).parts) == 1
    assert protocol_in(tmp_path).logic == "Therapy helps."
    last = json.loads((tmp_path / "drafts" / "progress-4.json").read_text())
    assert "was run already, as Part 1" in last["notes"][2]
    assert sum("verdicts.json" in job.script for job in sandbox.jobs) == 1


def test_parameters_that_do_not_fit_the_data_fall_to_the_rules_and_count_as_an_invalid_call(tmp_path):
    wrong = {**WHOLE["protocol"]["analyses"][0], "group_column": "none"}
    rules = [{"match": "whole dry-lab", "reply": {"protocol": {**WHOLE["protocol"], "analyses": [wrong]}}}]
    rules.append({"match": "Choose parameters that avoid", "reply": "I cannot."})
    m = materials(tmp_path, rules=rules, workflow="one_shot")
    assert invoke(m, review=False) == "done"
    assert m.log.tool_calls() == (1, 2)
    assert protocol_in(tmp_path).parts[0].steps[0].parameters["group_column"] is not None


def test_parameters_that_do_not_fit_are_sent_back_once_as_ours_are(tmp_path):
    wrong = {**WHOLE["protocol"]["analyses"][0], "group_column": "none"}
    rules = [
        {"match": "whole dry-lab", "reply": {"protocol": {**WHOLE["protocol"], "analyses": [wrong]}}},
        {"match": "Choose parameters that avoid", "reply": {"group_column": "menopause"}},
    ]
    m = materials(tmp_path, rules=rules, workflow="one_shot")
    assert invoke(m, review=False) == "done"
    assert m.log.tool_calls() == (2, 3)
    assert protocol_in(tmp_path).parts[0].steps[0].parameters["group_column"] == "menopause"


def test_an_agent_that_cannot_answer_fails_and_says_so(tmp_path):
    silent = [{"match": ".", "reply": "nothing"}]
    for workflow, error in {"one_shot": AnswerInvalid, "plan_execute": AnswerInvalid, "react": RunFailed}.items():
        folder = tmp_path / workflow
        folder.mkdir()
        made = materials(folder, workflow="literature")
        assert invoke(made, review=False) == "done"
        (folder / "next").mkdir()
        m = materials(folder / "next", only=silent, workflow=workflow, literature=folder)
        with pytest.raises(error):
            invoke(m, review=False)
        assert not results(folder / "next")


def test_literature_is_read_once_and_taken_over_without_a_call_about_it(tmp_path):
    first, second = tmp_path / "literature", tmp_path / "run"
    first.mkdir()
    second.mkdir()
    assert invoke(materials(first, workflow="literature"), review=False) == "done"
    assert not (first / "protocol.json").exists()
    assert invoke(materials(second, literature=first), review=False) == "done"
    asked = (second / "requests.jsonl").read_text()
    assert "literature" not in {c.role for c in materials(second, literature=first).log.calls()}
    assert "You write literature queries" not in asked
    read = {p.name for p in (first / "reports").iterdir()}
    assert {p.name for p in (second / "reports").iterdir()} == read
    assert protocol_in(second).parts[0].refs


@pytest.mark.parametrize("workflow", RUN_WHILE_DECIDING)
def test_stopped_after_each_step_an_agent_goes_on_and_repeats_no_call(tmp_path, workflow):
    class Stopped(Exception):
        pass

    def stopping(text: str) -> None:
        if "turn" in text or "chosen" in text or "protocol" in text:
            raise Stopped

    for _ in range(12):
        m = materials(tmp_path, rules=RULES, workflow=workflow, say=stopping)
        try:
            invoke(m, review=False)
        except Stopped:
            continue
        break
    invoke(materials(tmp_path, rules=RULES, workflow=workflow), review=False)
    asked = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert len(asked) == len(set(asked))
    assert {r.level for r in results(tmp_path)} == {3}


@pytest.mark.parametrize("workflow", ["labwright", "no_hierarchy", "plan_execute", "one_shot"])
def test_a_spent_allowance_ends_the_asking_not_the_run(tmp_path, workflow):
    first, second = tmp_path / "literature", tmp_path / "run"
    first.mkdir()
    second.mkdir()
    invoke(materials(first, workflow="literature"), review=False)
    allowance = Allowance(prompt_tokens=400)
    m = materials(second, rules=RULES, workflow=workflow, literature=first, allowance=allowance)
    assert invoke(m, review=False) == "done"
    assert [r.level for r in results(second)] == [3] * len(protocol_in(second).parts)
    spent = [c.evaluated_tokens for c in m.log.calls()]
    assert sum(spent[:-1]) < 400
    if workflow != "one_shot":
        whole = materials(tmp_path, rules=RULES, workflow=workflow, literature=first)
        invoke(whole, review=False)
        assert len(spent) < len(whole.log.calls())
