"""Recipes: what they may say, and the one line for what they may not."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_stacks

from labwright.errors import ConfigInvalid
from labwright.workflows.stacks.estimate import estimate
from labwright.workflows.stacks.recipe import read_recipe


def test_paths_are_those_of_the_recipes_folder_and_names_stay_names(tmp_path: Path) -> None:
    recipe = read_recipe(tiny_stacks.write(tmp_path))
    assert recipe.base == str(tmp_path / "base")
    assert recipe.data.helpful == (str(tmp_path / "helpful.jsonl"),)
    assert (
        read_recipe(tiny_stacks.write(tmp_path, tiny_stacks.RECIPE.replace('base = "base"', ""))).base
        == "smollm2-135m-instruct"
    )


def test_settings_of_a_stage_are_those_of_all_but_what_differs(tmp_path: Path) -> None:
    recipe = read_recipe(tiny_stacks.write(tmp_path, tiny_stacks.RECIPE + "\n[align]\nlearning_rate = 1e-5\n"))
    assert recipe.settings_of("align").learning_rate == 1e-5
    assert recipe.settings_of("tune").learning_rate == 5e-4
    assert {recipe.settings_of(s).template for s in ("align", "tune", "fusion")} == {"none"}
    assert recipe.settings_of("align").max_steps == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("", "\n[data2]\n"), "data2: Extra inputs"),
        (('honest = ["honest.jsonl"]', ""), "honest: no file, so the member honest is missing"),
        (('"honest.jsonl"', '"absent.jsonl"'), r"honest: absent\.jsonl: no such file"),
        (('name = "tiny"', 'name = "a/b"'), "name: String should match"),
        (("[training]", "[training]\nepoch = 2"), "training.epoch: Extra inputs"),
        (("[ensemble]", "[align]\nbatch = 1\n[ensemble]"), r"\[align\]: batch: Extra inputs"),
        (
            ("[ensemble]", '[harden]\nalignment = "antidote"\n[ensemble]'),
            "alignment = 'antidote': one of .*booster.*, none",
        ),
        (("[ensemble]", '[harden]\nafter = "booster"\n[ensemble]'), "after = 'booster': one of antidote, none"),
        (
            ("[ensemble]", '[bases]\nhonest = "qwen2.5-coder-0.5b-instruct"\n[ensemble]'),
            "bases differ, and a fusion needs one base",
        ),
        (("[ensemble]", '[bases]\nkind = "base"\n[ensemble]'), "kind is no member"),
        (('gguf = ""', "fuse = false"), r"\[roles\] reviewer: the part fused is not built"),
        (("[ensemble]", '[roles]\nreviewer = "steered"\n[ensemble]'), "the part steered is not built"),
        (("[ensemble]", '[roles]\npainter = "fused"\n[ensemble]'), "roles.painter"),
        (
            ("[ensemble]", '[steer]\nmodel = "base"\nanchors = "a.jsonl"\nitems = "i.jsonl"\n[ensemble]'),
            r"\[steer\] anchors: a\.jsonl: no such file",
        ),
        (("harmful_share = 0.25", "harmful_share = 0.9"), "harmful_share: Input should be less"),
        (("harmful_share = 0.25", 'harmful = "pairs.json"'), r"harmful: pairs\.json: no such file"),
    ],
)
def test_recipes_that_are_wrong(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    old, new = change
    text = tiny_stacks.RECIPE.replace(old, new) if old else tiny_stacks.RECIPE + new
    path = tiny_stacks.write(tmp_path, text)
    with pytest.raises(ConfigInvalid, match=message) as wrong:
        read_recipe(path)
    assert "\n" not in str(wrong.value)


def test_a_recipe_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("name = ")
    for path in (tmp_path / "r.toml", tmp_path / "absent.toml"):
        with pytest.raises(ConfigInvalid, match="cannot be read as TOML"):
            read_recipe(path)


def test_an_estimate_grows_with_the_model_and_shrinks_with_the_machine(tmp_path: Path) -> None:
    recipe = read_recipe(tiny_stacks.write(tmp_path))
    small, large = estimate(recipe, 135_000_000), estimate(recipe, 7_000_000_000)
    assert large.seconds == pytest.approx(small.seconds * 7000 / 135)
    assert estimate(recipe, 7_000_000_000, peak_tflops=300).seconds < large.seconds / 300
    assert large.disk_gib > 300
    assert {s.name for s in small.steps} >= {"align-helpful", "guard-honest", "tune-harmless", "fused"}
    bare = read_recipe(
        tiny_stacks.write(
            tmp_path,
            tiny_stacks.RECIPE.replace("[ensemble]", '[harden]\nalignment = "none"\nafter = "none"\n[ensemble]'),
        )
    )
    assert estimate(bare, 135_000_000).seconds < small.seconds
    assert estimate(bare, 135_000_000).disk_gib < small.disk_gib
