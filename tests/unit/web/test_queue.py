"""Asking for runs and steering them: queued on the disk, begun in turns, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from web_client import as_user, csrf

from labwright.domain import Objective, RunRecord
from labwright.store import RunStore
from labwright.web.dispatcher import Dispatcher, in_turn
from labwright.web.run_list import RunList

ASKED = "Does hormone therapy change the time to recurrence of patients with node-positive breast cancer?"


class Child:
    """Stands for the process of a run."""

    code: int | None = None

    def poll(self) -> int | None:
        return self.code


def form(client, **more) -> dict[str, str]:
    return {"csrf": csrf(client), "form": "x" * 20, "objective": ASKED, "workflow": "rules_only", **more}


def queued(runs: Path, name: str, by: str, status: str = "queued") -> RunStore:
    store = RunStore(runs / name)
    store.folder.mkdir(parents=True)
    store.save_record(RunRecord(id=name, objective=Objective(text=ASKED), status=status, started_by=by))
    return store


def test_a_run_that_was_asked_for_is_on_the_disk(client, desk, runs):
    answer = client.post("/runs", data=form(client, review="on", tokens="5000", sources="embedded", datasets="gbsg2"))
    assert answer.status_code == 303, answer.text
    folder = runs / answer.headers["location"].split("/")[-1]
    record, config = (json.loads((folder / name).read_text()) for name in ("record.json", "config.json"))
    assert (record["status"], record["started_by"], record["workflow"]) == ("queued", "ada", "rules_only")
    assert (config["budget"]["tokens"], config["data"]["allowed"]) == (5000, ["gbsg2"])
    assert (folder / "review.wanted").is_file()
    assert desk.audit.newest(1)[0].about == folder.name
    page = client.get(answer.headers["location"]).text
    assert "Place 1 in the queue" in page


def test_a_form_that_is_sent_twice_asks_for_one_run(client, runs):
    first = client.post("/runs", data=form(client))
    again = client.post("/runs", data=form(client))
    assert (first.status_code, again.status_code) == (303, 409)
    assert first.headers["location"] in again.text
    assert len(list(runs.glob("*/record.json"))) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"objective": " "}, "objective is empty"),
        ({"objective": "Re-identify the patients of this cohort"}, "refused"),
        ({"tokens": "many"}, "tokens: a number"),
        ({"tokens": "-1"}, "tokens: a number from 0 up"),
        ({"usd": "nan"}, "usd"),
        ({"seed": "1.5"}, "seed: a whole number"),
        ({"workflow": "other"}, "no workflow"),
        ({"datasets": "../../etc"}, "not in the catalogue"),
        ({"role_design": "nobody"}, "not defined: nobody"),
    ],
)
def test_a_wrong_field_is_named_what_was_typed_stays_and_the_form_can_be_sent_again(client, runs, wrong, says):
    answer = client.post("/runs", data=form(client, conditions="typed words", **wrong))
    assert answer.status_code == 400
    assert says in answer.text
    assert "typed words" in answer.text
    assert not list(runs.glob("*/record.json"))
    assert client.post("/runs", data=form(client)).status_code == 303


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("paper.exe", b"MZ", "files of .pdf"),
        ("papers.tar.gz", b"\x1f\x8b", "files of .pdf"),
        ("paper.pdf", b"<html>no</html>", "is no PDF file"),
        ("paper.pdf", b"", "is empty"),
        ("refs.bib", b"@article{a,\x00}", "is no text file"),
        ("../../../etc/cron.d/x.pdf", b"%PDF-1.4 broken", "cannot be read"),
    ],
)
def test_an_upload_that_is_not_what_it_says_is_refused_and_asks_for_nothing(
    client, runs, tmp_path, monkeypatch, name, content, says
):
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    answer = client.post("/runs", data=form(client), files={"uploads": (name, content)})
    assert answer.status_code == 400
    assert says in answer.text
    assert not list(runs.glob("*/record.json"))
    assert not list((tmp_path / "cache").glob("corpora/*/*"))


def test_a_reader_asks_for_nothing_and_a_reviewer_steers_only_own_runs(app, client, runs):
    store = queued(runs, "20260101-000000-aaaaaa", "somebody")
    reader = as_user(app, "rita", "reader")
    reviewer = as_user(app, "rob", "reviewer")
    assert reader.get("/new").status_code == 403
    assert reader.post("/runs", data=form(reader)).status_code == 403
    for act in ("pause", "cancel", "resume"):
        assert reader.post(f"/runs/{store.id}/{act}", data={"csrf": csrf(reader)}).status_code == 403
        assert reviewer.post(f"/runs/{store.id}/{act}", data={"csrf": csrf(reviewer)}).status_code == 403
    assert store.record().status == "queued"
    own = reviewer.post("/runs", data=form(reviewer)).headers["location"]
    assert reviewer.post(f"{own}/cancel", data={"csrf": csrf(reviewer), "reason": "no"}).status_code == 303
    assert "cancelled by rob: no" in reviewer.get(own).text


def test_the_interface_asks_for_and_steers_runs_too(client, runs):
    headers = {"x-csrf-token": csrf(client)}
    assert client.post("/api/runs", json={"objective": ASKED}).status_code == 403
    made = client.post("/api/runs", json={"objective": ASKED, "workflow": "rules_only"}, headers=headers)
    assert made.status_code == 201
    run = f"/api/runs/{made.json()['id']}"
    assert client.post(f"{run}/pause", json={}, headers=headers).json()["status"] == "interrupted"
    assert client.post(f"{run}/pause", json={}, headers=headers).status_code == 400
    assert client.post(f"{run}/resume", json={"tokens": 9}, headers=headers).json()["status"] == "queued"
    assert json.loads((runs / made.json()["id"] / "config.json").read_text())["budget"]["tokens"] == 9
    assert client.post(f"{run}/explode", json={}, headers=headers).status_code == 422
    wrong = client.post("/api/runs", json={"objective": ASKED, "surprise": 1}, headers=headers)
    assert (wrong.status_code, "surprise" in wrong.json()["error"]) == (422, True)


def test_runs_are_begun_in_turns_between_users(runs):
    for n, by in enumerate(["ada", "ada", "ada", "grace", "grace", "lin"]):
        queued(runs, f"20260101-00000{n}-aaaaaa", by)
    queued(runs, "20250101-000000-aaaaaa", "lin", status="done")
    order = [row.started_by for row in in_turn(RunList(runs).rows(), set())]
    assert order == ["ada", "grace", "lin", "ada", "grace", "ada"]


def test_a_run_is_begun_once_and_the_next_when_it_has_ended(runs):
    first, second = (queued(runs, f"20260101-00000{n}-aaaaaa", "ada") for n in (1, 2))
    children: dict[str, Child] = {}
    queue = Dispatcher(runs, RunList(runs), lambda store: children.setdefault(store.id, Child()))
    assert queue.turn() == [first.id]
    assert queue.turn() == []
    with first.owned():  # another server sees by the lock that the run is carried
        assert Dispatcher(runs, RunList(runs), lambda store: Child()).turn() == []
        first.save_record(first.record().model_copy(update={"status": "done"}))
    children[first.id].code = 0
    assert queue.turn() == [second.id]


def test_a_run_whose_process_vanished_is_shown_as_interrupted_and_can_be_resumed(client, runs):
    store = queued(runs, "20260101-000000-aaaaaa", "ada", status="running")
    store.write_text(store.folder / "config.json", "{}")
    Dispatcher(runs, RunList(runs), lambda store: Child()).turn()
    assert store.record().status == "interrupted"
    assert client.post(f"/runs/{store.id}/resume", data={"csrf": csrf(client)}).status_code == 303
    assert store.record().status == "queued"


def test_a_stream_shows_how_the_run_stands_and_ends_with_it(client, done_run):
    with client.stream("GET", f"/runs/{done_run.id}/events") as answer:
        text = "".join(answer.iter_text())
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert text.startswith("event: watch\ndata: ")
    assert text.endswith("event: over\ndata: done\n\n")


def test_the_nodes_of_a_run_show_how_far_it_is(client, runs):
    store = queued(runs, "20260101-000000-aaaaaa", "ada", status="running")
    store.write_text(store.folder / "config.json", '{"budget": {"tokens": 4000}}')
    told = [
        ("screen", "", "begun"),
        ("screen", "", "ended"),
        ("find_papers", "", "begun"),
        ("find_papers", "", "ended"),
    ]
    told += [("read", "a", "begun"), ("read", "a", "ended"), ("read", "b", "begun")]
    lines = [json.dumps({"at": "2026-01-01T00:00:00+00:00", "node": n, "item": i, "state": s}) for n, i, s in told]
    said = json.dumps({"at": "2026-01-01T00:00:00+00:00", "said": "read <script>alert(1)</script>"})
    (store.folder / "progress.jsonl").write_text("\n".join([*lines, said]) + "\n")
    with store.owned():
        text = client.get(f"/runs/{store.id}/watch").text
    assert '<li class="begun"><span class="name">Read papers</span> <span class="state">begun, 1 of 2</span>' in text
    assert '<li class="ended"><span class="name">Find papers</span>' in text
    assert '<li class="to-come"><span class="name">Run the analyses</span>' in text
    assert "of 4\u202f000" in text
    assert "<script>" not in text
