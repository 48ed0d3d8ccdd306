"""Figures of the web benchmark from known rows; the folder that it measures on; documents and goals."""

from __future__ import annotations

import json
import subprocess

import pytest

from labwright.eval.benchmark_documents import documents, earlier, rows
from labwright.eval.comparison import compare_runs
from labwright.eval.goals import GOALS
from labwright.eval.protocol_diff import changes, pieces
from labwright.eval.report_files import RunFiles
from labwright.eval.suites.web_figures import figures_of
from labwright.eval.suites.web_folder import fill
from labwright.eval.suites.web_payloads import payloads

VIEW = {"kind": "view", "load_ms": 300.0, "axe": [], "console": [], "outside": [], "ran": False}
ROWS = [
    {"kind": "folder", "name": "folder", "runs": 500},
    {"kind": "page", "name": "runs", "ms": [float(n) for n in range(1, 101)], "viewers": 50},
    {"kind": "page", "name": "new", "ms": [7.0] * 100, "viewers": 49},
    {"kind": "memory", "name": "server", "mib": 120.5},
    {**VIEW, "name": "runs:wide", "console": ["error"]},
    {**VIEW, "name": "protocol of 300 steps:wide", "load_ms": 640.0, "axe": [{}, {}]},
    {**VIEW, "name": "protocol of 300 steps:phone"},
    {**VIEW, "name": "hostile run:wide", "outside": ["http://evil.example/"], "ran": True},
    {"kind": "payloads", "name": "payloads", "count": 112},
    {"kind": "api", "name": "schemathesis", "operations": 14, "examples": 60, "failed": ["POST /x"]},
    {"kind": "kill", "name": "000", "confirmed": 10, "lost": ["comment a"]},
    {"kind": "kill", "name": "001", "confirmed": 25, "lost": ["comment a", "run b"]},
]


def test_the_figures_of_known_rows():
    made = {figure["name"]: (figure["value"], figure["n"]) for figure in figures_of(ROWS, "raw")}
    assert made == {
        "page_p95_ms": (95.0, 200), "server_memory_mib": (120.5, 1), "protocol300_open_ms": (640.0, 2), "axe_serious": (2, 4),
        "console_errors": (1, 4), "outside_requests": (1, 4), "payloads_run": (1, 1), "api_server_errors": (1, 14),
        "confirmed_lost": (2, 2),
    }  # fmt: skip
    assert made.keys() <= GOALS.keys()


def test_what_was_not_measured_is_absent():
    assert figures_of([], "raw") == []
    assert [f["name"] for f in figures_of(ROWS[3:4], "raw")] == ["server_memory_mib"]
    without = [row for row in ROWS if row["kind"] != "payloads"]
    assert "payloads_run" not in {f["name"] for f in figures_of(without, "raw")}


def test_the_folder_holds_readable_runs_of_every_part(tmp_path):
    folder = fill(tmp_path / "runs", 3, 2, ["<b>hostile</b>"])
    names = [*folder.usual, *folder.live, folder.waiting, folder.long, folder.hostile]
    assert len(set(names)) == 8
    for name in names:
        files = RunFiles(folder.runs / name)
        assert files.record().id == name
        assert files.protocol() is not None
        assert files.faults == []
    steps = [s for p in RunFiles(folder.runs / folder.long).protocol().parts for s in p.steps]
    assert len(steps) == 300
    assert "<b>hostile</b>" in RunFiles(folder.runs / folder.hostile).record().objective.text
    assert len(payloads()) == len(set(payloads())) > 100


def test_two_runs_side_by_side_show_what_differs(tmp_path):
    folder = fill(tmp_path / "runs", 2, 0, ["other"])
    same = compare_runs(folder.runs / folder.usual[0], folder.runs / folder.usual[1])
    assert [pair.name for pair in same.facts if pair.differs] == []
    assert same.protocol == []
    other = compare_runs(folder.runs / folder.usual[0], folder.runs / folder.waiting)
    assert {"Status"} <= {pair.name for pair in other.facts if pair.differs}
    assert {pair.second for pair in other.analyses} == {""}


def test_a_difference_holds_both_texts(done_run):
    protocol = RunFiles(done_run.folder).protocol()
    part = protocol.parts[1]
    step = part.steps[0].model_copy(update={"parameters": {"group_column": "grade"}})
    parts = (protocol.parts[0], part.model_copy(update={"steps": (step,), "title": "Another title"}))
    found = changes(protocol, protocol.model_copy(update={"parts": parts}))
    assert [(c.place, c.field) for c in found[:2]] == [("Part 2", "title"), ("Part 2, step 2.1", "parameters")]
    assert all(c.place.startswith("Part 3") for c in found[2:])
    assert {p.kind for c in found[2:] for p in c.pieces} == {"removed"}
    for old, new in (("a b", ""), ("", "x\ny"), ("a  b c", "a b  d"), ("ä-ß", "ä ß")):
        made = pieces(old, new)
        assert "".join(p.text for p in made if p.kind != "added") == old
        assert "".join(p.text for p in made if p.kind != "removed") == new


def document(value: float, at: str) -> str:
    figure = {"name": "leftovers", "value": value, "unit": "", "n": 1, "low": None, "high": None, "note": "", "raw": ""}
    return json.dumps({"suite": "sandbox", "at": at, "commit": "c", "command": "x", "machine": {}, "figures": [figure]})


def test_earlier_measurements_come_from_the_history_and_damaged_files_are_left_out(tmp_path):
    def git(*arguments: str) -> None:
        own = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *own, *arguments], check=True, capture_output=True)

    git("init")
    for n, text in enumerate([document(1, "2026-01-01"), document(1, "2026-01-01"), "{", document(2, "2026-01-02")]):
        (tmp_path / "sandbox.json").write_text(text + " " * n)
        git("add", ".")
        git("commit", "-m", str(n))
    (tmp_path / "sandbox.json").write_text(document(3, "2026-01-03"))
    (tmp_path / "broken.json").write_text("[]")
    assert [d.at for d in documents(tmp_path)] == ["2026-01-03"]
    assert [(d.at, d.figures[0].value) for d in earlier(tmp_path, "sandbox")] == [("2026-01-02", 2), ("2026-01-01", 1)]
    assert earlier(tmp_path, "nowhere") == []


@pytest.mark.parametrize("suite", ["../secret", "nowhere", "", "a/b"])
def test_rows_of_a_suite_that_is_none(tmp_path, suite):
    (tmp_path / "raw").mkdir()
    (tmp_path / "secret.jsonl").write_text("{}\n")
    assert list(rows(tmp_path / "raw", suite)) == []


def test_a_way_that_broke_off_is_told_with_the_step_and_its_views_count():
    view = {"ran": False, "wider_px": 0, "axe": [], "console": [], "outside": []}
    rows = [
        {"kind": "drive", "name": "submit", "done": True, "seconds": 3.0, "fault": ""},
        {
            "kind": "drive",
            "name": "watch",
            "done": False,
            "seconds": 20.0,
            "fault": "AssertionError: the graph is not drawn",
        },
        {"kind": "drive_view", "name": "submit:wide", **view},
        {
            "kind": "drive_view",
            "name": "watch:phone",
            **view,
            "console": ["x is undefined"],
            "axe": [{"rule": "label"}],
        },
    ]
    figures = {f["name"]: f for f in figures_of(rows, "raw")}
    assert (figures["drive_steps_failed"]["value"], figures["drive_steps_failed"]["n"]) == (1, 2)
    assert "watch 20 s FAILED: AssertionError: the graph is not drawn" in figures["drive_steps_failed"]["note"]
    assert figures["console_errors"]["value"] == figures["axe_serious"]["value"] == 1
    assert figures["console_errors"]["n"] == 2


def test_steps_are_done_in_order_until_one_fails(tmp_path, monkeypatch):
    from labwright.eval.suites import web_drive

    monkeypatch.setattr(web_drive, "watched", lambda page, picture: {"axe": []})
    page = type("Page", (), {"set_viewport_size": lambda self, size: None})()
    rows: list[tuple] = []
    drive = web_drive.Drive(page, None, lambda *row: rows.append(row), lambda text: None, None, tmp_path)
    drive.console.append("an error of the first step")
    assert drive.does("first", lambda d: None)

    def wrong(d):
        raise AssertionError("nothing there")

    assert not drive.does("second", wrong)
    told = {name: facts for kind, name, facts in rows if kind == "drive"}
    assert [told[n]["done"] for n in ("first", "second")] == [True, False]
    assert told["second"]["fault"] == "AssertionError: nothing there"
    views = {name: facts for kind, name, facts in rows if kind == "drive_view"}
    assert views["first:wide"]["console"] == ["an error of the first step"]
    assert views["second:phone"]["console"] == []
    assert next(iter(web_drive.STEPS)) == "submit"
