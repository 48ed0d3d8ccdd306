"""What each code check sees, one fault at a time, and under which metric it counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labwright.eval.protocol_facts import known
from labwright.eval.protocol_findings import METRICS, WEIGHTS, Tally, code_score
from labwright.eval.protocol_quality import code_scores, quality
from labwright.eval.protocol_reading import Reading, ReadPart, ReadStep
from labwright.eval.protocol_words import known_tools, quantities, stages_in, vague_words
from labwright.eval.suites.judges import good_protocols
from labwright.tools.analysis.contracts import OPERATORS

GOOD = good_protocols()
BREAST = GOOD["breast_metastasis"]


def changed(step_id: str, **fields) -> Reading:
    """The breast protocol with one step changed."""
    parts = tuple(
        replace(p, steps=tuple(replace(s, **fields) if s.id == step_id else s for s in p.steps)) for p in BREAST.parts
    )
    return replace(BREAST, parts=parts)


def faults(reading: Reading) -> dict[str, list[tuple[str, str]]]:
    return {s.metric: [(m.check, m.where) for m in s.missed] for s in code_scores(reading) if s.missed}


@pytest.mark.parametrize("name", GOOD)
def test_the_protocols_of_the_series_have_no_fault_that_code_sees(name):
    assert faults(GOOD[name]) == {}
    assert all(s.score == 5 for s in code_scores(GOOD[name]))
    assert len(list(GOOD[name].steps())) >= 12


@pytest.mark.parametrize(
    ("step", "fields", "metric", "found"),
    [
        ("3.1", {"inputs": ("9.9",)}, "completeness", ("input is made", "3.1")),
        ("3.1", {"inputs": ("1.3", "5.1")}, "logical_soundness", ("input comes earlier", "3.1")),
        ("3.1", {"inputs": ("3.1",)}, "logical_soundness", ("input comes earlier", "3.1")),
        ("2.2", {"text": "Permute the follow-up times a suitable number of times."}, "level_of_detail", ("quantity", "2.2")),
        ("3.3", {"tool": ""}, "level_of_detail", ("tool named", "3.3")),
        ("1.1", {"datasets": ()}, "level_of_detail", ("data named", "1.1")),
        ("3.1", {"datasets": ("GSE99999999",)}, "correctness", ("data set exists", "3.1")),
        ("3.3", {"tool": "SurvNetMagic"}, "correctness", ("tool exists", "3.3")),
        ("3.1", {"parameters": {"max_genes": 100}}, "correctness", ("argument exists", "3.1")),
        ("3.1", {"parameters": {"folds": 500}}, "correctness", ("values fit the data", "3.1")),
        ("1.2", {"parameters": {"group_column": "eye_colour"}}, "correctness", ("values fit the data", "1.2")),
        ("3.1", {"datasets": ("pbmc68k",)}, "correctness", ("tool fits the data", "3.1")),
        ("3.1", {"refs": ("nobody1999",)}, "structural_soundness", ("reference resolves", "3.1")),
        ("3.3", {"text": next(s.text for s in BREAST.steps() if s.id == "3.2")}, "structural_soundness", ("repetition", "3.3")),
        ("3.3", {"id": "3.2"}, "structural_soundness", ("id", "3.2")),
    ],
)  # fmt: skip
def test_one_fault_counts_where_it_belongs(step, fields, metric, found):
    seen = faults(changed(step, **fields))
    assert found in seen[metric]


@pytest.mark.parametrize("step", ["2.2", "3.1", "4.1"])
def test_a_vague_value_costs_detail_and_is_not_called_wrong(step):
    given = next(s for s in BREAST.steps() if s.id == step).parameters
    seen = faults(changed(step, parameters=dict.fromkeys(given, "a suitable choice")))
    assert set(seen) == {"level_of_detail"}


def test_a_name_that_does_not_exist_is_not_called_vague():
    assert set(faults(changed("3.3", tool="SurvNetMagic", datasets=("OncoBank-7",)))) == {"correctness"}


def test_the_caller_may_name_what_was_verified():
    reading = changed("3.3", tool="SurvNetMagic", datasets=("GSE424242",))
    assert {s.metric: s.score for s in code_scores(reading)}["correctness"] < 5
    from labwright.tools.catalogue.catalogue import load_cards

    verified = known(load_cards(), data=["gse424242"], tools=["survnetmagic"])
    assert {s.metric: s.score for s in code_scores(reading, verified)}["correctness"] == 5


def test_claims_about_a_data_set_are_compared_with_its_card():
    wrong = replace(BREAST, datasets=({"id": "gse7390", "n_samples": 1980},))
    assert faults(wrong) == {"correctness": [("data set is as described", "gse7390")]}


def test_parts_without_title_purpose_or_steps():
    bare = replace(
        BREAST, parts=(*BREAST.parts, ReadPart(id="6", title=""), ReadPart(id="6", title="Cohort and quality"))
    )
    assert faults(bare) == {
        "completeness": [("steps", "6"), ("steps", "6")],
        "structural_soundness": [("id", "6"), ("title", "6"), ("purpose", "6"), ("title", "6"), ("purpose", "6")],
    }


def test_stages_that_are_missing_are_named():
    steps = [ReadStep(id="1", text="Fit a model."), ReadStep(id="2", text="Compare 2 groups.", inputs=("1",))]
    reading = Reading(objective="x", parts=(ReadPart(id="1", title="t", steps=tuple(steps)),))
    missing = [w for c, w in ((m.check, m.what) for m in code_scores(reading)[0].missed) if c == "stage"]
    assert [m.removeprefix("no step of ") for m in missing] == [
        "data acquisition", "quality control", "validation", "interpretation",
    ]  # fmt: skip


def test_a_tool_that_needs_a_table_reads_one():
    airway = GOOD["dexamethasone_airway"]
    parts = tuple(
        replace(p, steps=tuple(replace(s, inputs=("1.2",)) if s.id == "3.1" else s for s in p.steps))
        for p in airway.parts
    )
    assert ("needed table", "3.1") in faults(replace(airway, parts=parts))["logical_soundness"]


def test_wet_steps_need_no_data_set_and_no_tool():
    wet = ReadStep(id="1", text="Stain 3 sections at 4 % for 20 minutes.", kind="wet")
    assert (
        faults(Reading(objective="x", parts=(ReadPart(id="1", title="t", steps=(wet,)),))).get("level_of_detail")
        is None
    )


def test_a_protocol_without_steps_has_no_score_and_says_why():
    for score in code_scores(Reading(objective="x", parts=(ReadPart(id="1", title="t"),))):
        assert (score.score, score.reason) == (None, "the protocol has no step")


def test_points_lost_add_up_to_the_score():
    for reading in (changed("3.1", inputs=("9.9",), datasets=("nowhere",)), changed("2.2", text="")):
        for score in code_scores(reading):
            assert score.score == pytest.approx(5 - sum(m.points for m in score.missed), abs=0.01)


def test_every_check_has_a_weight_and_the_weights_of_a_metric_are_one():
    assert tuple(WEIGHTS) == METRICS
    assert all(sum(w.values()) == pytest.approx(1) for w in WEIGHTS.values())
    tally = Tally()
    tally.ask(True, "no such check", "x", "")
    with pytest.raises(KeyError):
        code_score("completeness", tally)


def test_all_missed_is_one_and_none_asked_is_none():
    tally = Tally()
    assert code_score("correctness", tally).score is None
    tally.ask(False, "tool exists", "1", "x")
    assert code_score("correctness", tally).score == 1.0


def test_without_a_judge_nothing_is_together_and_the_reason_stands():
    found = quality(BREAST)
    assert found["means"] == {"code": 5.0, "judged": None, "together": None}
    assert {m["judged_reason"] for m in found["metrics"].values()} == {"no judge was asked"}


@pytest.mark.parametrize(
    ("text", "numbers", "vague"),
    [
        ("Keep 100 genes below 5 % of step 2.1", ["100", "5 %"], []),
        ("TP53 in GSE7390 by DESeq2 and E-MTAB-37", [], []),
        ("between -1.5 and 1,000 counts", ["-1.5", "1,000"], []),
        ("Keep a suitable number of genes, as needed", [], ["suitable", "as needed"]),
        ("steps 1.1, 1.2 and 1.3, then 7 of them", ["7"], []),
    ],
)
def test_quantities_and_vague_words(text, numbers, vague):
    assert quantities(text) == numbers
    assert vague_words(text) == vague


def test_stages_are_found_by_their_words():
    text = "Load the data, exclude outliers, fit a model, validate it and discuss it"
    assert list(stages_in(text)) == ["data acquisition", "quality control", "analysis", "validation", "interpretation"]


def test_the_list_of_tools_is_in_lower_case_and_holds_no_operator():
    assert len(known_tools()) > 100
    assert not known_tools() & set(OPERATORS)
