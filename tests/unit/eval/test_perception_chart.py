"""The chart's numbers, its picture, and the page that holds both."""

from __future__ import annotations

import json
import re
import sys

import pytest

from labwright.errors import SomethingMissing
from labwright.eval.judge_labels import checked
from labwright.eval.judge_page import options_of, page, table_csv, write_result
from labwright.eval.judge_reliability import reliability
from labwright.eval.perception_chart import chart_data, chart_png, perception_chart
from labwright.eval.suites.judge_vectors import V1, V3

ODD = checked([["<b>$x$", "<b>$x$"], ["y"]], [["y"], ["y"]], ("<b>$x$", "y"), "categorical")


def document(data, name="labels.csv"):
    return {"file": name, "criteria": {"": {**reliability(data), "chart": chart_data(data)}}}


def test_the_numbers_are_those_of_the_bins():
    """V1: bin 1 has P = [5/6, 1/6, 0] and Q = [3/4, 1/4, 0]; bin 2 is empty; bin 3's judges' medians are 2."""
    numbers = chart_data(V1)
    first, second, third = numbers["bins"]
    assert first["H"] == pytest.approx([5 / 6, 1 / 6, 0])
    assert first["M"] == pytest.approx([3 / 4, 1 / 4, 0])
    assert (first["H_aggregate"], third["H_aggregate"], third["M_aggregate"]) == ([1, 0, 0], [0, 0, 1], [0, 1, 0])
    assert (second["H"], second["M"], second["H_aggregate"]) == ([0, 0, 0],) * 3
    assert (second["jsd"], second["reason"]) == (None, "no item is in this bin")
    assert numbers["jsb"] == pytest.approx(0.2503953, abs=1e-6)
    json.dumps(numbers)


@pytest.mark.parametrize("data", [V1, V3, ODD, checked([], [], ("a", "b"), "categorical"),
                                  checked([[1]], [[]], (1, 2), "ordinal")])  # fmt: skip
def test_the_picture_is_drawn_whatever_the_data(data, tmp_path):
    path = perception_chart(chart_data(data), tmp_path / "chart.png", "50 $ of <names>")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_same_data_give_the_same_picture():
    assert chart_png(chart_data(V3)) == chart_png(chart_data(V3))


def test_the_page_escapes_labels_and_fetches_nothing():
    html = page(document(ODD, "<script>.csv"))
    assert "<script>" not in html
    assert "<b>$x$" not in html
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert sources
    assert all(s.startswith("data:image/png;base64,") for s in sources)


def test_the_folder_holds_page_numbers_and_chart(tmp_path):
    written = write_result(document(V3), tmp_path / "out")
    assert sorted(p.name for p in written) == ["chart_1.png", "judges.csv", "judges.html", "judges.json"]
    assert json.loads((tmp_path / "out" / "judges.json").read_text())["criteria"][""]["items"] == 8
    lines = table_csv(document(V3)).splitlines()
    assert lines[0] == "criterion,stratum,size,proportion,statistic,value,low,high,reason"
    assert len(lines) == 1 + 7 * 24


def test_without_matplotlib_the_command_that_supplies_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SomethingMissing, match=r"pip install 'labwright\[charts\]'"):
        write_result(document(V3), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "value"), [("kind", "cardinal"), ("form", "square"), ("base", "10"),
                                               ("half", "up"), ("tie", "last"), ("share_bins", "0-60")])  # fmt: skip
def test_an_option_without_such_a_value_is_refused(option, value):
    from labwright.errors import WrongUse

    plain = {"kind": "", "form": "distance", "base": "e", "half": "drop", "tie": "first", "share_bins": "0:60"}
    with pytest.raises(WrongUse, match=value):
        options_of(**{**plain, option: value})
