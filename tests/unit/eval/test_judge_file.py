"""Annotation files: both CSV forms say the same, and a bad one gets one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from labwright.errors import WrongUse
from labwright.eval.judge_file import read_annotations

WIDE = "item,human_a,human_b,machine_1,machine_2\nx,1,2,2,2\ny,3,3,3,\n"
LONG = (
    "item,source,rater,label\n"
    "x,human,a,1\nx,human,b,2\nx,machine,1,2\nx,machine,2,2\ny,human,a,3\ny,human,b,3\ny,machine,1,3\ny,machine,2,\n"
)


def write(tmp_path: Path, text: str, name: str = "labels.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_long_and_wide_say_the_same(tmp_path):
    wide, long = (read_annotations(write(tmp_path, text))[""] for text in (WIDE, LONG))
    assert wide == long
    assert wide.human == ((1, 2), (3, 3))
    assert wide.machine == ((2, 2), (3,))
    assert (wide.labels, wide.kind) == ((1, 2, 3), "ordinal")


def test_the_scale_holds_labels_that_nobody_used(tmp_path):
    assert read_annotations(write(tmp_path, WIDE), scale="1:5")[""].labels == (1, 2, 3, 4, 5)
    named = read_annotations(write(tmp_path, WIDE), kind="categorical", scale="3,2,1,0")[""]
    assert (named.labels, named.human[0]) == (("3", "2", "1", "0"), ("1", "2"))


def test_words_are_categories(tmp_path):
    data = read_annotations(write(tmp_path, "item,human,machine\nx,no,yes\ny,yes,yes\n"))[""]
    assert (data.kind, data.labels) == ("categorical", ("no", "yes"))


def test_criteria_are_kept_apart(tmp_path):
    text = "criterion,item,human_1,machine_1\nclear,x,1,2\nright,x,3,3\n"
    found = read_annotations(write(tmp_path, text), scale="1:3")
    assert {name: d.human for name, d in found.items()} == {"clear": ((1,),), "right": ((3,),)}


def test_items_of_one_group_alone_are_left_out_with_a_warning(tmp_path):
    data = read_annotations(write(tmp_path, "item,human_1,machine_1\nx,1,1\ny,2,\nz,,2\n"))[""]
    assert data.items == ("x",)
    assert data.warnings == ("2 items are left out: no label of a person or none of the judge",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs columns"),
        ("item,human_1\n", "no label"),
        ("item,human_1,surprise\nx,1,1\n", "surprise"),
        ("item,machine_1\nx,1\n", "needs columns"),
        ("item,human_1,human_1\nx,1,1\n", "twice"),
        ("item,human_1\nx,1\nx,2\n", "line 3: item 'x' stands twice"),
        ("item,human_1\nx,1,2\n", "line 2"),
        ("item,human_1\n,1\n", "line 2"),
        ("item,source,label\nx,robot,1\n", "line 2"),
        ("item,source,rater,label\nx,human,a,1\nx,human,a,2\n", "labelled item 'x' twice"),
        ('item,human_1\n"x,1\n', "no CSV"),
        ("item,human_1\n" + "".join(f"i{i},word{i}\n" for i in range(60)), "no scale"),
        ("item,human_1\nx,1\ny,900\n", "no scale"),
    ],
)
def test_a_bad_file_gets_one_line_that_says_where(tmp_path, text, said):
    with pytest.raises(WrongUse, match=said) as caught:
        read_annotations(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "labels.csv" in str(caught.value)


@pytest.mark.parametrize(("kind", "scale"), [("ordinal", "1:2"), ("ordinal", "1,2"), ("categorical", "1:2")])
def test_a_label_outside_the_scale_is_refused_before_anything_is_computed(tmp_path, kind, scale):
    with pytest.raises(WrongUse, match=r"item 'y': the label .*3"):
        read_annotations(write(tmp_path, WIDE), kind=kind, scale=scale)


def test_numbers_with_a_point_zero_are_whole_numbers(tmp_path):
    data = read_annotations(write(tmp_path, "item,human_1,machine_1\nx,1.0,2\ny,3.00,\nz,2,2.0\n"))[""]
    assert (data.human, data.kind) == (((1,), (2,)), "ordinal")


@pytest.mark.parametrize("odd", ["n/a", "2.5", "nan"])
def test_an_odd_label_among_numbers_is_a_slip_and_not_a_category(tmp_path, odd):
    path = write(tmp_path, f"item,human_1\nx,1\ny,{odd}\n")
    with pytest.raises(WrongUse, match=f"{odd!r} stands among numbers"):
        read_annotations(path)
    assert read_annotations(path, kind="categorical")[""].labels == tuple(sorted(("1", odd)))


def test_cells_may_hold_commas_and_line_breaks(tmp_path):
    data = read_annotations(write(tmp_path, 'item,human_1,machine_1\n"a, b\nc",yes,no\n'))[""]
    assert data.items == ("a, b\nc",)


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path):
    with pytest.raises(WrongUse) as caught:
        read_annotations(write(tmp_path, "item,human_1\n\x1b[31mx,9\n"), scale="1:5")
    assert "\x1b" not in str(caught.value)


def test_ordinal_words_are_refused(tmp_path):
    with pytest.raises(WrongUse, match="'no' is no whole number"):
        read_annotations(write(tmp_path, "item,human\nx,no\n"), kind="ordinal")


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("x.csv", "none.csv"):
        with pytest.raises(WrongUse, match="cannot be read"):
            read_annotations(tmp_path / name)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"annotations": [], "instances": []}', '{"annotations": [1]}', "[" * 9999]
)
def test_json_of_another_form_is_refused(tmp_path, text):
    with pytest.raises(WrongUse, match=r"labels\.json"):
        read_annotations(write(tmp_path, text, "labels.json"))


def test_the_recipes_of_judge_bench_are_read(test_data):
    """Counts from data/README.md: 52 procedures, six scales from 1 to 6, 15 to 88 people each."""
    found = read_annotations(test_data / "judge" / "recipes_meta_evaluation.json")
    assert list(found) == ["grammar", "fluency", "verbosity", "structure", "success", "overall"]
    for data in found.values():
        assert (len(data.items), data.labels, data.kind) == (52, (1, 2, 3, 4, 5, 6), "ordinal")
        assert {len(row) for row in data.human} == {15, 17, 18, 20, 88}
