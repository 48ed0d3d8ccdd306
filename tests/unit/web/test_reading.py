"""Pages that are read: they show what the run folder holds, and nothing beside it can be had."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from html import unescape

import pytest
from run_folders import INJECTED

from labwright.domain import RunRecord
from labwright.store import described
from labwright.web.pages import segment

PAGES = ("", "/protocol", "/tasks", "/literature", "/data", "/facts")
TASK = "Part 1-dry-experiment-1"


def links(text: str) -> set[str]:
    return {unescape(found) for found in re.findall(r'href="(/[^"]*)"', text)}


def test_every_link_of_a_run_leads_somewhere(client, done_run):
    seen: set[str] = set()
    todo = ["/runs"]
    while todo:
        address = todo.pop().split("#")[0]
        if address in seen:
            continue
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code == 200, address
        if "html" in answer.headers["content-type"] and not address.endswith("report.html"):
            todo += links(answer.text)
    assert len(seen) > 15


def test_a_reference_opens_the_source_where_its_quote_is_marked(client, done_run):
    text = client.get(f"/runs/{done_run.id}/protocol").text
    [source] = {a for a in links(text) if "/papers/" in a and "#quote-" in a}
    address, fragment = source.split("#")
    document = client.get(address).text
    assert re.search(rf'<span id="{fragment}"></span><mark>Survival of the two groups was compared', document)
    assert "does not resolve to anything that was read" in text
    assert "No source supports this" in text


def test_a_task_shows_figure_table_script_log_and_checks_and_a_failed_one_says_why(client, done_run):
    text = client.get(f"/runs/{done_run.id}/tasks/{segment(TASK)}").text
    for held in (
        "data:image/png",
        "survival_curves.csv",
        "labwright.tools.analysis import",
        "line 249",
        "p recomputed",
    ):
        assert held in text
    listed = client.get(f"/runs/{done_run.id}/tasks").text
    assert "its input failed: Part 2-dry-experiment-1" in listed
    assert "FAILED-TASK-FINDING" not in client.get(f"/runs/{done_run.id}/tasks/Part%202-dry-experiment-1").text


@pytest.mark.parametrize("page", [*PAGES, "/papers/wang2005", f"/tasks/{segment(TASK)}"])
def test_what_strangers_wrote_stays_text(client, done_run, page):
    text = client.get(f"/runs/{done_run.id}{page}").text
    assert INJECTED not in text
    assert "<img src=x" not in text


@pytest.mark.parametrize("page", PAGES)
def test_a_failed_run_has_every_page(client, failed_run, page):
    assert client.get(f"/runs/{failed_run.id}{page}").status_code == 200


def test_a_damaged_file_is_named_and_takes_no_page_down(client, done_run):
    (done_run.folder / "protocol.json").write_text("{")
    for page in PAGES:
        answer = client.get(f"/runs/{done_run.id}{page}")
        assert answer.status_code == 200
        assert "protocol.json is not what it should be" in answer.text


def test_a_page_shows_what_the_folder_holds_now(client, done_run):
    assert ">done<" in client.get("/runs").text
    record = done_run.record().model_copy(update={"status": "interrupted", "message": "stopped in the middle"})
    done_run.save_record(record)
    assert ">interrupted<" in client.get("/runs").text
    assert "stopped in the middle" in client.get(f"/runs/{done_run.id}").text


def test_the_list_is_filtered_and_turned(client, done_run, runs):
    for n in range(60):
        record = RunRecord(id=f"20250101-0000{n:02d}-aaaaaa", objective=done_run.record().objective, status="failed")
        (runs / record.id).mkdir()
        (runs / record.id / "record.json").write_text(record.model_dump_json())
    text = client.get("/runs", params={"status": "failed"}).text
    assert "60 of 61" in text
    assert text.count("<tr>") == 51
    assert client.get("/runs", params={"status": "failed", "first": 50}).text.count("<tr>") == 11
    assert client.get("/runs", params={"words": done_run.id}).text.count("<tr>") == 2
    assert client.get("/runs", params={"first": -5}).status_code == 200
    assert client.get("/runs", params={"first": "x"}).status_code == 422


@pytest.mark.parametrize(
    "run", ["..", "%2e%2e", "20260101-000000-abcdef", ".web", "x" * 300, "20260101-000000-abcdef%2f..", "%00", "*"]
)
def test_a_guessed_or_crooked_id_is_no_run(client, done_run, run):
    for page in ("", "/protocol", "/archive.zip", "/tasks/x/files/y"):
        answer = client.get(f"/runs/{run}{page}")
        assert answer.status_code in (303, 404), answer.text
        assert client.get(f"/api/runs/{run}").status_code in (404, 405, 422) or run in ("..", "%2e%2e")


@pytest.mark.parametrize(
    "name",
    [
        "../result.json",
        "%2e%2e/result.json",
        "..%2fresult.json",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "link.txt",
        "folder",
        "a%00b",
        "x" * 300,
    ],
)
def test_only_regular_files_of_the_output_folder_are_given_out(client, done_run, name):
    outputs = done_run.path("tasks", TASK) / "outputs"
    os.symlink("/etc/passwd", outputs / "link.txt")
    (outputs / "folder").mkdir()
    answer = client.get(f"/runs/{done_run.id}/tasks/{segment(TASK)}/files/{name}")
    assert answer.status_code == 404
    assert "root:" not in answer.text


@pytest.mark.parametrize("name", ["page.html", "picture.svg", "fake.png", "name \"';.csv"])
def test_a_hostile_output_is_saved_never_shown(client, done_run, name):
    (done_run.path("tasks", TASK) / "outputs" / name).write_text("<script>alert(1)</script>")
    answer = client.get(f"/runs/{done_run.id}/tasks/{segment(TASK)}/files/{segment(name)}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_figure_is_shown_in_place(client, done_run):
    answer = client.get(f"/runs/{done_run.id}/tasks/{segment(TASK)}/files/figure.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline")


def test_the_archive_holds_the_folder_and_nothing_it_links_to(client, done_run):
    (done_run.folder / "secret.txt").symlink_to("/etc/passwd")
    (done_run.folder / "elsewhere").symlink_to("/etc")
    (done_run.folder / ".lock").write_text("")
    answer = client.get(f"/runs/{done_run.id}/archive.zip")
    names = set(zipfile.ZipFile(io.BytesIO(answer.content)).namelist())
    there = [p for p in done_run.folder.rglob("*") if p.is_file() and not p.is_symlink() and not p.name.startswith(".")]
    assert names == {f"{done_run.id}/{p.relative_to(done_run.folder)}" for p in there}
    assert f"{done_run.id}/record.json" in names


def test_the_interface_gives_the_documents_of_the_command_line(client, done_run):
    assert client.get(f"/api/runs/{done_run.id}").json() == json.loads(json.dumps(described(done_run)))
    assert client.get("/api/runs").json() == [done_run.record().model_dump(mode="json")]
    protocol = json.loads((done_run.folder / "protocol.json").read_text())
    assert client.get(f"/api/runs/{done_run.id}/protocol").json() == protocol
    states = [(t["task"]["id"], t["result"]["level"]) for t in client.get(f"/api/runs/{done_run.id}/tasks").json()]
    assert [level for _, level in states] == [3, 2, 0]


def test_the_interface_describes_itself(client):
    described = client.get("/api/openapi.json").json()
    assert {"/api/runs", "/api/runs/{run}", "/api/session"} <= set(described["paths"])
    assert not [path for path in described["paths"] if not path.startswith("/api/")]


def test_what_a_model_saw_in_pictures_and_plots_stands_with_papers_and_results(client, done_run):
    field = {"name": "kind", "read": "box plot", "probability": 0.7, "decided_by": "model"}
    seen = {"id": "p-1", "origin": "p", "name": "f1.png", "label": "Figure <b>1", "sha256": "0", "verdict": "passed",
            "fields": [field]}  # fmt: skip
    refused = {**seen, "id": "p-2", "verdict": "refused", "fields": [], "reason": "a face in it"}
    at = f"/runs/{done_run.id}"
    assert "Pictures of papers" not in client.get(f"{at}/literature").text
    assert "Plots, as a model read them" not in client.get(f"{at}/tasks").text
    (done_run.folder / "pictures.json").write_text(json.dumps([seen, refused]))
    plot = {"task": "t", "file": "a.png", "sha256": "0", "legend": "", "fields": [{**field, "truth": "scatter plot"}]}
    (done_run.folder / "figures.json").write_text(json.dumps([plot]))
    literature = client.get(f"{at}/literature").text
    assert "kind: box plot (0.70)" in literature
    assert "Figure &lt;b&gt;1" in literature
    assert "a face in it" in literature
    assert "scatter plot" in client.get(f"{at}/tasks").text
