"""From configuration to sessions: each backend is opened once, and every role gets the one that it names."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import tiny_models
from pydantic import BaseModel

from labwright.config import ROLES, BackendConfig, Config
from labwright.errors import ConfigInvalid, KeyMissing
from labwright.lease import compute_lease
from labwright.models.ask import Prices, Prompt, ask
from labwright.models.calls import CallLog
from labwright.models.checkpoints import fingerprint
from labwright.models.scripted import ScriptedChat
from labwright.workflows.backends import REPEAT_PENALTY, Backend, Backends, open_backend
from labwright.workflows.baselines import WORKFLOWS, played


class Answer(BaseModel):
    """What the scripts below answer."""

    who: str


def script(folder: Path, who: str) -> BackendConfig:
    path = folder / f"{who}.json"
    path.write_text(json.dumps({"rules": [{"match": ".", "reply": {"who": who}}]}))
    return BackendConfig(kind="scripted", script=str(path))


def who_answers(backends: Backends, role: str, tmp_path: Path) -> str:
    session = backends.session(role, CallLog(tmp_path / f"{role}.sqlite"), 0)
    return ask(session, Prompt("p", "h", "system", f"who are you, {role}"), Answer).value.who


def test_every_role_is_played_by_the_backend_that_it_names(tmp_path):
    config = Config(
        backends={"small": script(tmp_path, "small"), "large": script(tmp_path, "large")},
        roles={"reviewer": "large", "programming": "large"},
    )
    backends = Backends(config)
    played = {role: who_answers(backends, role, tmp_path) for role in ROLES}
    assert played == {role: "large" if role in ("reviewer", "programming") else "small" for role in ROLES}
    # The first table is the default; a backend that several roles name is one backend.
    assert backends.by_role["search"] is backends.by_role["design"]
    assert backends.by_role["reviewer"] is backends.by_role["programming"]


def test_a_backend_that_no_role_names_is_not_opened(tmp_path):
    absent = BackendConfig(kind="scripted", script=str(tmp_path / "absent.json"))
    backends = Backends(Config(backends={"used": script(tmp_path, "used"), "spare": absent}))
    assert {b.name for b in backends.by_role.values()} == {"used"}


def test_the_record_says_who_played_what(tmp_path):
    table = script(tmp_path, "small")
    facts = Backends(Config(backends={"small": table})).facts()
    assert set(facts) == set(ROLES)
    assert facts["design"] == {"name": "small", "kind": "scripted", "model": table.script}


def test_a_session_carries_prices_seed_and_trust(tmp_path):
    table = script(tmp_path, "paid").model_copy(
        update={"writes_code": True, "usd_per_million_prompt": 2.5, "usd_per_million_generated": 10.0}
    )
    log = CallLog(tmp_path / "c.sqlite")
    session = Backends(Config(backends={"paid": table})).session("programming", log, 7)
    assert (session.role, session.backend, session.seed) == ("programming", f"paid:{table.script}", 7)
    assert (session.prices, session.writes_code, session.log) == (Prices(2.5, 10.0), True, log)
    ask(session, Prompt("p", "h", "one", "two three"), Answer)
    # The script counts words: 3 of the prompt, 2 of the reply {"who": "paid"}: (3 * 2.5 + 2 * 10) / 1e6.
    assert log.totals().usd == pytest.approx(27.5e-6)


def test_two_backends_never_share_a_cached_call(tmp_path):
    config = Config(
        backends={"a": script(tmp_path, "a"), "b": script(tmp_path, "b")}, roles={"design": "a", "reviewer": "b"}
    )
    backends, log = Backends(config), CallLog(tmp_path / "c.sqlite")
    prompt = Prompt("p", "h", "s", "u")
    said = [ask(backends.session(role, log, 0), prompt, Answer).value.who for role in ("design", "reviewer")]
    assert said == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "lease"),
    [
        ("embedded", compute_lease),
        ("local", compute_lease),
        ("h3fusion", compute_lease),
        ("remote", nullcontext),
        ("scripted", nullcontext),
    ],
)
def test_only_generation_on_this_machine_takes_the_compute_lease(kind, lease):
    backend = Backend("x", BackendConfig(kind=kind), ScriptedChat(), {}, lambda: None)
    assert backend.lease is lease


def test_a_remote_backend_is_named_with_its_address_and_needs_its_key(monkeypatch):
    table = BackendConfig(kind="remote", model="m", base_url="http://127.0.0.1:9/v1", api_key_env="TOY_KEY")
    with pytest.raises(KeyMissing, match=r"\[backends\.far\]: set TOY_KEY"):
        open_backend("far", table)
    monkeypatch.setenv("TOY_KEY", "sesame")
    backend = open_backend("far", table)
    assert backend.facts == {"kind": "remote", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    assert "sesame" not in repr(backend)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"kind": "remote"}, r"\[backends\.x\]: a remote backend needs `model = \.\.\.`"),
        ({"kind": "local"}, r"\[backends\.x\]: a local backend needs `model = \.\.\.`"),
        ({"kind": "h3fusion"}, r"\[backends\.x\]: a h3fusion backend needs `model = \.\.\.`"),
        ({"kind": "scripted"}, "not a script of model replies"),
        ({"kind": "scripted", "script": "/nowhere/at/all.json"}, "not a script of model replies"),
    ],
)
def test_a_table_that_cannot_work_is_refused_by_name(table, error):
    with pytest.raises(ConfigInvalid, match=error):
        open_backend("x", BackendConfig(**table))


def test_a_local_backend_says_what_it_loaded_and_a_mixture_its_experts(tmp_path):
    dense = tiny_models.save(tmp_path / "dense")
    mixture = tiny_models.save(tmp_path / "mixture", "mixtral")
    backend = open_backend("x", BackendConfig(kind="local", model=str(dense), dtype="bfloat16", context_tokens=1024))
    assert (backend.facts["kind"], backend.facts["dtype"]) == ("local", "bfloat16")
    assert backend.facts["sha256"] == fingerprint(dense)
    assert backend.chat.decoder.repetition_penalty == REPEAT_PENALTY
    fused = open_backend("x", BackendConfig(kind="h3fusion", model=str(mixture)))
    assert (fused.facts["experts"], fused.facts["top_k"]) == (3, 2)
    with pytest.raises(ConfigInvalid, match="is no mixture of experts"):
        open_backend("x", BackendConfig(kind="h3fusion", model=str(dense)))


def test_a_broken_backend_of_any_role_is_refused_before_the_run(tmp_path):
    config = Config(
        backends={"good": script(tmp_path, "good"), "bad": BackendConfig(kind="remote", model="m", api_key_env="TOY")},
        roles={"judge": "bad"},
    )
    with pytest.raises(KeyMissing):
        Backends(config)
    assert Backends(config.model_copy(update={"roles": {}})).by_role["judge"].name == "good"


def test_closing_closes_each_backend_once(tmp_path):
    closed: list[str] = []
    backends = Backends(Config(backends={"a": script(tmp_path, "a")}))
    for name in ("a", "b"):
        backends._open._opened[name] = Backend(
            name, BackendConfig(kind="scripted"), ScriptedChat(), {}, lambda n=name: closed.append(n)
        )
    backends.close()
    assert closed == ["a", "b"]


def test_the_baseline_plays_every_role_without_a_model():
    assert played("rules_only", {"design": "somebody"}) == dict.fromkeys(ROLES)


def test_only_the_reviewer_leaves_the_workflow_without_one():
    everybody = {role: role for role in ROLES}
    assert played("no_reviewer", everybody) == {**everybody, "reviewer": None}
    for workflow in set(WORKFLOWS) - {"no_reviewer", "rules_only"}:
        assert played(workflow, everybody) == everybody
