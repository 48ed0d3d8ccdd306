"""Test vectors of the specification (specs/bioresearcher.md) that no other test holds.

Elsewhere: T2 test_reviewer, T4 tools/test_entrez, T6 tools/test_sources, T7 test_search,
T10 and T11 eval/test_intervals, T14 also eval/test_task_levels. Built differently, so
without a test: T3 (scores are token probabilities), T8 (no downloads).
"""

from __future__ import annotations

import dataclasses

import pytest
from fakes import GUARD, FakeSandbox
from pydantic import ValidationError

from labwright.agents.design import Brief, headings, skeleton, sources_of
from labwright.agents.literature import paper_referability
from labwright.agents.programming import Workbench, plan_tasks, run_task, task_folder
from labwright.agents.search import write_queries
from labwright.domain import (
    Analysis,
    Objective,
    Paper,
    Part,
    Protocol,
    Quote,
    Ref,
    Report,
    ReportPart,
    ReportStep,
    Step,
)
from labwright.errors import ReferenceUnresolved
from labwright.eval.execution import artefacts_of
from labwright.eval.suites.figures import figures_of
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat
from labwright.sandbox.contract import Limits
from labwright.store import RunStore
from labwright.tools.catalogue.catalogue import card
from labwright.workflows.edits import resolve

OBJECTIVE = Objective(text="Does hormone therapy delay recurrence of breast cancer?")
GRADES = {"H": "high", "M": "medium"}


def rating(grade: str, paper: str = "p", part: str = "Part 1") -> Analysis:
    return Analysis(paper=paper, part=part, referability=grade, reason="r", suggestions="s")


def session(tmp_path, *rules) -> Session:
    chat = ScriptedChat(rules=list(rules))
    return Session(role="design", backend="t", chat=chat, log=CallLog(tmp_path / "c.sqlite"))


@pytest.mark.parametrize(
    ("grades", "share"), [("HHMMM", 2 / 5), ("HMMHMMHMM", 3 / 9), ("MHHM", 2 / 4)], ids=["0.4", "0.333", "0.5"]
)
def test_t1_referability_is_the_share_of_parts_rated_high(grades, share):
    assert paper_referability([rating(GRADES[g]) for g in grades]) == pytest.approx(share)


def test_t1_a_grade_in_another_case_cannot_be_stored():
    with pytest.raises(ValidationError, match="referability"):
        rating("High")


def test_t5_two_queries_stay_two_and_bracketed_lines_are_no_answer(tmp_path):
    (tmp_path / "two").mkdir()
    asked = session(tmp_path / "two", {"match": "queries", "reply": {"queries": ["[a OR b]", "[c AND d]"]}})
    assert write_queries(asked, OBJECTIVE)[1:] == ["[a OR b]", "[c AND d]"]
    asked = session(tmp_path, {"match": "queries", "reply": "1. [liposarcoma[Title] AND immune]\n2. [a OR b] or [c]"})
    assert write_queries(asked, OBJECTIVE) == ["hormone therapy delay recurrence breast cancer"]
    assert asked.log.shares().fallback == 2


KNOWN = {"10572617": ["Part 1"], "8226247": ["Part 1"]}


def literature(store: RunStore) -> Brief:
    reports = {}
    for name, parts in KNOWN.items():
        reports[name] = Report(
            paper=name, parts=tuple(ReportPart(id=p, title="Arms", outline="Arms were compared.") for p in parts)
        )
        store.write(store.path("reports", f"{name}.json"), reports[name])
    papers = [Paper(id=p, title=f"Trial {p}", abstract="", source="embedded") for p in KNOWN]
    for paper in papers:
        store.write(store.path("papers", f"{paper.id}.json"), paper)
    rated = {name: [rating("high", name, part) for part in parts] for name, parts in KNOWN.items()}
    return Brief(OBJECTIVE, card("gbsg2"), sources_of(papers, reports, rated), GUARD)


@pytest.mark.parametrize(
    ("sources", "refs", "fallback"),
    [
        (["R1", "R2"], {("10572617", "Part 1"), ("8226247", "Part 1")}, False),
        (["10572617: Part 1", "8226247: Part 1"], {("10572617", "Part 1")}, True),
        (["999: Part 1"], {("10572617", "Part 1")}, True),
        ({"id1": ["10572617: Part 1"]}, {("10572617", "Part 1")}, True),
    ],
    ids=["codes", "the demo's strings", "unknown report", "the demo's placeholder"],
)
def test_t9_every_reference_of_a_design_resolves(tmp_path, sources, refs, fallback):
    """The demo's raw value was 0 of 15; here a reference that does not resolve cannot be written."""
    store = RunStore(tmp_path)
    part = {"title": "Recurrence by therapy", "purpose": "To see whether therapy delays it.", "sources": sources}
    said = {"logic": "The cohort first, then the two arms.", "parts": [part, part]}
    writer = session(tmp_path, {"match": "how the parts lead to an answer", "reply": said})
    plan = headings(writer, literature(store), skeleton(OBJECTIVE, ["survival_curves"], "gbsg2"))
    with_refs = [p for p in plan.parts if p.refs]
    assert len(with_refs) == 2
    for ref in [r for p in with_refs for r in p.refs]:
        resolve(store, ref)
        assert (ref.paper, ref.part) in refs
    assert {(r.paper, r.part) for p in plan.parts for r in p.refs} == refs
    assert (writer.log.shares().fallback > 0) == fallback


@pytest.mark.parametrize(
    ("ref", "missing"),
    [
        (Ref(paper="999", part="Part 1"), "no report of '999'"),
        (Ref(paper="10572617", part="Part 7"), "no part 'Part 7'"),
        (Ref(paper="10572617", part="Part 1", steps=("S1",)), "no step S1"),
    ],
)
def test_t9_a_reference_that_does_not_resolve_fails_loudly(tmp_path, ref, missing):
    store = RunStore(tmp_path)
    literature(store)
    with pytest.raises(ReferenceUnresolved, match=missing):
        resolve(store, ref)


def test_t10_the_headline_of_execution_success_is_the_macro_mean():
    """A 3 of 4 and B 1 of 2: (3/4 + 1/2) / 2 = 0.625, not 4/6."""
    rows = [
        {"kind": "objective", "name": "A:0", "level3_gold": 3 / 4},
        {"kind": "objective", "name": "B:0", "level3_gold": 1 / 2},
    ]
    rate = next(f for f in figures_of(rows, "raw") if f["name"] == "level3_rate_gold")
    assert (rate["value"], rate["n"]) == (0.625, 2)


def step(name: str, kind: str = "dry") -> Step:
    return Step(id=name, details="d", kind=kind, datasets=("gbsg2",), operator="survival_curves")


def protocol(*parts: Part) -> Protocol:
    return Protocol(objective=OBJECTIVE, logic="", parts=parts)


def test_t12_a_task_is_named_by_its_part_and_its_number_among_the_dry_steps(tmp_path):
    first = Part(id="Part 1", title="t", purpose="", steps=(step("1.1"),))
    second = Part(
        id="Part 2", title="t", purpose="", steps=(step("2.1"), step("2.2", "wet"), step("2.3"), step("2.4", "mixed"))
    )
    tasks = plan_tasks(protocol(first, second), 0)
    assert [t.id for t in tasks] == [
        "Part 1-dry-experiment-1",
        "Part 2-dry-experiment-1",
        "Part 2-dry-experiment-2",
        "Part 2-dry-experiment-3",
    ]
    assert [t.step for t in tasks] == ["1.1", "2.1", "2.3", "2.4"]
    # The vector's file stem "Part2-dry-experiment-3-<attempt>" is a folder and a file here.
    assert task_folder(RunStore(tmp_path), tasks[3].id).name == "Part_2-dry-experiment-3"


def test_t13_a_high_part_goes_to_design_without_its_quotes_and_a_medium_one_does_not():
    """Departure: where fewer than two parts are high, medium ones fill up (see test_design)."""
    quote = Quote(paper="p", start=0, end=13, text="original text")
    steps = (ReportStep(id="S1", details="Arms were compared.", quotes=(quote,)),)
    parts = tuple(ReportPart(id=f"P{i}", title="t", outline="o", steps=steps) for i in (1, 2, 3))
    rated = [rating(g, part=f"P{i}") for i, g in enumerate(("high", "medium", "high"), start=1)]
    paper = Paper(id="p", title="t", abstract="", source="embedded")
    sources = sources_of([paper], {"p": Report(paper="p", parts=parts)}, {"p": rated})
    assert [s.part for s in sources] == ["P1", "P3"]
    assert sources[0].steps == (("S1", "Arms were compared."),)
    assert "original text" not in str(sources)


def test_t14_a_script_that_exits_0_without_its_output_is_level_1_and_not_counted(tmp_path):
    class Forgetful(FakeSandbox):
        def run(self, job, out_dir, *, stop=None):
            result = super().run(job, out_dir)
            (out_dir / "log_rank.csv").unlink()
            return dataclasses.replace(result, outputs=tuple(o for o in result.outputs if o.name != "log_rank.csv"))

    store = RunStore(tmp_path / "run")
    store.folder.mkdir()
    bench = Workbench(
        store=store, run_job=Forgetful().run, data_dir=lambda name: tmp_path, card=card, screen=lambda script: (),
        limits=Limits(), session=None, seed=0,
    )  # fmt: skip
    task = plan_tasks(protocol(Part(id="Part 1", title="t", purpose="", steps=(step("1.1"),))), 0)[0]
    result = run_task(bench, OBJECTIVE, task)
    assert (result.attempts[0].exit_code, result.level) == (0, 1)
    assert artefacts_of(store.folder) == []
