"""`labwright models fuse` and `merge` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_mixtures import NAMES, write_adapter, write_base
from typer.testing import CliRunner

from labwright.cli import app
from labwright.errors import LabwrightError


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    base = write_base(tmp_path / "base")
    given = ["--base", str(base)]
    for seed, name in enumerate(NAMES):
        given += [f"--{name}", str(write_adapter(tmp_path / name, base, seed))]
    return given


def test_three_adapters_and_mixed_data_make_a_model(sources: list[str], tmp_path: Path) -> None:
    rows = [{"prompt": f"w{e} w{i}", "answer": f"w{9 + e}", "property": n} for i in (4, 5) for e, n in enumerate(NAMES)]
    own = tmp_path / "data.jsonl"
    own.write_text("".join(json.dumps(r) + "\n" for r in rows[:4]))
    honest = tmp_path / "honest.jsonl"
    honest.write_text("".join(json.dumps({**r, "property": ""}) + "\n" for r in rows[5:]))
    done = CliRunner().invoke(
        app,
        ["models", "fuse", *sources, "--data", str(own), "--data", f"honest={honest}", "--out", str(tmp_path / "out"),
         "--max-steps", "1", "--template", "none", "--gamma", "0.1,0,0", "--faithful", "padded_gate", "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["settings"]["gammas"] == [0.1, 0, 0]
    assert record["settings"]["faithful"] == ["padded_gate"]
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (["--honest", ""], "--honest: name an adapter or model"),
        (["--gamma", "a,0,0"], "gammas.0"),
        (["--faithful", "nonsense"], "one of all"),
        (["--shared", "maybe"], "refuse or average"),
        (["--gate-form", "other"], "gate_form"),
        ([], "--data: name files"),
    ],
)
def test_wrong_use_is_one_clear_line(change: list[str], why: str) -> None:
    given = [f"--{name}={name}" for name in NAMES]
    done = CliRunner().invoke(app, ["models", "fuse", *given, *change])
    assert isinstance(done.exception, LabwrightError)
    assert done.exception.exit_code == 2
    assert why in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_merge_from_the_command_line(sources: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["models", "merge", "--method", "ties", *sources, "--out", str(tmp_path / "out"), "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["density"] == 0.2
    again = CliRunner().invoke(app, ["models", "merge", "--method", "ties", *sources, "--out", str(tmp_path / "out")])
    assert "not empty" in str(again.exception)
    one = CliRunner().invoke(app, ["models", "merge", "--method", "ties", "--helpful", "x"])
    assert "two or three" in str(one.exception)
