"""Ensembles from configuration: members by name, opened once; trained folders checked; the record says who is who."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import tiny_models
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, ConfigDict, StringConstraints

from labwright.config import ROLES, BackendConfig, Config, load_config
from labwright.errors import ConfigInvalid, HashMismatch, ModelMissing
from labwright.lease import compute_lease
from labwright.models.ask import Prompt, ask, choose, score
from labwright.models.calls import CallLog
from labwright.models.topla.recipe import RECIPE, Recipe, model_of, read_recipe
from labwright.models.topla.saved import WEIGHTS, data_hash, save
from labwright.models.topla.scaling import Scaling
from labwright.models.topla.weighted import Clean, fit
from labwright.workflows.backends import Backends, OpenBackends

LABELS = ("yes", "no")
HALVES = {"yes": 0.5, "no": 0.5}


def script(tmp_path, name, **odds) -> BackendConfig:
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps({"rules": [{"match": ".", "probabilities": odds}]}))
    return BackendConfig(kind="scripted", script=str(path))


@pytest.fixture
def tables(tmp_path):
    return {"a": script(tmp_path, "a", yes=0.8, no=0.2), "b": script(tmp_path, "b", yes=0.2, no=0.8)}


def trained(tmp_path, tables, joining="trained network", scalings=None):
    """An ensemble that was taught that `b` is right and `a` wrong."""
    key = np.random.default_rng(0).integers(0, 2, 200)
    scores = np.full((200, 2, 2), np.log(0.2))
    scores[np.arange(200), 0, key] = np.log(0.8)
    scores[np.arange(200), 1, 1 - key] = np.log(0.8)
    folder, digest = tmp_path / "trained", data_hash(scores, key)
    save(fit(scores, key), folder, members=("b", "a"), settings=Clean(), data_sha256=digest)
    Recipe(
        members=("b", "a"),
        models={n: tables[n].script for n in ("a", "b")},
        scalings=scalings or dict.fromkeys("ab", Scaling(slope=1.0, offsets=(0.0, 0.0))),
        weights={"b": 1.0, "a": 3.0},
        labels=LABELS,
        joining=joining,
        questions="q.jsonl",
        chosen_on=200,
        data_sha256=digest,
        scored_by={"diversity": 0.5, "accuracy": 0.5, "size": 0.0},
        cross_validated={},
        excluded={},
    ).write(folder)
    return BackendConfig(kind="topla", model=str(folder))


def answers(backend_or_session, tmp_path):
    return choose(backend_or_session, Prompt("p", "h", "s", "u"), LABELS, fallback=HALVES)


def test_an_ensemble_plays_every_role_and_its_members_are_opened_once(tmp_path, tables):
    config = Config(
        backends={**tables, "all": BackendConfig(kind="topla", members=("a", "b"))},
        roles={**dict.fromkeys(ROLES, "all"), "judge": "a"},
    )
    backends = Backends(config)
    assert backends.by_role["design"].members[0] is backends.by_role["judge"]
    for role in ROLES:
        said = answers(backends.session(role, CallLog(tmp_path / f"{role}.sqlite"), 0), tmp_path)
        assert said.value["yes"] == pytest.approx(0.8 if role == "judge" else 0.5)
    facts = backends.facts()["design"]
    assert (facts["kind"], facts["trained"]) == ("topla", None)
    assert facts["members"] == {n: {"kind": "scripted", "model": tables[n].script} for n in "ab"}


def test_what_changes_an_answer_changes_the_name_that_calls_are_cached_by(tmp_path, tables):
    def model(**more):
        return (
            OpenBackends(Config(backends={**tables, "e": BackendConfig(kind="topla", **more)})).open("e").facts["model"]
        )

    plain = model(members=("a", "b"))
    folder = trained(tmp_path, tables).model
    assert len({plain, model(members=("a", "b"), fuser="b"), model(model=folder)}) == 3
    assert model(members=("a", "b")) == plain


@pytest.mark.parametrize("joining", ["trained network", "linear pool"])
def test_a_trained_folder_brings_members_weights_and_network(tmp_path, tables, joining):
    config = Config(backends={**tables, "e": trained(tmp_path, tables, joining)}, roles=dict.fromkeys(ROLES, "e"))
    backends = Backends(config)
    said = answers(backends.session("design", CallLog(tmp_path / "c.sqlite"), 0), tmp_path)
    assert said.value["no"] > 0.9 if joining == "trained network" else said.value["no"] == pytest.approx(0.35)
    facts = backends.facts()["design"]
    assert (facts["trained"]["members"], facts["trained"]["chosen_on"]) == (["b", "a"], 200)
    json.dumps(facts)


def test_probabilities_of_the_trained_labels_are_set_right_before_they_are_pooled(tmp_path, tables):
    turned = {"a": Scaling(slope=1.0, offsets=(-10.0, 0.0)), "b": Scaling(slope=1.0, offsets=(0.0, 0.0))}
    folder = trained(tmp_path, tables, "linear pool", turned)
    backend = Backends(Config(backends={**tables, "e": folder}, roles=dict.fromkeys(ROLES, "e")))
    session = backend.session("design", CallLog(tmp_path / "c.sqlite"), 0)
    assert answers(session, tmp_path).value["no"] == pytest.approx((3 * 1.0 + 0.8) / 4, abs=1e-3)
    other = choose(session, Prompt("p", "h", "s", "other"), ("no", "yes", "maybe"), fallback=HALVES | {"maybe": 0.0})
    assert other.value["no"] == pytest.approx((3 * 0.2 + 0.8) / 4)


@pytest.mark.parametrize("wrong", [{}, {"a": Scaling(slope=1.0, offsets=(0.0, 0.0, 0.0))}])
def test_a_recipe_without_a_scaling_for_each_member_and_label_is_refused(tmp_path, tables, wrong):
    folder = Path(trained(tmp_path, tables).model)
    path = folder / RECIPE
    held = json.loads(path.read_text())
    held["scalings"] = {"b": held["scalings"]["b"], **{n: s.model_dump() for n, s in wrong.items()}}
    path.write_text(json.dumps(held))
    with pytest.raises(ModelMissing, match="scaling"):
        read_recipe(folder)


def test_a_member_set_or_model_that_differs_from_the_trained_one_is_refused(tmp_path, tables):
    table = trained(tmp_path, tables)
    spare = {**tables, "c": script(tmp_path, "c", yes=1.0)}

    def opened(e, **others):
        return OpenBackends(Config(backends={**spare, **others, "e": e})).open("e")

    assert [m.name for m in opened(table.model_copy(update={"members": ("a", "b")})).members] == ["b", "a"]
    with pytest.raises(ModelMissing, match="trained for b, a, not for a, c"):
        opened(table.model_copy(update={"members": ("a", "c")}))
    with pytest.raises(ModelMissing, match=r"member b is .*c\.json, but .*b\.json was trained on"):
        opened(table, b=spare["c"])
    with pytest.raises(ConfigInvalid, match="fuser c is no member"):
        opened(table.model_copy(update={"fuser": "c"}))


def test_an_ensemble_of_nobody_is_refused(tables):
    with pytest.raises(ConfigInvalid, match=r"\[backends\.e\]: name two or more members"):
        OpenBackends(Config(backends={**tables, "e": BackendConfig(kind="topla", members=("a",))})).open("e")


def test_a_folder_that_holds_no_ensemble_or_another_network_is_refused(tmp_path, tables):
    table = trained(tmp_path, tables)
    config = Config(backends={**tables, "e": table})
    folder = tmp_path / "trained"
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1] + b"!")
    with pytest.raises(HashMismatch):
        OpenBackends(config).open("e")
    whole = json.loads((folder / RECIPE).read_text())
    for wrong, words in (
        ({**whole, "weights": {"a": 1.0}}, "each has a model, a scaling and a weight"),
        ({**whole, "weights": {"a": 1.0, "b": -1.0}}, "greater than 0"),
        ({**whole, "run": "rm"}, "run"),
    ):
        (folder / RECIPE).write_text(json.dumps(wrong))
        with pytest.raises(ModelMissing, match=words):
            OpenBackends(config).open("e")
    (folder / RECIPE).unlink()
    with pytest.raises(ModelMissing, match="no ensemble there"):
        read_recipe(folder)


def test_an_ensemble_with_a_member_on_this_machine_takes_its_lease(tmp_path, tables):
    local = BackendConfig(kind="local", model=str(tiny_models.save(tmp_path / "tiny")))
    config = Config(backends={**tables, "l": local, "e": BackendConfig(kind="topla", members=("a", "l")),
                              "f": BackendConfig(kind="topla", members=("a", "b"))})  # fmt: skip
    opened = OpenBackends(config)
    assert opened.open("e").lease is compute_lease
    assert opened.open("f").lease is not compute_lease
    assert [m.computes_here for m in opened.open("e").chat.members] == [False, True]
    assert model_of(opened.open("l").facts) == opened.open("l").facts["model"]


class Gene(BaseModel):
    model_config = ConfigDict(extra="forbid")
    symbol: Annotated[str, StringConstraints(min_length=2, max_length=6)]
    known: bool


def test_local_members_keep_the_contract_of_every_backend(tmp_path):
    tables = {
        f"l{seed}": BackendConfig(kind="local", model=str(tiny_models.save(tmp_path / str(seed), seed=seed)))
        for seed in (0, 1)
    }
    config = Config(backends={**tables, "e": BackendConfig(kind="topla", members=("l0", "l1"))}, roles={"design": "e"})
    backends = Backends(config, roles=("design",))
    session = backends.session("design", CallLog(tmp_path / "c.sqlite"), 0)
    assert ask(session, Prompt("p", "h", "JSON.", "A gene."), Gene, max_tokens=60).decided_by == "model"
    assert session.log.totals().calls == 1  # valid at the first try, from the drafts and from the fuser
    assert 1 <= score(session, Prompt("p", "h", "s", "u"), fallback=2.5).value <= 5
    assert sum(choose(session, Prompt("p", "h", "s", "u"), LABELS, fallback=HALVES).value.values()) == pytest.approx(1)
    pieces = list(session.chat.stream([HumanMessage("Write.")], max_tokens=6, seed=1))
    assert pieces[-1].response_metadata["ensemble"]["answered"] == ["l0", "l1"]
    assert sum(p.usage_metadata["output_tokens"] for p in pieces if p.usage_metadata) == 18  # two drafts and the fusion


def test_closing_one_ensemble_closes_its_members_also_when_it_cannot_be_opened(tmp_path, tables):
    closed = []

    def open_backends(e):
        made = OpenBackends(Config(backends={**tables, "e": e}))
        for name in ("a", "b"):
            made._opened[name] = replace(made.open(name), close=lambda n=name: closed.append(n))
        return made

    open_backends(BackendConfig(kind="topla", members=("a", "b"))).alone("e").close()
    assert closed == ["a", "b"]
    with pytest.raises(ModelMissing):
        open_backends(trained(tmp_path, {**tables, "b": tables["a"]})).alone("e")
    assert closed == ["a", "b"] * 2


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('kind = "topla"', "needs `members"),
        ('kind = "topla"\nmembers = ["x"]', "two or more distinct"),
        ('kind = "topla"\nmembers = ["x", "x"]', "two or more distinct"),
        ('kind = "topla"\nmembers = ["x", "z"]', "members are not defined: z"),
        ('kind = "topla"\nmembers = ["x", "f"]', "ensembles themselves: f"),
        ('kind = "topla"\nmembers = ["x", "embedded"]\nfuser = "z"', "fuser z is no member"),
        ('kind = "remote"\nmembers = ["x", "embedded"]', "only topla takes"),
        ('kind = "embedded"\nsummary = "s"', "only topla takes"),
        ('kind = "topla"\nmembers = ["x", "embedded"]\nmember_timeout_s = 0', "member_timeout_s"),
    ],
)
def test_tables_that_cannot_be_an_ensemble_are_refused_by_name(tmp_path, table, words):
    path = tmp_path / "labwright.toml"
    path.write_text(
        f'[backends.x]\nkind = "scripted"\nscript = "s"\n[backends.f]\nkind = "topla"\nmembers = ["x", "embedded"]\n'
        f"[backends.e]\n{table}\n"
    )
    with pytest.raises(ConfigInvalid, match=words):
        load_config(path, environment={})
