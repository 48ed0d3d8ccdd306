"""`labwright models align`: flags, files, refusals, and what a person sees."""

from __future__ import annotations

import json
import sys

import pytest
import tiny_models

from labwright import cli
from labwright.cli_training import alignment_data, training_config
from labwright.errors import ConfigInvalid, TrainingRefused
from labwright.models.training.config import TrainingConfig


@pytest.fixture
def files(tmp_path):
    base = tiny_models.save(tmp_path / "base", hidden_size=32, intermediate_size=48)
    data = tmp_path / "data.jsonl"
    lines = [{"prompt": f"What is gene {n}?", "answer": f"Gene {n}."} for n in range(12)]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return base, data


def called(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["labwright", "models", "align", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_property_is_trained_into_a_folder(files, tmp_path, monkeypatch, capsys):
    base, data = files
    out = tmp_path / "out"
    common = (
        "--property",
        "honest",
        "--data",
        data,
        "--base",
        base,
        "--out",
        out,
        "--max-steps",
        3,
        "--seed",
        1,
        "--heldout-share",
        0.3,
        "--licence",
        "CC0",
    )
    assert called(monkeypatch, *common, "--json") == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert document == {"folder": str(out), **json.loads((out / "training.json").read_text())}
    assert document["data"]["properties"] == {"honest": document["data"]["examples"]}
    assert document["data"]["heldout"] == 12 - document["data"]["examples"] > 0
    assert (document["data"]["licence"], document["config"]["seed"], document["result"]["steps"]) == ("CC0", 1, 3)
    assert "step 3/3: loss" in shown.err
    assert "tokens/s" in shown.err
    assert called(monkeypatch, *common) == 2
    assert "--resume" in capsys.readouterr().err
    assert called(monkeypatch, *common, "--resume") == 0
    assert "3 steps, loss" in capsys.readouterr().out
    assert called(monkeypatch, *common, "--resume", "--learning-rate", 0.1) == 2
    assert "config.learning_rate: 0.0005 in the checkpoint, 0.1 now" in capsys.readouterr().err


def test_wrong_use_is_one_line(files, tmp_path, monkeypatch, capsys):
    base, data = files
    for arguments, said in (
        (("--property", "kind", "--data", data), "one of helpful, harmless, honest"),
        (("--property", "honest"), "docs/training.md"),
        (("--property", "honest", "--data", tmp_path / "no.jsonl"), "cannot be read"),
        (("--property", "honest", "--data", data, "--template", "latex"), "template"),
        (
            ("--property", "honest", "--data", data, "--heldout", data, "--base", base, "--out", tmp_path / "o"),
            "12 of 12 held-out questions are also trained on",
        ),
    ):
        assert called(monkeypatch, *arguments) == 2
        shown = capsys.readouterr().err
        assert said in shown
        assert "Traceback" not in shown


def test_flags_come_before_the_file_and_the_file_before_the_defaults(tmp_path):
    path = tmp_path / "training.toml"
    path.write_text(
        'epochs = 1.5\nbatch_size = 2\n[lora]\nr = 4\n[[groups]]\npattern = "router"\nlearning_rate = 0.1\n'
    )
    config = training_config(path, {"batch_size": 16, "seed": None})
    assert (config.epochs, config.batch_size, config.seed, config.too_long) == (1.5, 16, 42, "drop")
    assert config.lora is not None
    assert (config.lora.r, config.lora.alpha, config.groups[0].pattern) == (4, 4.0, "router")
    path.write_text("lora = false")
    assert training_config(path, {}).lora is None
    path.write_text("epochs = -1\nrank = 3")
    with pytest.raises(ConfigInvalid, match=r"epochs: .*; rank: "):
        training_config(path, {})
    with pytest.raises(ConfigInvalid, match="cannot be read as TOML"):
        training_config(tmp_path / "no.toml", {})


def test_the_defaults_are_those_of_the_method():
    """H3Fusion's released code: LoRA 8/4/0.1 on the feed-forward layers, 5e-4, 3 epochs, batches of 8, 300 tokens."""
    config = TrainingConfig()
    assert config.lora is not None
    assert (config.lora.r, config.lora.alpha, config.lora.dropout) == (8, 4.0, 0.1)
    assert config.lora.targets == ("gate_proj", "up_proj", "down_proj")
    assert (config.learning_rate, config.epochs, config.batch_size, config.max_tokens) == (5e-4, 3.0, 8, 300)
    assert (config.template, config.stop_marker, config.schedule, config.seed) == ("alpaca", "###END", "linear", 42)
    assert (config.warmup_steps, config.weight_decay) == (0, 0.0)


def test_heldout_is_given_one_way(tmp_path):
    with pytest.raises(TrainingRefused, match="one of them"):
        alignment_data("honest", [tmp_path / "a.jsonl"], tmp_path / "b.jsonl", 0.1, "")
