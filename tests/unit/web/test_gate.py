"""Who is let in, and what is refused before any page is made."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.resources import files

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from web_client import HERE, as_user, csrf

from labwright.errors import WrongUse
from labwright.web.app import ROUTERS, make_app
from labwright.web.gate import POLICY
from labwright.web.settings import Proxy, Settings

OPEN = {"/enter", "/login", "/health"}


def routes() -> list[tuple[str, str]]:
    found = [
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    ]
    assert len(found) > 15
    return [(m, p) for m, p in found if p not in OPEN]


def address(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "20260101-000000-abcdef", path)


def test_no_route_answers_a_stranger(stranger):
    for method, path in routes():
        answer = stranger.request(method, address(path))
        assert answer.status_code == (401 if path.startswith("/api/") else 303), (method, path)
        assert "location" not in answer.headers or answer.headers["location"] == "/login"


def test_every_change_needs_the_secret_of_the_session(client):
    changing = [(m, p) for m, p in routes() if m not in ("GET", "HEAD")]
    assert changing
    for method, path in changing:
        for data in ({}, {"csrf": "guessed"}, {"csrf": "é"}):
            answer = client.request(method, address(path), data=data)
            assert answer.status_code == 403, (method, path, answer.text)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:80", "[::2]:8765"])
def test_another_host_name_is_refused(client, host):
    assert client.get("/runs", headers={"host": host}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:1"},
    ],
)
def test_a_form_from_another_site_is_refused_though_its_secret_is_right(client, headers):
    assert client.post("/logout", data={"csrf": csrf(client)}, headers=headers).status_code == 403
    assert client.get("/runs").status_code == 200


def test_a_link_lets_one_browser_in_once(app, desk, stranger):
    token = desk.sessions.new_link()
    assert stranger.get("/enter", params={"token": token}).status_code == 303
    other = TestClient(app, base_url=HERE, follow_redirects=False)
    assert other.get("/enter", params={"token": token}).status_code == 403
    assert other.get("/enter", params={"token": "x" * 5000}).status_code == 403
    assert other.get("/runs").status_code == 303
    acts = [entry.act for entry in desk.audit.newest()]
    assert acts == ["link refused", "link refused", "logged in"]


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(desk, stranger):
    answer = stranger.get("/enter", params={"token": desk.sessions.new_link()})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_session_survives_another_server_and_ends_at_the_logout(app, client, runs):
    again = make_app(Settings(runs=runs, user="ada"))
    other = TestClient(again, base_url=HERE, cookies=client.cookies, follow_redirects=False)
    assert other.get("/runs").status_code == 200
    assert other.post("/logout", data={"csrf": csrf(other)}).status_code == 303
    assert client.get("/runs").status_code == 303


def test_what_is_kept_of_sessions_and_passwords_does_not_let_anybody_in(app, client, runs):
    as_user(app, "grace", "reader")
    kept = b"".join(path.read_bytes() for path in (runs / ".web").iterdir())
    assert client.cookies["labwright_session"].encode() not in kept
    assert b"a long password" not in kept
    assert (runs / ".web").stat().st_mode & 0o077 == 0


def test_links_count_no_more_once_there_are_users(app, desk, client):
    assert client.get("/runs").status_code == 200
    as_user(app, "grace", "reader")
    assert client.get("/runs").status_code == 303
    assert client.get("/enter", params={"token": desk.sessions.new_link()}).status_code == 403


def test_passwords_cannot_be_tried_out(app, stranger):
    as_user(app, "grace", "reader")
    codes = [stranger.post("/login", data={"name": "grace", "password": f"guess {i}"}).status_code for i in range(6)]
    assert codes == [403] * 5 + [429]
    assert stranger.post("/login", data={"name": "grace", "password": "a long password"}).status_code == 429


def test_a_removed_or_demoted_user_is_so_at_once(app, desk):
    browser = as_user(app, "grace", "reviewer")
    assert browser.get("/api/session").json()["role"] == "reviewer"
    desk.accounts.change("grace", role="reader")
    assert browser.get("/api/session").json()["role"] == "reader"
    desk.accounts.remove("grace")
    assert browser.get("/api/session").status_code == 401
    with pytest.raises(WrongUse, match="only owner"):
        desk.accounts.change("head", role="reader")


def test_a_proxys_header_counts_from_its_address_only(runs):
    proxy = Proxy(header="X-Forwarded-User", address="testclient", role="reader")
    app = make_app(Settings(runs=runs, proxy=proxy))
    headers = {"X-Forwarded-User": "lin"}
    through = TestClient(app, base_url=HERE, headers=headers, follow_redirects=False)
    assert through.get("/api/session").json()["name"] == "lin"
    assert through.get("/api/session").json()["role"] == "reader"
    beside = TestClient(app, base_url=HERE, headers=headers, client=("10.0.0.9", 1), follow_redirects=False)
    assert beside.get("/api/session").status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "not-an-address"])
def test_other_machines_are_not_let_in_without_accounts(runs, host):
    with pytest.raises(WrongUse, match="--host"):
        Settings(runs=runs, host=host).checked(users=False)


def test_every_answer_forbids_foreign_and_inline_scripts(client, stranger, done_run):
    paths = ["/runs", f"/runs/{done_run.id}", "/login", "/nowhere", "/static/labwright.js", "/api/runs", "/api/nowhere"]
    for path in paths:
        assert client.get(path).headers["content-security-policy"] == POLICY, path
        assert client.get(path).headers["x-content-type-options"] == "nosniff", path
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


def test_a_large_body_is_refused_whether_it_says_its_size_or_not(client):
    assert client.post("/logout", content=b"x" * (3 * 2**20)).status_code == 413
    form = {"content-type": "application/x-www-form-urlencoded"}
    pieces = (b"csrf=" + b"x" * 2**20 for _ in range(4))
    assert client.post("/logout", content=pieces, headers=form).status_code == 413
    assert client.get("/runs").status_code == 200


def test_the_vendored_files_are_the_ones_that_were_looked_at():
    static = files("labwright.web").joinpath("static")
    listed = json.loads(static.joinpath("vendored.json").read_text(encoding="utf-8"))
    assert {entry["file"] for entry in listed} == {"htmx.min.js", "htmx-sse.min.js"}
    for entry in listed:
        content = static.joinpath(entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert static.joinpath(entry["licence"].split(", ")[1]).is_file()


def test_no_template_holds_inline_script_or_style_or_another_host():
    for entry in files("labwright.web").joinpath("templates").iterdir():
        text = entry.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|https?://|\|\s*safe", text), entry.name
