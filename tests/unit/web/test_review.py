"""A protocol is reviewed through the page: comments, edits, versions and decisions, each kept before the answer."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from web_client import as_user, csrf

from labwright.domain import Protocol
from labwright.store import RunStore
from labwright.workflows.comments import comments
from labwright.workflows.interventions import interventions

PART, STEP = "Part 1", "1.1"


def sent(client, run: RunStore, act: str, **fields):
    return client.post(f"/runs/{run.id}/{act}", data={"csrf": csrf(client), **fields})


def protocol_of(run: RunStore) -> Protocol:
    return run.read(run.folder / "protocol.json", Protocol)


def edit_form(client, run: RunStore) -> dict[str, str]:
    """The fields of the step's edit form as a browser sends them."""
    text = client.get(f"/runs/{run.id}/write", params={"part": PART, "step": STEP}).text
    [form] = re.findall(r'<form[^>]*/edit".*?</form>', text, re.S)
    fields = dict(re.findall(r'<input[^>]* name="([^"]*)" value="([^"]*)"', form))
    fields |= dict(re.findall(r'<textarea[^>]* name="([^"]*)"[^>]*>\n(.*?)</textarea>', form, re.S))
    return {unescape(name): unescape(value).replace("\n", "\r\n") for name, value in fields.items()}


def test_a_comment_is_kept_at_its_step_shown_and_settled(client, waiting_run):
    answer = sent(client, waiting_run, "comments", text="why <b>this</b> test?\nsecond line", part=PART, step=STEP)
    assert answer.status_code == 303
    page = client.get(answer.headers["location"]).text
    assert f'id="{answer.headers["location"].split("#")[1]}"' in page
    assert "why &lt;b&gt;this&lt;/b&gt; test?" in page
    [kept] = comments(waiting_run)
    assert (kept.by, kept.part, kept.step, kept.version) == ("ada", PART, STEP, 1)
    sent(client, waiting_run, f"comments/{kept.id}/settle")
    assert "settled by ada" in client.get(f"/runs/{waiting_run.id}/protocol").text
    assert sent(client, waiting_run, "comments", text=" ").status_code == 400
    assert sent(client, waiting_run, "comments", text="x", part="Part 9").status_code == 400


def test_an_edit_changes_what_was_typed_and_nothing_else_and_shows_its_difference(client, waiting_run):
    before = protocol_of(waiting_run)
    fields = edit_form(client, waiting_run)
    assert fields["p:group_column"] == "er"
    assert sent(client, waiting_run, "edit", **fields).status_code == 400  # nothing was typed
    answer = sent(client, waiting_run, "edit", **(fields | {"details": "Carry out the analysis on some patients."}))
    assert answer.status_code == 303, answer.text
    after = protocol_of(waiting_run)
    step = before.parts[0].steps[0].model_copy(update={"details": "Carry out the analysis on some patients."})
    part = before.parts[0].model_copy(update={"steps": (step,)})
    assert after == before.model_copy(update={"version": 2, "parts": (part,)})
    shown = client.get(f"/runs/{waiting_run.id}/versions").text
    assert "on <del>all</del><ins>some</ins> patients" in shown
    assert client.get(f"/runs/{waiting_run.id}/versions?old=1&new=7").status_code == 404


def test_the_second_of_two_edits_of_one_version_is_refused_and_says_so(client, waiting_run):
    fields = edit_form(client, waiting_run)
    assert sent(client, waiting_run, "edit", **(fields | {"details": "One."})).status_code == 303
    late = sent(client, waiting_run, "edit", **(fields | {"details": "Other."}))
    assert late.status_code == 400
    assert "typed over version 1, and 2 is there now" in late.text
    assert protocol_of(waiting_run).parts[0].steps[0].details == "One."


@pytest.mark.parametrize(
    ("decision", "status", "message"),
    [("approve", "queued", ""), ("send_back", "queued", ""), ("reject", "failed", "protocol rejected: too small")],
)
def test_a_decision_is_on_the_disk_with_its_name_and_counts_once(client, desk, waiting_run, decision, status, message):
    fields = {"decision": decision, "reason": "too small", "version": "1"}
    assert sent(client, waiting_run, "review", **fields).status_code == 303
    record = waiting_run.record()
    assert (record.status, record.message) == (status, message)
    [act] = interventions(waiting_run)
    assert (act.kind, act.by, act.version) == (decision, "ada", 1)
    assert sent(client, waiting_run, "review", **fields).status_code == 400
    assert len(interventions(waiting_run)) == 1
    history = client.get(f"/runs/{waiting_run.id}/history").text
    assert f"{decision.replace('_', ' ')}, version 1" in history
    assert desk.audit.newest(1)[0].act == decision.replace("_", " ")


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "approve", "version": "2"},
        {"decision": "maybe", "version": "1"},
        {"decision": "reject", "reason": " "},
        {},
    ],
)
def test_a_decision_that_is_none_or_about_another_version_changes_nothing(client, waiting_run, fields):
    assert sent(client, waiting_run, "review", **fields).status_code == 400
    assert waiting_run.record().status == "waiting_for_review"
    assert interventions(waiting_run) == ()


def test_a_reader_sees_everything_and_changes_nothing(app, waiting_run):
    reader = as_user(app, "rita", "reader")
    page = reader.get(f"/runs/{waiting_run.id}/protocol").text
    assert "/write" not in page
    assert reader.get(f"/runs/{waiting_run.id}/write").status_code == 403
    assert "/review" not in page
    for act in ("comments", "edit", "review", "comments/abc/settle"):
        assert sent(reader, waiting_run, act, text="x", decision="approve").status_code == 403
    assert comments(waiting_run) == ()
    assert waiting_run.record().status == "waiting_for_review"


def test_the_interface_reviews_too(client, waiting_run):
    headers, at = {"x-csrf-token": csrf(client)}, f"/api/runs/{waiting_run.id}"
    made = client.post(f"{at}/comments", json={"text": "ok", "part": PART}, headers=headers)
    assert (made.status_code, client.get(f"{at}/comments").json()) == (201, [made.json()])
    edited = client.get(f"{at}/protocol").json()
    edited["logic"] = "Other words."
    assert client.put(f"{at}/protocol", json=edited, headers=headers).json()["version"] == 2
    assert client.put(f"{at}/protocol", json=edited, headers=headers).status_code == 400
    assert client.post(f"{at}/review", json={"decision": "approve", "version": 1}, headers=headers).status_code == 400
    done = client.post(f"{at}/review", json={"decision": "approve", "version": 2}, headers=headers)
    assert done.json()["status"] == "queued"


def test_an_edit_that_does_not_hold_together_is_refused_with_its_fault(client, waiting_run):
    headers, at = {"x-csrf-token": csrf(client)}, f"/api/runs/{waiting_run.id}"
    edited = client.get(f"{at}/protocol").json()
    edited["parts"][0]["refs"] = [{"paper": "nobody1999", "part": "P1", "steps": []}]
    answer = client.put(f"{at}/protocol", json=edited, headers=headers)
    assert (answer.status_code, "nobody1999" in answer.json()["error"]) == (400, True)
    assert json.loads((waiting_run.folder / "protocol.json").read_text())["version"] == 1
