"""The step that reads plots: which ones, checked against what, told to whom; and that it is absent without a model that sees."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_run import materials
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from unit.agents.test_figures import Looks, png

from labwright.config import FiguresConfig, load_config
from labwright.errors import ConfigInvalid
from labwright.eval.report import write_report
from labwright.eval.report_files import RunFiles
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.prompt_file import Material
from labwright.store import RunStore
from labwright.workflows.figure_nodes import read_figures
from labwright.workflows.graph import build


class Sees(Looks):
    """Reads every plot as survival curves, and the first option of everything else."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        from langchain_core.outputs import ChatGeneration, ChatResult

        text = messages[-1].content[-1]["text"]
        options = [x.split(" ", 1) for x in text.splitlines() if x.startswith("- ") or x[1:3] == ". "]
        mark, option = next((o for o in options if o[1] == "survival curves"), options[0])
        said = option if mark == "-" else mark[0]
        top = [{"token": said, "logprob": 0.0, "bytes": None,
                "top_logprobs": [{"token": said, "logprob": 0.0, "bytes": None}]}]  # fmt: skip
        self.seen.append(text)
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage(said, response_metadata={"logprobs": {"content": top}}))]
        )


def task(name: str, operator: str = "survival_curves") -> dict[str, Any]:
    return {"id": name, "description": "d", "part": "p", "step": "s", "operator": operator, "parameters": {}, "datasets": ["gbsg2"],
            "inputs": [], "outputs": []}  # fmt: skip


@pytest.fixture
def m(tmp_path: Path) -> Any:
    store = RunStore(tmp_path)
    store.write(tmp_path / "tasks" / "_tasks.json", [task("t1"), task("t2"), task("t3", "cohort_summary")])
    for name, level in (("t1", 3), ("t2", 2), ("t3", 3)):
        out = tmp_path / "tasks" / name / "outputs"
        out.mkdir(parents=True)
        (out / "survival_curves.csv").write_text("group,n,events,observed_expected\na,50,10,0.6\nb,50,30,1.5\n")
        (out / "survival_curves.png").write_bytes(png("white"))
        store.write(tmp_path / "tasks" / name / "result.json", {"task": name, "attempts": [], "level": level})
    log = CallLog(tmp_path / "calls.sqlite")
    eyes = Session(role="figures", backend="eyes:llava", chat=Sees(seen=[]), log=log)
    guard = SimpleNamespace(material=lambda text: Material(text, "abcd"))
    return SimpleNamespace(store=store, eyes=eyes, cards={"gbsg2": {}}, guard=guard, say=lambda text: None,
                           config=SimpleNamespace(figures=FiguresConfig(backend="eyes")))  # fmt: skip


def test_plots_of_finished_tasks_are_read_and_checked(m: Any) -> None:
    read_figures({}, m=m)
    (found,) = json.loads((m.store.folder / "figures.json").read_text())
    assert (found["task"], found["file"]) == ("t1", "survival_curves.png")
    assert found["sha256"] == hashlib.sha256(png("white")).hexdigest()
    fields = {f["name"]: f for f in found["fields"]}
    assert fields["kind"]["read"] == fields["kind"]["truth"] == "survival curves"
    assert fields["n"]["truth"] == "100"
    assert fields["direction"]["truth"] == "falls"
    assert not (m.store.folder / "reviews.json").exists()


def test_what_was_read_is_asked_once(m: Any) -> None:
    read_figures({}, m=m)
    before = (m.store.folder / "figures.json").read_bytes()
    asked = len(m.eyes.chat.seen)
    read_figures({}, m=m)
    assert len(m.eyes.chat.seen) == asked
    assert (m.store.folder / "figures.json").read_bytes() == before


def test_the_reviews_hear_of_it_only_where_it_was_asked_for(m: Any) -> None:
    m.store.write(m.store.folder / "reviews.json", [])
    m.config = SimpleNamespace(figures=FiguresConfig(backend="eyes", reviewed=True))
    for _ in range(2):
        read_figures({}, m=m)
    (review,) = json.loads((m.store.folder / "reviews.json").read_text())
    assert review["stage"] == "figures"
    assert review["reviewer"] == "eyes:llava"
    (score,) = review["scores"].values()
    assert 1 <= score < 5
    assert "the data say" in review["critique"]


def test_the_report_shows_readings_or_says_that_there_were_none(m: Any) -> None:
    read_figures({}, m=m)
    page = write_report(m.store.folder).read_text(encoding="utf-8")
    assert "Plots, as a model read them" in page
    assert "t1: survival_curves.png" in page
    (m.store.folder / "figures.json").unlink()
    page = write_report(m.store.folder).read_text(encoding="utf-8")
    assert "no backend that takes images is configured" in page
    (m.store.folder / "figures.json").write_text("[]")
    assert "No plot with known content" in write_report(m.store.folder).read_text(encoding="utf-8")
    (m.store.folder / "figures.json").write_text('[{"task": 3}]')
    files = RunFiles(m.store.folder)
    assert files.figures() is None
    assert files.faults


CONFIG = '[backends.eyes]\nkind = "{kind}"\n[figures]\nbackend = "{name}"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONFIG.format(kind="embedded", name="eyes"), "eyes is of kind embedded, which takes no images"),
        (CONFIG.format(kind="steered", name="ears"), "no backend is called ears"),
        ("[figures]\nreviewed = true\n", "reviewed needs a backend"),
    ],
)
def test_configurations_without_eyes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labwright.toml"
    path.write_text(text)
    with pytest.raises(ConfigInvalid, match=message):
        load_config(path, environment={})


def test_the_graph_has_the_step_only_with_a_model_that_sees(m: Any, tmp_path: Path) -> None:
    blind = materials(tmp_path / "run")
    for chosen, there in ((blind, False), (replace(blind, eyes=m.eyes), True)):
        names = set(build(chosen, InMemorySaver(), review=False).get_graph().nodes)
        assert ("read_figures" in names) is there
