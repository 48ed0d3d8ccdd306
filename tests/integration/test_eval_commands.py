"""`labwright eval` as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "labwright.cli", "eval"]
WIDE = "item,human_a,human_b,machine_1\n" + "".join(f"i{i},{i % 3 + 1},{i % 2 + 1},{i % 3 + 1}\n" for i in range(12))
PROTOCOL = "# Aim\n\n## Part\n\n1. Load gbsg2 and keep 600 patients.\n2. Fit a model with lifelines at 0.05.\n"


def run(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120
    )


def test_judges_prints_one_document_and_leaves_a_page(tmp_path):
    (tmp_path / "labels.csv").write_text(WIDE)
    done = run("judges", "labels.csv", "--json", "--out", "found", "--resamples", "100", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    [result] = json.loads(done.stdout)["criteria"].values()
    assert [r["name"] for r in result["rows"]][:2] == ["All", "distinct = 1"]
    assert sorted(p.name for p in (tmp_path / "found").iterdir()) == [
        "chart_1.png", "judges.csv", "judges.html", "judges.json",
    ]  # fmt: skip


def test_judges_shows_a_table_with_reasons(tmp_path):
    (tmp_path / "labels.csv").write_text(WIDE)
    done = run("judges", "labels.csv", "--resamples", "0", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "alpha_HM" in done.stdout
    assert "no item is in this stratum" in done.stdout


def test_protocol_gives_scores_and_evidence(tmp_path):
    (tmp_path / "p.md").write_text(PROTOCOL)
    done = run("protocol", "p.md", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["steps"] == 2
    assert found["metrics"]["completeness"]["evidence"]
    assert found["means"]["judged"] is None
    shown = run("protocol", "p.md", folder=tmp_path).stdout
    assert "no step of validation" in shown
    assert "no judge was asked" in shown


def test_protocol_asks_the_judge_of_the_configuration(tmp_path):
    (tmp_path / "p.md").write_text(PROTOCOL)
    (tmp_path / "judge.json").write_text(json.dumps({"rules": [{"match": ".", "probabilities": {"2": 1.0}}]}))
    (tmp_path / "labwright.toml").write_text(
        '[backends.other]\nkind = "remote"\nmodel = "m"\nbase_url = "http://127.0.0.1:9"\n'
        '[backends.strict]\nkind = "scripted"\nscript = "judge.json"\n[roles]\njudge = "strict"\n'
    )
    done = run("protocol", "p.md", "--judge", "--samples", "2", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["means"]["judged"] == 2.0
    assert all(m["judged_samples"] == [2.0, 2.0] for m in found["metrics"].values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("judges", "none.csv"), "none.csv"),
        (("judges", "p.md"), "needs columns"),
        (("judges", "labels.csv", "--scale", "1:2"), "item 'i2'"),
        (("judges", "labels.csv", "--form", "square"), "--form"),
        (("judges", "labels.csv", "--share-bins", "80:20"), "80:20"),
        (("protocol", "none.md"), "none.md"),
        (("protocol", "labels.csv"), "no step"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(tmp_path, arguments, said):
    (tmp_path / "labels.csv").write_text(WIDE)
    (tmp_path / "p.md").write_text(PROTOCOL)
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("labwright: ")
    assert said in line
