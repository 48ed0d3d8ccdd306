"""Rows and figures of masks, on portraits of smooth colours; real photos and recognisers are measured by the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_faces

from labwright.eval.suites.rows import Rows
from labwright.eval.suites.vision_faces import METHODS, Bench, measure
from labwright.eval.suites.vision_figures import figures_of
from labwright.safety.faces.adversaries import TRANSFORMS
from labwright.safety.faces.mask import MaskSettings
from labwright.safety.faces.recognisers import observer


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    first, second, unseen = tiny_faces.team(tmp_path / "cards", 1, 2, 3)
    others = {f"stranger {n}": [tiny_faces.photo(n, 0)] for n in (2, 3)}
    observers = {first.name: observer(first), second.name: observer(second), "dlib": observer(unseen)}
    own = [tiny_faces.photo(1, s) for s in range(3)]
    return Bench(own, others, (first, second), observers, MaskSettings(batch=1, epochs=2, rate=0.01))


def test_every_photo_is_held_out_once_by_every_method_and_adversary(tmp_path: Path, bench: Bench) -> None:
    rows, said = Rows(tmp_path / "r.jsonl"), []
    measure(rows, bench, said.append)
    done = rows.all()
    assert len({r["name"] for r in done if r["kind"] == "faces_photo"}) == 3
    looked_up = [r for r in done if r["kind"] == "faces_lookup"]
    adversaries = {r["adversary"] for r in looked_up if r["method"] == "mask"}
    assert adversaries == {"none", *TRANSFORMS, "one pair leaked", "average of photos"}
    assert len(looked_up) == 3 * 3 * 3 * (len(METHODS) - 1 + len(adversaries))
    assert all(r["protected"] == (r["found"] != "person") for r in looked_up)
    measure(rows, bench, said.append)
    assert rows.all() == done
    assert len(said) == 3 * len(METHODS)


def test_what_was_interrupted_goes_on_and_gives_the_same_rows(tmp_path: Path, bench: Bench) -> None:
    whole, broken = Rows(tmp_path / "whole.jsonl"), Rows(tmp_path / "broken.jsonl")
    measure(whole, bench, lambda text: None, methods=("mask", "noise"))

    def stops(text: str) -> None:
        if text.startswith("noise"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(broken, bench, stops, methods=("mask", "noise"))
    measure(broken, bench, lambda text: None, methods=("mask", "noise"))

    def told(rows: Rows) -> dict[str, float]:
        return {r["name"]: r["likeness"] for r in rows.all() if r["kind"] == "faces_lookup"}

    assert told(broken) == told(whole)


def test_figures_count_look_ups_and_tell_each_outcome(tmp_path: Path, bench: Bench) -> None:
    rows = Rows(tmp_path / "r.jsonl")
    measure(rows, bench, lambda text: None)
    figures = {f["name"]: f for f in figures_of(rows.all(), "raw")}
    assert set(figures) == {
        "mask_ssim", "mask_restore_cosine", "mask_enrol_s", "mask_protect_ms", "mask_whitebox_heldout",
        "mask_blackbox_heldout",
    }  # fmt: skip
    photos = [r for r in rows.all() if r["kind"] == "faces_photo"]
    assert figures["mask_ssim"]["value"] == pytest.approx(min(r["ssim"] for r in photos), abs=1e-4)
    assert figures["mask_restore_cosine"]["value"] == pytest.approx(1, abs=1e-3)
    white, black = figures["mask_whitebox_heldout"], figures["mask_blackbox_heldout"]
    assert (white["n"], black["n"]) == (6, 3)
    counted = [r for r in rows.all() if r["kind"] == "faces_lookup" and r["method"] == "mask" and r["setting"] == 1
               and r["adversary"] == "none"]  # fmt: skip
    assert white["value"] == sum(r["protected"] for r in counted if r["recogniser"] != "dlib")
    for photo in ("1-0.png", "1-1.png", "1-2.png"):
        assert f"{photo} tiny1" in white["note"]
        assert f"{photo} dlib" in black["note"]
    assert "noise" in white["note"]
    assert "one pair leaked" in white["note"]
    assert "one person, each of 3 photos held out, 2 strangers" in white["note"]
    assert figures["mask_enrol_s"]["note"] == "2 epochs, 2 photos, against tiny1 and tiny2"
    assert figures_of([], "raw") == []
