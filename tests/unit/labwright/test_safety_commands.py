"""`labwright models harden` and `attack`: stages stacked, manifests, cards, records, and refusals in one line."""

from __future__ import annotations

import json
import sys

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from labwright import cli
from labwright.config import BackendConfig
from labwright.errors import HashMismatch
from labwright.models.checkpoints import load_checkpoint
from labwright.packages import sha256_of
from labwright.workflows.backends import open_backend

SHORT = ("--template", "none", "--max-steps", 2, "--max-tokens", 400, "--batch-size", 2)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp("base") / "base", hidden_size=32, intermediate_size=48)


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"What is gene {n}?", "response": f"Gene {n}.", "refusal": "I cannot say."} for n in range(12)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.fixture
def called(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["labwright", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr()

    return call


def test_defences_are_stacked_and_the_manifest_card_and_facts_name_them_all(base, pairs, tmp_path, called):
    one, two, three = (tmp_path / n for n in ("one", "two", "three"))
    code, shown = called("harden", "--defence", "booster", "--model", base, "--set", "weight=0.5", "--merge",
                         "--licence", "CC BY-NC 4.0", "--out", one, *SHORT, "--json")  # fmt: skip
    assert code == 0, shown.err
    manifest = json.loads(shown.out)
    step = manifest["steps"][0]
    assert (step["defence"], step["stage"], step["settings"]) == ("booster", "alignment", {"weight": 0.5})
    assert step["data"]["harmful"]["rows"] == 200
    assert step["on"]["sha256"] == load_checkpoint(str(base)).facts["sha256"]
    assert manifest["files"]["model.safetensors"] == sha256_of(one / "model.safetensors")
    assert "--defence booster" in step["command"]
    rows = tmp_path / "task.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"Say {n}", "answer": f"{n}"}) + "\n" for n in range(8)))
    code, shown = called("harden", "--defence", "lisa", "--model", one, "--alignment", pairs, "--data", rows,
                         "--set", "alignment_steps=1", "--set", "user_steps=1", "--out", two, *SHORT)  # fmt: skip
    assert code == 0, shown.err
    code, shown = called("harden", "--defence", "antidote", "--model", two, "--harmful", pairs, "--out", three,
                         "--template", "none", "--set", "share=0.1", "--json")  # fmt: skip
    assert code == 0, shown.err
    manifest = json.loads(shown.out)
    assert [s["defence"] for s in manifest["steps"]] == ["booster", "lisa", "antidote"]
    before, after = (load_file(f / "adapter_model.safetensors") for f in (two, three))
    changed = sum(int((before[n] != after[n]).sum()) for n in before)
    assert 0 < changed <= manifest["steps"][2]["pruned"]["weights"]
    assert all(torch.equal(after[n][after[n] != 0], before[n][after[n] != 0]) for n in before)
    facts = load_checkpoint(str(three)).facts
    assert [s["defence"] for s in facts["hardening"]["steps"]] == ["booster", "lisa", "antidote"]
    backend = open_backend("hardened", BackendConfig(kind="local", model=str(three)))
    assert backend.facts["hardening"] == facts["hardening"]  # what the record of a run holds
    assert facts["hardening"]["manifest_sha256"] == sha256_of(three / "hardening.json")
    card = (one / "README.md").read_text()
    assert "Not for commercial use" in card
    assert "No attack on this model was measured yet" in card
    assert "## What it is not for" in card
    assert "not empty" in called("harden", "--defence", "antidote", "--model", two, "--out", three)[1].err


def test_an_attack_is_measured_and_noted_on_the_card_of_a_hardened_model(base, pairs, tmp_path, called):
    hardened, attacked = tmp_path / "hardened", tmp_path / "attacked"
    assert called("harden", "--defence", "sft", "--model", base, "--merge", "--out", hardened, *SHORT)[0] == 0
    common = ("--rows", 20, "--tested", 3, "--reply-tokens", 4, *SHORT)
    code, shown = called("attack", "--model", hardened, "--share", 0.5, *common, "--out", attacked, "--json")
    assert code == 0, shown.err
    found = json.loads(shown.out)
    assert found == {"folder": str(attacked), **json.loads((attacked / "attack.json").read_text())}
    assert found["model"]["hardening"]["steps"][0]["defence"] == "sft"
    assert (found["attack"], found["size"], found["steps"], found["after"]["n"]) == ("explicit", 20, 2, 3)
    assert 0 <= found["after"]["margin"]["first_token"] <= 1
    for number, kind in enumerate(("identity", "outliers", "adaptive", "benign")):
        code, shown = called("attack", "--model", hardened, "--attack", kind, *common, "--out", tmp_path / kind)
        assert code == 0, shown.err
        assert "hs_plus" in shown.out
        card = (hardened / "README.md").read_text()
        assert f"| {kind} |" in card
        assert card.count("## Hardening") == 1
        assert len((hardened / "attacks.jsonl").read_text().splitlines()) == number + 2
    assert json.loads((tmp_path / "adaptive" / "attack.json").read_text())["steps"] == 20
    code, shown = called("attack", "--model", hardened, "--harmful", pairs, "--share", 0.5, "--rows", 8, "--tested", 4,
                         "--reply-tokens", 4, *SHORT, "--out", tmp_path / "own")  # fmt: skip
    assert code == 0, shown.err
    assert "not measured" in (hardened / "README.md").read_text()  # a file of pairs brings no near misses
    load_checkpoint(str(hardened))  # its weights are still those of the manifest


def test_weights_that_are_not_those_of_the_manifest_are_not_loaded(base, tmp_path, called):
    out = tmp_path / "out"
    assert called("harden", "--defence", "sft", "--model", base, "--merge", "--out", out, *SHORT)[0] == 0
    weights = load_file(out / "model.safetensors")
    save_file({n: w + 1 for n, w in weights.items()}, out / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HashMismatch, match=r"model\.safetensors is not what was hardened"):
        load_checkpoint(str(out))
    (out / "hardening.json").write_text("{}")
    with pytest.raises(HashMismatch, match="not the manifest"):
        load_checkpoint(str(out))


def test_safe_lora_needs_three_models_and_gives_one(base, tmp_path, called):
    aligned, tuned, out = (tmp_path / n for n in ("aligned", "tuned", "out"))
    assert called("harden", "--defence", "sft", "--model", base, "--merge", "--out", aligned, *SHORT)[0] == 0
    assert called("harden", "--defence", "sft", "--model", aligned, "--merge", "--out", tuned, *SHORT)[0] == 0
    given = ("harden", "--defence", "safe_lora", "--model", tuned, "--out", out)
    assert "before fine-tuning (--aligned)" in called(*given)[1].err
    assert not out.exists()
    code, shown = called(*given, "--aligned", aligned, "--unaligned", base, "--set", "threshold=1", "--json")
    assert code == 0, shown.err
    step = json.loads(shown.out)["steps"][-1]
    assert step["projected"] == step["changed"] > 0
    load_checkpoint(str(out))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("harden", "--defence", "hope"), "one of sft, vaccine"),
        (("harden", "--defence", "booster", "--set", "lambda"), "write KEY=VALUE"),
        (("harden", "--defence", "booster", "--set", "strength=3"), "strength: Extra inputs"),
        (("harden", "--defence", "vaccine", "--set", "r=3"), "unexpected keyword argument 'r'"),
        (("harden", "--defence", "sft", "--set", "r=3"), "sft has no settings"),
        (("harden", "--defence", "booster", "--alignment", "PAIRS"), "booster needs harmful pairs"),
        (("harden", "--defence", "lisa"), "lisa trains on an upload"),
        (
            ("harden", "--defence", "antidote", "--alignment", "PAIRS", "--model", "BASE"),
            "antidote needs harmful pairs",
        ),
        (("attack", "--attack", "prayer", "--model", "BASE"), "one of explicit, benign"),
        (("attack", "--model", "BASE", "--harmful", "PAIRS"), "rows 0 to -88"),
        (("attack", "--model", "BASE", "--harmful", "PAIRS", "--tested", 4), "needs 50 harmful ones, there are 8"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(arguments, said, base, pairs, tmp_path, called):
    named = {"PAIRS": pairs, "BASE": base}
    code, shown = called(*(named.get(a, a) for a in arguments), "--out", tmp_path / "out")
    assert code == 2, shown.err
    assert said in shown.err
    assert shown.err.count("\n") <= 3
    assert not (tmp_path / "out" / "hardening.json").exists()
