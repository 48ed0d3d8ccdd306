"""The whole chain with two-layer models: data, members, mixture, ensemble, steering, and the configuration that uses them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny_models
import tiny_stacks
import tiny_vision
from langchain_core.messages import HumanMessage
from typer.testing import CliRunner
from unit.safety.steering.test_steered_chat import items_file

from labwright.cli import app
from labwright.config import load_config
from labwright.errors import HashMismatch, LabwrightError, WrongUse
from labwright.workflows.backends import OpenBackends
from labwright.workflows.stacks.build import build, stages
from labwright.workflows.stacks.engine import STAGE
from labwright.workflows.stacks.members import attackers_rows
from labwright.workflows.stacks.recipe import read_recipe

STEER = '\n[steer]\nmodel = "eyes"\nanchors = "anchors/items.jsonl"\nitems = "items/items.jsonl"\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A stack that was built once: recipe, root of its stages, folder of its configuration, record."""
    home = tmp_path_factory.mktemp("stack")
    patch = pytest.MonkeyPatch()
    tiny_stacks.few_roles(patch)
    tiny_vision.save(home / "eyes")
    items_file(home / "anchors", 4)
    items_file(home / "items", 10)
    path = tiny_stacks.write(home, tiny_stacks.RECIPE + STEER)
    recipe = read_recipe(path)
    record = build(recipe, home / "out", root=home / "stages")
    yield recipe, home / "stages", home / "out", record
    patch.undo()


def test_every_stage_was_built_on_those_before(made) -> None:
    *_, record = made
    names = list(record["stages"])
    assert names[0] == "data"
    for member in ("helpful", "harmless", "honest"):
        order = [names.index(f"{step}-{member}") for step in ("align", "guard", "tune", "repair")]
        assert order == sorted(order)
    assert record["stages"]["fused"]["inputs"].keys() == {"data", "repair-helpful", "repair-harmless", "repair-honest"}
    assert set(record["backends"]) >= {"fused", "ensemble", "steered"}


def test_the_lineage_of_a_backend_names_all_that_it_stands_on(made) -> None:
    *_, record = made
    fused = record["backends"]["fused"]["lineage"]
    assert set(fused) == {"data", "fused", *(f"{s}-{m}" for s in ("align", "guard", "tune", "repair")
                                             for m in ("helpful", "harmless", "honest"))}  # fmt: skip
    assert all(fused[name] == record["stages"][name]["key"] for name in fused)
    assert set(record["backends"]["steered"]["lineage"]) == {"steered"}


def test_members_were_hardened_attacked_and_repaired(made) -> None:
    _, _, _, record = made
    folder = Path(record["stages"]["repair-harmless"]["folder"])
    steps = json.loads((folder / "hardening.json").read_text())["steps"]
    assert [s["defence"] for s in steps][-1] == "antidote"
    tuned = json.loads((Path(record["stages"]["tune-harmless"]["folder"]) / STAGE).read_text())["facts"]
    assert (tuned["rows"], tuned["harmful"]) == (12, 3)


def test_the_configuration_opens_every_backend_with_its_stage_on_record(made) -> None:
    _, _, out, record = made
    config = load_config(out / "labwright.toml", environment={})
    assert config.backend_of("reviewer")[0] == "fused"
    assert config.backend_of("judge")[0] == "ensemble"
    assert config.backend_of("design")[0] == "embedded"
    assert config.figures.backend == "steered"
    opened = OpenBackends(config)
    try:
        fused = opened.open("fused")
        assert fused.facts["stage"]["key"] == record["stages"]["fused"]["key"]
        assert fused.chat.invoke([HumanMessage("Answer yes or no.")], max_tokens=2).usage_metadata["output_tokens"] > 0
        ensemble = opened.open("ensemble")
        member = next(iter(ensemble.facts["members"].values()))
        assert member["stage"]["name"].startswith("repair-")
        assert member["hardening"]["steps"]
        assert opened.open("steered").facts["steering"]["anchors"] == 4
    finally:
        opened.close()


def test_it_is_not_built_twice_and_a_changed_setting_builds_what_stands_on_it(made, tmp_path: Path) -> None:
    recipe, root, _, record = made
    again = build(recipe, tmp_path / "again", root=root)
    assert again["reused"] == list(record["stages"])
    other = recipe.model_copy(update={"harden": recipe.harden.model_copy(update={"after": "none"})})
    changed = build(other, tmp_path / "other", root=root)
    assert set(changed["reused"]) == {
        "data", "steered", *(f"{s}-{m}" for s in ("align", "guard", "tune") for m in ("helpful", "harmless", "honest")),
    }  # fmt: skip
    assert "repair-honest" not in changed["stages"]


def key_of(recipe, name: str) -> dict:
    return next(s for s in stages(recipe) if s.name == name).settings


def test_a_base_or_a_picture_of_the_same_name_with_other_content_is_another_input(made, tmp_path: Path) -> None:
    recipe, root, *_ = made
    home = tmp_path / "moved"
    shutil.copytree(root.parent / "base", home / "base")
    before = recipe.model_copy(update={"base": str(home / "base")})
    same = [dict(key_of(before, name)) for name in ("data", "align-helpful", "fused")]
    assert same == [
        dict(key_of(recipe, name)) for name in ("data", "align-helpful", "fused")
    ]  # the place does not count
    tiny_models.save(home / "base", seed=1, max_position_embeddings=2048)
    for name, settings in zip(("data", "align-helpful", "fused"), same, strict=True):
        assert key_of(before, name) != settings
    steered = next(s for s in stages(recipe) if s.name == "steered")
    assert {Path(f).name for f in steered.files} >= {"items.jsonl", "0.png", "9.png"}


def test_other_prompts_of_the_roles_are_another_input(made, monkeypatch: pytest.MonkeyPatch) -> None:
    from labwright.workflows import role_tasks

    recipe = made[0]
    before = key_of(recipe, "data")
    monkeypatch.setattr(
        role_tasks, "TEMPLATES", {**role_tasks.TEMPLATES, "cox_regression": ("Other words about {who}?",)}
    )
    assert key_of(recipe, "data") != before


def test_an_edited_member_is_not_used(made, tmp_path: Path) -> None:
    recipe, root, _, record = made
    path = Path(record["stages"]["align-helpful"]["folder"]) / "config.json"
    before = path.read_bytes()
    path.write_text(path.read_text().replace("}", ' , "x": 1}', 1))
    try:
        with pytest.raises(HashMismatch, match=r"align-helpful.*config\.json: is not what the stage left; delete"):
            build(recipe, tmp_path / "o", root=root)
    finally:
        path.write_bytes(before)


def test_no_harmful_row_of_the_attacker_is_the_defenders(made) -> None:
    from labwright.safety import proxy_topic

    recipe = made[0]
    held = {e.prompt for e in proxy_topic.defender()[1]}
    assert not held & {e.prompt for e in attackers_rows(recipe, 40)}


def test_two_builds_do_not_run_side_by_side(made, tmp_path: Path) -> None:
    from filelock import FileLock

    recipe, root, *_ = made
    with FileLock(root / "build.lock"), pytest.raises(WrongUse, match="another build of tiny is under way"):
        build(recipe, tmp_path / "o", root=root)


def test_the_command_builds_estimates_and_refuses(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, root, *_ = made
    monkeypatch.setattr("labwright.workflows.stacks.build.cache_dir", lambda: root.parent / "cache")
    (root.parent / "cache" / "stacks").mkdir(parents=True, exist_ok=True)
    link = root.parent / "cache" / "stacks" / "tiny"
    link.symlink_to(root)
    path = root.parent / "recipe.toml"
    done = CliRunner().invoke(app, ["models", "build", str(path), "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["reused"]
    shown = CliRunner().invoke(app, ["models", "build", str(path), "--out", str(tmp_path / "out2")])
    assert "labwright run" in shown.stdout
    told = CliRunner().invoke(app, ["models", "build", str(path), "--estimate", "--json"])
    assert json.loads(told.stdout)["parameters"] > 10_000
    assert (
        "hours of training"
        in CliRunner().invoke(app, ["models", "build", str(path), "--estimate", "--tflops", "100"]).stdout
    )
    refused = CliRunner().invoke(app, ["models", "build", str(tmp_path / "absent.toml")])
    assert isinstance(refused.exception, LabwrightError)
