"""What strangers, models and scripts wrote stays text on every page: no element, attribute or address comes of it.

That a browser runs none of it either is measured by `labwright bench web`.
"""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from web_client import csrf

from labwright import domain
from labwright.eval.suites.web_payloads import MARK, payloads
from labwright.store import RunStore
from labwright.web.pages import segment

TEXTS = payloads()
TASK = "Part 1-dry-experiment-1"


class Elements(HTMLParser):
    """Everything of a page that is not text."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, tuple(attrs)))


def faults(page: str) -> list[str]:
    """Elements and attributes that no template of ours makes."""
    parser = Elements()
    parser.feed(page)
    found = []
    for tag, attributes in parser.seen:
        named = dict(attributes)
        if tag in ("iframe", "object", "embed", "base", "style", "svg", "math", "marquee", "video"):
            found.append(tag)
        found += [f"{tag} {name}" for name in named if name.startswith(("on", "hx-on")) or name in ("style", "srcdoc")]
        if tag == "script" and not str(named.get("src", "")).startswith("/static/"):
            found.append(f"script {named}")
        for name in ("href", "src", "action", "data", "hx-get", "sse-connect"):
            address = named.get(name) or ""
            ours = address.startswith(
                ("/", "#", "data:image/", "https://doi.org/", "https://pubmed.ncbi.nlm.nih.gov/", "facts#")
            )
            if name in named and (not ours or address.startswith("//")):
                found.append(f"{tag} {name}={address}")
    return found


@pytest.fixture(scope="module")
def texts() -> str:
    assert len(set(TEXTS)) > 100
    return "\n".join(TEXTS)


@pytest.fixture
def poisoned(waiting_run: RunStore, texts: str) -> RunStore:
    """A run whose every text is all payloads, one after the other."""
    folder = waiting_run.folder
    for path in (folder / "papers" / "wang2005.json", folder / "protocol.json", folder / "reviews.json", folder / "record.json",
                 folder / "reports" / "wang2005.json", folder / "reports" / "wang2005.analysis.json",
                 folder / "datasets" / "breast_vdx.json", folder / "papers" / "_screening.json",
                 folder / "tasks" / file(TASK) / "task.json"):  # fmt: skip
        path.write_text(json.dumps(_filled(json.loads(path.read_text()), texts)))
    (folder / "papers" / "wang2005.txt").write_text(texts)
    (folder / "tasks" / file(TASK) / "log.txt").write_text(texts)
    (folder / "tasks" / file(TASK) / "script.py").write_text(texts)
    (folder / "process.log").write_text(texts)
    (folder / "progress.jsonl").write_text(json.dumps({"at": "2026-01-01T00:00:00+00:00", "said": texts}) + "\n")
    return waiting_run


def file(task: str) -> str:
    from labwright.store import file_name

    return file_name(task)


FREE = ("text", "title", "abstract", "details", "outline", "purpose", "logic", "reason", "critique", "message", "conditions",
        "requirements", "journal", "description", "verification", "suggestions", "design_reason", "licence", "error")  # fmt: skip


def _filled(value, texts: str):
    if isinstance(value, dict):
        return {k: texts if k in FREE and isinstance(v, str) else _filled(v, texts) for k, v in value.items()}
    return [_filled(v, texts) for v in value] if isinstance(value, list) else value


PAGES = (
    "",
    "/protocol",
    "/tasks",
    f"/tasks/{segment(TASK)}",
    "/literature",
    "/papers/wang2005",
    "/data",
    "/facts",
    "/history",
)


def test_no_element_comes_of_any_text_on_any_page(client, poisoned):
    version = poisoned.read(poisoned.folder / "protocol.json", domain.Protocol).version
    client.post(f"/runs/{poisoned.id}/comments", data={"csrf": csrf(client), "text": "\n".join(TEXTS[:90])})
    assert version == 1
    seen = 0
    pages = ["/runs", *(f"/runs/{poisoned.id}{page}" for page in PAGES), f"/runs/{poisoned.id}/watch",
             f"/compare?first={poisoned.id}&second={poisoned.id}"]  # fmt: skip
    for address in pages:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert faults(answer.text) == [], address
        assert "\x00" not in answer.text
        assert "\u202e" not in answer.text
        seen += answer.text.count("window.__ran")
    assert seen > 1000  # the texts are there, as text


def test_the_finder_of_faults_finds_them():
    """Most payloads are elements; the others act on templates, terminals and attributes."""
    assert sum(bool(faults(text)) for text in TEXTS) > 90


@pytest.mark.parametrize("text", [t for t in TEXTS if "\x00" not in t][::7])
def test_names_in_addresses_and_fields_come_back_as_text(client, done_run, text):
    for address in (
        f"/runs/{segment(text)}",
        f"/runs/{done_run.id}/papers/{segment(text)}",
        f"/benchmarks/{segment(text)}",
    ):
        answer = client.get(address)
        assert answer.status_code in (404, 422), address
        assert faults(answer.text) == []
    assert faults(client.get("/runs", params={"words": text, "status": text}).text) == []
    form = {"csrf": csrf(client), "form": "y" * 20, "objective": "short", "conditions": text, "workflow": text}
    answer = client.post("/runs", data=form)
    assert answer.status_code == 400
    assert faults(answer.text) == []
    assert MARK not in client.get("/login", params={"why": text}).text
