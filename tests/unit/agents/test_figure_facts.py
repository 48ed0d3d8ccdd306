"""What labwright's own plots show, from the tables behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from labwright.agents.figure_facts import MAKERS, facts_of
from labwright.agents.figures import ASKED
from labwright.tools.analysis.contracts import OPERATORS

CURVES = "group,n,events,observed_expected\n{rows}\n"


def outputs(folder: Path, rows: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "survival_curves.csv").write_text(CURVES.format(rows=rows))
    (folder / "survival_curves.png").write_bytes(b"png")
    return folder


def test_plots_are_those_that_the_operators_declare() -> None:
    for operator in MAKERS:
        declared = {o.name for o in OPERATORS[operator].outputs}
        for facts in MAKERS[operator](Path("/nowhere"), {}):
            assert facts.file in declared


@pytest.mark.parametrize(
    ("ratios", "direction"), [((0.7, 1.4), "falls"), ((1.4, 0.7), "rises"), ((1.0, 1.1), "neither")]
)
def test_more_events_than_expected_mean_a_lower_curve(tmp_path: Path, ratios, direction: str) -> None:
    rows = "\n".join(f"g{i},{50 + i},20,{r}" for i, r in enumerate(ratios))
    (facts,) = facts_of("survival_curves", outputs(tmp_path / "o", rows), {})
    assert facts.truth == {"kind": "survival curves", "x": "time", "y": "share without the event", "groups": "2", "n": "101",
                           "direction": direction}  # fmt: skip
    assert "g0, g1" in facts.legend


def test_every_field_is_a_question_with_the_right_answer_among_distinct_options(tmp_path: Path) -> None:
    for operator in MAKERS:
        folder = outputs(tmp_path / operator, "a,9,3,0.5\nb,11,6,1.6")
        for facts in MAKERS[operator](folder, {}):
            for field in facts.fields():
                assert field.name in ASKED
                assert facts.truth[field.name] in field.options
                assert 2 <= len(set(field.options)) == len(field.options) <= 4
            assert facts.fields() == facts.fields()


def test_what_the_tables_do_not_hold_is_not_asked(tmp_path: Path) -> None:
    folder = tmp_path / "o"
    folder.mkdir()
    assert facts_of("survival_curves", folder, {}) == []
    assert facts_of("cohort_summary", folder, {}) == []
    (folder / "volcano.png").write_bytes(b"png")
    (facts,) = facts_of("differential_expression", folder, {})
    assert set(facts.truth) == {"kind", "x", "y"}
    assert facts_of("gene_set_enrichment", folder, {}) == []  # its plot is not there
