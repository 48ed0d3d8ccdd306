"""The embedded and the local backend with real model files: SmolLM2 for the mechanics, one smoke test of the default model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from labwright.agents import search
from labwright.agents.prompting import prompt
from labwright.config import DEFAULT_MODEL, BackendConfig, Config
from labwright.domain import Objective, Report
from labwright.models.ask import Prompt, Session, ask, choose, score
from labwright.models.calls import Budget, CallLog
from labwright.models.embedded import EmbeddedServer
from labwright.models.prompt_file import Material
from labwright.models.weights import is_present
from labwright.workflows.backends import Backends

SMALL = "smollm2-135m-instruct"
OBJECTIVE = Objective(text="Which genes of the tumour predict survival of patients with breast cancer?")

pytestmark = [pytest.mark.embedded, pytest.mark.alone]


def needs(name: str) -> None:
    if not is_present(name):
        if os.environ.get("LABWRIGHT_REQUIRE_MODEL") == "1":
            pytest.fail(f"{name} is required: labwright models pull {name}")
        pytest.skip(f"{name} is not here")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    needs(SMALL)
    running = EmbeddedServer(SMALL)
    yield running
    running.close()


def session_on(model: str, folder: Path, kind: str = "embedded") -> tuple[Session, Backends]:
    needs(model)
    backends = Backends(Config(backends={"embedded": BackendConfig(kind=kind, model=model)}))
    return backends.session("search", CallLog(folder / "calls.sqlite", Budget()), 0), backends


@pytest.fixture(scope="module")
def both() -> Iterator[dict[str, Backends]]:
    """SmolLM2 behind llama.cpp, and the same file dequantised behind transformers."""
    needs(SMALL)
    opened = {
        kind: Backends(Config(backends={kind: BackendConfig(kind=kind, model=SMALL)})) for kind in ("embedded", "local")
    }
    yield opened
    for backends in opened.values():
        backends.close()


@pytest.fixture(params=["embedded", "local"])
def session(request, both, tmp_path) -> Session:
    """Every backend on this machine keeps the same contract."""
    return both[request.param].session("search", CallLog(tmp_path / "calls.sqlite", Budget()), 0)


class Gene(BaseModel):
    model_config = ConfigDict(extra="forbid")
    symbol: Annotated[str, StringConstraints(min_length=2, max_length=8)]
    sizes: list[int] = Field(min_length=2, max_length=3)


def test_the_server_listens_on_loopback_and_asks_for_its_key(server):
    assert server.base_url.startswith("http://127.0.0.1:")
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    assert httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=30).status_code == 401
    headers = {"Authorization": f"Bearer {server.key}"}
    assert httpx.post(f"{server.base_url}/chat/completions", json=body, headers=headers, timeout=30).status_code == 200


def test_a_second_process_shares_the_server_and_leaves_it_running(server):
    code = f"from labwright.models.embedded import EmbeddedServer as S; s = S({SMALL!r}); print(s.pid); s.close()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(server.pid), done.stderr
    assert httpx.get(server.base_url.removesuffix("/v1") + "/health", timeout=5).status_code == 200


def test_answers_follow_the_grammar_and_the_second_time_come_from_the_log(session):
    asked = Prompt(id="t", hash="h", system="You answer in JSON.", user="Name a gene and two sizes.")
    first = ask(session, asked, Gene, max_tokens=60)
    assert first.decided_by == "model"
    assert 2 <= len(first.value.sizes) <= 3
    calls = session.log.totals()
    assert calls.generated_tokens > 0
    assert ask(session, asked, Gene, max_tokens=60).value == first.value
    assert session.log.totals().calls == calls.calls


def test_an_answer_that_runs_out_of_tokens_is_invalid_and_the_fallback_stands(session):
    asked = Prompt(id="t", hash="h", system="You answer in JSON.", user="Name a gene and two sizes.")
    said = ask(session, asked, Gene, max_tokens=4, fallback=lambda: Gene(symbol="TP53", sizes=[1, 2]))
    assert (said.decided_by, said.value.symbol) == ("fallback", "TP53")
    assert session.log.totals().calls == 3


def test_closed_questions_are_answered_by_probabilities(session):
    asked = prompt("biomedical").render(objective=OBJECTIVE.brief())
    said = choose(session, asked, ("yes", "no"), fallback={"yes": 0.5, "no": 0.5})
    assert said.decided_by == "model"
    assert sum(said.value.values()) == pytest.approx(1.0)
    shown = Material("Title: A 70-gene signature\nAbstract: In 78 ...", "kqzt")
    paper = prompt("helpfulness").render(objective=OBJECTIVE.brief(), paper=shown)
    assert 1.0 <= score(session, paper, fallback=3.0).value <= 5.0


def test_the_same_weights_answer_closed_questions_alike_in_llama_cpp_and_transformers(both, tmp_path):
    asked = [
        Prompt(id="t", hash=str(i), system="Answer yes or no.", user=f"Is {word} a gene?")
        for i, word in enumerate(("TP53", "a bicycle 1234"))
    ]
    found = {}
    for kind, backends in both.items():
        session = backends.session("search", CallLog(tmp_path / f"{kind}.sqlite", Budget()), 0)
        found[kind] = [choose(session, a, ("yes", "no"), fallback={"yes": 0.5, "no": 0.5}) for a in asked]
        # The prompts have the same tokens, digits included.
        found[f"{kind} tokens"] = session.log.totals().prompt_tokens
    assert found["embedded tokens"] == found["local tokens"]
    for one, other in zip(found["embedded"], found["local"], strict=True):
        assert one.decided_by == other.decided_by == "model"
        assert one.value["yes"] == pytest.approx(other.value["yes"], abs=0.05)


def test_a_server_whose_clients_were_all_killed_ends_by_itself(tmp_path):
    needs(SMALL)
    code = (
        "import os, signal; from labwright.models.embedded import EmbeddedServer as S\n"
        f"s = S({SMALL!r}, context_tokens=512); print(s.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == -9
    pid = int(done.stdout)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the model server was left behind"
        time.sleep(0.2)


@pytest.mark.docker
def test_a_whole_run_with_the_smallest_model_holds_together(sandbox, tmp_path):
    needs(SMALL)
    objective = (
        "German Breast Cancer Study Group: does hormone therapy change the time to recurrence of patients with "
        "node-positive breast cancer?"
    )
    (tmp_path / "labwright.toml").write_text("[literature]\ncandidates = 3\nhelpfulness = 1.0\nkeep = 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "labwright.cli", "run", objective, "--json"],
        cwd=tmp_path, env={**os.environ, "LABWRIGHT_MODEL": SMALL}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    run = json.loads(done.stdout)
    assert run["status"] == "done"
    assert run["tasks"], "no task was planned"
    assert run["generated_tokens"] > 0
    assert run["decided"]["model"] > 0
    folder = Path(run["folder"])
    assert (folder / "report.html").stat().st_size > 10_000
    reports = [path for path in folder.glob("reports/*.json") if ".analysis" not in path.name]
    assert reports
    for path in reports:
        report = Report.model_validate_json(path.read_text())
        document = (folder / "papers" / f"{report.paper}.txt").read_text()
        for quote in (q for part in report.parts for step in part.steps for q in step.quotes):
            assert document[quote.start : quote.end] == quote.text


def test_the_default_model_tells_a_biomedical_question_from_another_and_writes_queries(tmp_path):
    session, backends = session_on(DEFAULT_MODEL, tmp_path)

    def p_yes(text: str) -> float:
        asked = prompt("biomedical").render(objective=Objective(text=text).brief())
        return choose(session, asked, ("yes", "no"), fallback={"yes": 0.5, "no": 0.5}).value["yes"]

    assert p_yes(OBJECTIVE.text) > 0.5 > p_yes("Which used cars sell best to first-time buyers in the suburbs?")
    queries = search.write_queries(session, OBJECTIVE)
    assert len(queries) >= 2
    assert session.log.shares().fallback == 0
    backends.close()
