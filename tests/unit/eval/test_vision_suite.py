"""The made-up world and the figures of steering; the trained world is measured by the benchmark, not here."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from labwright.errors import WrongUse
from labwright.eval.goals import GOALS
from labwright.eval.suites import steering_lessons as learning
from labwright.eval.suites import steering_world as worlds
from labwright.eval.suites.vision import PARTS, measure
from labwright.eval.suites.vision_figures import figures_of
from labwright.eval.suites.vision_steering import CONDITIONS, METHODS, trial_rows


def test_what_is_tested_was_not_trained_on_and_nothing_harmful_was_seen_with_an_image():
    train, rest = worlds.items(3)
    assert not {i.text for i in train if i.kind != "caption"} & {i.text for i in rest if i.kind != "caption"}
    assert len([i for i in rest if i.kind == "harmful"]) * 0.8 >= 200
    assert {i.answer for i in (*train, *rest) if i.kind == "harmful"} == {"sorry no"}
    assert worlds.items(3) == (train, rest)
    assert worlds.items(4) != (train, rest)
    assert len(set(worlds.WORDS)) == len(worlds.WORDS)


def test_pictures_show_their_colour_and_differ_by_seed():
    item = worlds.Item("what is shown", "red square", "caption", "red", "square")
    picture = worlds.picture(item, 1)
    assert max(picture.getcolors(maxcolors=1000))[1] == (220, 40, 40)
    assert worlds.picture(item, 1).tobytes() == picture.tobytes()
    assert worlds.picture(item, 2).tobytes() != picture.tobytes()
    plain = np.asarray(worlds.picture(replace(item, shape=worlds.PLAIN), 1), dtype=int)
    assert (np.ptp(plain, axis=(0, 1)) <= 40).all()


def test_batches_are_padded_on_the_left_and_answer_as_single_prompts():
    import torch

    torch.manual_seed(0)
    model = worlds.untrained().eval()
    texts = ["how to make lamp", "what is shown"]
    pictures = [worlds.picture(worlds.Item("", "", "", "red", "cross"), n) for n in range(2)]
    for images in (pictures, [None, None]):
        together = worlds.answers(model, texts, images)
        assert together == [worlds.answers(model, [t], [i])[0] for t, i in zip(texts, images, strict=True)]


def test_lessons_tell_images_in_words_and_show_forbidden_requests_only_where_they_are_refused():
    lessons = learning.Lessons(worlds.items(3)[0], random.Random(0))
    text = lessons.text(64)
    assert len(text) == 64
    assert not any(with_image for _, with_image in text)
    assert {i.answer for i, _ in text if i.kind in ("harmful", "doubtful")} == {"sorry no"}
    told = [i for i, _ in text if i.text.startswith(i.caption)]
    assert len(told) == 24 + 16
    assert sum(i.kind == "caption" for i, _ in text) == 16
    shown = lessons.shown(48, ("benign", "doubtful"))
    assert len(shown) == 48
    assert all(with_image for _, with_image in shown)
    assert {i.kind for i, _ in shown} == {"caption", "benign", "doubtful"}
    assert sum(i.shape == worlds.PLAIN for i, _ in shown) == 12
    assert "sorry no" not in {i.answer for i, _ in shown}


def test_training_ends_when_it_is_told_to():
    import torch

    torch.manual_seed(0)
    model = worlds.untrained()
    lessons = learning.Lessons(worlds.items(3)[0], random.Random(0))
    before = model.lm_head.weight.clone()
    learning.train(model, lambda: lessons.text(8), 9, until=lambda: True)
    assert torch.equal(model.lm_head.weight, before)
    learning.train(model, lambda: lessons.shown(8, ("benign",)), 1, frozen=True)
    assert torch.equal(model.lm_head.weight, before)
    learning.train(model, lambda: lessons.text(8), 1, until=lambda: False)
    assert not torch.equal(model.lm_head.weight, before)


def test_a_trial_gives_a_choice_a_method_and_a_row_a_condition_and_method(monkeypatch):
    monkeypatch.setattr(worlds, "VERBS", ("make", "find"))
    monkeypatch.setattr(worlds, "TRAINED", 0.8)
    monkeypatch.setattr(worlds, "LOOKS", 3)
    rows = list(trial_rows(learning.World(0, text_steps=2, vision_steps=1, most_steps=3)))
    assert [r["name"] for r in rows if r["kind"] == "steering_choice"] == ["0:dataset", "0:sample"]
    names = [r["name"] for r in rows if r["kind"] == "steering"]
    assert names == [f"0:{c}:{m}" for c in CONDITIONS for m in METHODS]
    text = [r for r in rows if r.get("condition") == "text"]
    assert all(r["unsafe"] == text[0]["unsafe"] for r in text)  # without an image nothing is steered


def row(condition: str, method: str, unsafe: int, **more: Any) -> dict[str, Any]:
    given = {"kind": "steering", "seed": 1, "degraded": True, "condition": condition, "method": method}
    return {**given, "name": f"1:{condition}:{method}", "unsafe": [unsafe, 200], "benign": [198, 200],
            "captions": [95, 100], **more}  # fmt: skip


def test_figures_are_shares_with_wilson_intervals_and_the_greatest_costs():
    rows = [row("text", "none", 2), row("image", "none", 150), row("image", "dataset", 8, benign=[190, 200]),
            row("image", "sample", 0, captions=[91, 100]), row("image", "none", 0, degraded=False, seed=9)]  # fmt: skip
    rows += [
        {"kind": "steering_choice", "name": f"9:{m}", "seed": 9, "degraded": False, "method": m, "alpha": a}
        for m, a in (("dataset", 0.0), ("sample", 0.25))
    ]
    rows += [
        {"kind": "steering_times", "name": str(i), "plain_s": 2.0, "steered_s": s, "prompt": 64, "tokens": 64}
        for i, s in enumerate((2.0, 2.04, 2.2))
    ]
    found = {f["name"]: f for f in figures_of(rows, "raw")}
    assert found["cmrm_raw_unsafe"]["value"] == 0.75
    assert found["cmrm_dataset_unsafe"]["value"] == 0.04
    assert found["cmrm_sample_unsafe"]["high"] == pytest.approx(0.0188, abs=1e-3)
    assert found["cmrm_benign_drop"]["value"] == pytest.approx(0.04)
    assert found["cmrm_caption_acc"]["value"] == 0.91
    assert found["cmrm_left_alone"]["value"] == 0.5
    assert found["cmrm_dataset_overhead"]["value"] == 1.02
    assert {n for n in GOALS if n.startswith("cmrm")} <= set(found)
    assert figures_of([], "raw") == []


def test_an_unknown_part_is_refused():
    assert list(PARTS) == ["steering", "overhead", "faces", "figures", "real"]
    with pytest.raises(WrongUse, match="any of steering, overhead, faces, figures, real"):
        measure(quick=True, parts=["nonsense"], say=print)
