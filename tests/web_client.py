"""Browsers of a server in the test's own process."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.testclient import TestClient

from labwright.web.desk import Desk

HERE = "http://127.0.0.1:8765"
PASSWORD = "a long password"


def csrf(browser: TestClient) -> str:
    """What the forms of this browser's session carry."""
    return browser.get("/api/session").json()["csrf"]


def let_in(app: FastAPI) -> TestClient:
    """The browser of whoever started the server."""
    desk: Desk = app.state.desk
    browser = TestClient(app, base_url=HERE, follow_redirects=False)
    assert browser.get("/enter", params={"token": desk.sessions.new_link()}).status_code == 303
    return browser


def as_user(app: FastAPI, name: str, role: str) -> TestClient:
    """The browser of a named user, who is made; the first one needs an owner beside."""
    desk: Desk = app.state.desk
    if not desk.accounts.all() and role != "owner":
        desk.accounts.add("head", PASSWORD, "owner")
    desk.accounts.add(name, PASSWORD, role)
    browser = TestClient(app, base_url=HERE, follow_redirects=False)
    assert browser.post("/login", data={"name": name, "password": PASSWORD}).status_code == 303
    return browser
