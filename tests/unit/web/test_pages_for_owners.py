"""Benchmarks, comparisons, users and the log."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from web_client import HERE, PASSWORD, as_user, csrf, let_in

from labwright.web.app import make_app
from labwright.web.settings import Settings

ROOT = Path(__file__).parents[3]


def test_every_page_of_the_committed_benchmarks_can_be_read(runs):
    client = let_in(make_app(Settings(runs=runs, benchmarks=ROOT / "docs" / "benchmarks")))
    text = client.get("/benchmarks").text
    suites = [path.stem for path in (ROOT / "docs" / "benchmarks").glob("*.json")]
    assert suites
    for suite in suites:
        assert f'href="/benchmarks/{suite}"' in text
        assert "Over time" in client.get(f"/benchmarks/{suite}").text
        assert client.get(f"/benchmarks/{suite}/rows").status_code == 200
    for path in (ROOT / "docs" / "benchmarks").glob("*.html"):
        answer = client.get(f"/benchmarks/pages/{path.name}")
        assert answer.status_code == 200
        assert "sandbox" in answer.headers["content-security-policy"]
    assert {d["suite"] for d in client.get("/api/benchmarks").json()} == set(suites)


@pytest.mark.parametrize("suite", ["nowhere", "..%2f..%2fpyproject", "pages", "README"])
def test_no_other_file_passes_for_a_benchmark(client, suite):
    for address in (f"/benchmarks/{suite}", f"/benchmarks/{suite}/rows", f"/benchmarks/pages/{suite}"):
        assert client.get(address).status_code == 404
    assert (
        "no benchmark documents" in client.get("/benchmarks").text
        or "labwright bench" in client.get("/benchmarks").text
    )


def test_two_runs_side_by_side(client, done_run, failed_run):
    text = client.get("/compare", params={"first": done_run.id, "second": failed_run.id}).text
    assert text.count("<tr") > 5
    assert client.get("/compare", params={"first": done_run.id, "second": "nobody"}).status_code == 404


def test_the_first_account_is_an_owners_and_ends_the_link(app, client, desk):
    form = {"csrf": csrf(client), "name": "grace", "password": PASSWORD}
    assert "first user is an owner" in client.post("/users", data={**form, "role": "reader"}).text
    assert client.post("/users", data={**form, "role": "owner"}).status_code == 303
    assert client.get("/users").status_code == 303
    owner = TestClient(app, base_url=HERE, follow_redirects=False)
    assert owner.post("/login", data={"name": "grace", "password": PASSWORD}).status_code == 303
    text = owner.get("/users").text
    assert "added a user" in text
    token = csrf(owner)
    for wrong in (
        {"name": "x y"},
        {"name": "lin", "password": "short"},
        {"name": "lin", "role": "king"},
        {"name": "grace"},
    ):
        sent = {"csrf": token, "name": "lin", "password": PASSWORD, "role": "reader", **wrong}
        assert owner.post("/users", data=sent).status_code == 400, wrong
    assert owner.post("/users", data={"csrf": token, "name": "lin", "password": PASSWORD}).status_code == 303
    lin = TestClient(app, base_url=HERE, follow_redirects=False)
    assert lin.post("/login", data={"name": "lin", "password": PASSWORD}).status_code == 303
    assert lin.get("/users").status_code == 403
    assert owner.post("/users/lin/change", data={"csrf": token, "role": "reviewer"}).status_code == 303
    assert lin.get("/api/session").json()["role"] == "reviewer"
    assert owner.post("/users/lin/remove", data={"csrf": token}).status_code == 303
    assert lin.get("/api/session").status_code == 401
    assert owner.post("/users/grace/change", data={"csrf": token, "role": "reader"}).status_code == 400
    assert [a.name for a in desk.accounts.all()] == ["grace"]


def test_another_password_ends_the_sessions(app, desk):
    browser = as_user(app, "rita", "reader")
    desk.accounts.change("rita", password="another password")
    assert browser.get("/api/session").status_code == 401
