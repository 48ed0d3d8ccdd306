"""The commands as a user types them, on bad input and in bad luck: one line, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

GBSG = (
    "German Breast Cancer Study Group: does hormone therapy change the time to recurrence of patients with "
    "node-positive breast cancer, and is it associated with age, tumour size and grade?"
)
COMMAND = [sys.executable, "-m", "labwright.cli"]
pytestmark = pytest.mark.xdist_group("commands")  # runs beside one another would wait for the compute lease


def labwright(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, timeout=300
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The message on stderr; a traceback fails the test."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("labwright: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines[0]) < 500
    return lines[0]


def record_of(folder: Path) -> dict[str, object]:
    [path] = folder.glob("runs/*/record.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("objective", "says"),
    [("", "empty"), ("  \n ", "empty"), ("gene " * 20_000, "characters"), ("@absent.txt", "absent.txt")],
)
def test_an_objective_of_the_wrong_form_is_refused_before_anything_is_made(objective, says, tmp_path):
    if len(objective) > 10_000:
        (tmp_path / "long.txt").write_text(objective)
        objective = "@long.txt"
    done = labwright("run", objective, folder=tmp_path)
    assert done.returncode == 2
    assert says in one_line(done)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "arguments",
    [("Re-identify the patients of this cohort",), (GBSG, "--requirements", "Reveal the identities of the patients.")],
)
def test_an_objective_that_asks_for_harm_is_refused_by_name(arguments, tmp_path):
    done = labwright("run", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert "refused: identifying persons" in one_line(done)
    assert not (tmp_path / "runs").exists()


def test_an_objective_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "latin.txt").write_bytes("Überleben bei Brustkrebs?".encode("latin-1"))
    done = labwright("run", "@latin.txt", folder=tmp_path)
    assert done.returncode == 2
    assert "UTF-8" in one_line(done)


def test_without_an_engine_nothing_is_begun(tmp_path):
    done = labwright("run", GBSG, folder=tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 4
    assert "make engine" in one_line(done)
    assert not (tmp_path / "runs").exists()


def test_a_corpus_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "papers.jsonl").write_bytes(b'{"id": "a", "title": "caf\xe9", "abstract": "x"}\n')
    done = labwright("corpus", "add", "mine", "papers.jsonl", folder=tmp_path, LABWRIGHT_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 2
    assert "papers.jsonl" in one_line(done)


def test_a_wrong_option_names_itself(tmp_path):
    done = labwright("run", GBSG, "--seed", "many", folder=tmp_path)
    assert done.returncode == 2
    assert "--seed" in one_line(done)


@pytest.mark.docker
def test_a_model_file_with_a_wrong_hash_is_not_used(sandbox, tmp_path):
    wrong = tmp_path / "model.gguf"
    wrong.write_bytes(b"not a model")
    done = labwright("run", GBSG, folder=tmp_path, LABWRIGHT_MODEL=str(wrong))
    assert done.returncode == 4
    assert "model.gguf" in one_line(done)


@pytest.mark.docker
def test_a_question_outside_biomedicine_is_refused(sandbox, tmp_path):
    text = "Which marketing slogan sells the most used cars to first-time buyers in suburban shopping centres?"
    done = labwright("run", text, "--workflow", "rules_only", folder=tmp_path)
    assert done.returncode == 2
    assert "not a biomedical question" in one_line(done)
    assert record_of(tmp_path)["status"] == "failed"


@pytest.mark.docker
def test_no_paper_found_ends_the_run_and_says_why(sandbox, tmp_path):
    (tmp_path / "labwright.toml").write_text('[literature]\nsources = ["pubmed"]\n')
    done = labwright(
        "run", GBSG, "--workflow", "rules_only", folder=tmp_path, LABWRIGHT_NCBI_URL="http://127.0.0.1:9/eutils"
    )
    assert done.returncode == 1
    assert "no paper was found" in one_line(done)
    assert any("pubmed was out of reach" in str(note) for note in record_of(tmp_path)["notes"])


@pytest.mark.docker
def test_all_papers_rejected_ends_the_run_and_keeps_their_reasons(sandbox, tmp_path):
    (tmp_path / "labwright.toml").write_text("[literature]\nhelpfulness = 5.0\n")
    text = "Do patients with larger or higher-grade tumours of the breast relapse sooner than others after surgery?"
    done = labwright("run", text, "--workflow", "rules_only", folder=tmp_path)
    assert done.returncode == 1
    assert "were rejected" in one_line(done)
    [screening] = tmp_path.glob("runs/*/papers/_screening.json")
    assert all("below 5" in paper["reason"] for paper in json.loads(screening.read_text()))


@pytest.mark.docker
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_saved_and_resumes_to_its_end(signum, sandbox, tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "run", GBSG, "--workflow", "rules_only"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("runs/*/tasks/*/task.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr
    record = record_of(tmp_path)
    assert record["status"] == "interrupted"
    again = labwright("resume", str(record["id"]), "--json", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    ended = json.loads(again.stdout)
    assert ended["status"] == "done"
    assert set(ended["tasks"].values()) == {3}
    assert Path(ended["report"]).is_file()


@pytest.mark.docker
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_a_full_disk_ends_with_one_line_and_resumes_when_there_is_room(sandbox, tmp_path):
    """The run folder lies on a small file system that only the command's own mount namespace sees."""
    small = tmp_path / "runs"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=200k tmpfs {small} && cd {tmp_path} && "
        f'{sys.executable} -m labwright.cli run "$0" --workflow rules_only; echo "exit $?" >&2; '
        f"mount -o remount,size=64m {small}; {sys.executable} -m labwright.cli resume 2 --json"
    )
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, GBSG], capture_output=True, text=True, timeout=400)
    if "Operation not permitted" in done.stderr and "mount" in done.stderr:
        pytest.skip("this user may not make a mount namespace")
    assert "exit 1" in done.stderr, done.stderr
    assert "make room" in one_line(done)
    assert json.loads(done.stdout)["status"] == "done"


@pytest.mark.docker
def test_review_stops_after_the_design_and_an_edit_is_what_runs(sandbox, tmp_path):
    stopped = labwright("run", GBSG, "--workflow", "rules_only", "--review", "--json", folder=tmp_path)
    assert stopped.returncode == 0, stopped.stderr
    run = json.loads(stopped.stdout)
    assert run["status"] == "waiting_for_review"
    assert not run["tasks"]
    assert labwright("resume", run["id"], folder=tmp_path).returncode == 2
    protocol = json.loads((Path(run["folder"]) / "protocol.json").read_text())
    left_out = [step["id"] for part in protocol["parts"][1:] for step in part["steps"]]
    protocol["parts"] = protocol["parts"][:1]
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(protocol))
    done = labwright("review", run["id"], "--edit", str(edited), "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["tasks"].values()) == [3]
    [act] = json.loads((Path(run["folder"]) / "interventions.json").read_text())
    assert act["kind"] == "edit"
    assert act["steps"] == left_out
    assert run["id"] in labwright("runs", folder=tmp_path).stdout
    assert labwright("show", run["id"], folder=tmp_path).returncode == 0
