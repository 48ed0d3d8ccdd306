"""A person's way through the page in a real Chromium, on a real run: asked for, watched, paused, reviewed, edited, read.

The model is the embedded SmolLM2-135M and the sandbox the real one. Each step is looked at in two sizes: accessibility,
console, requests, and a picture where one is wanted.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from labwright.eval.suites.web_browser import SIZES, launched, watched
from labwright.eval.suites.web_server import Server
from labwright.tools.local_corpus import corpus_names
from labwright.workflows.literature_sources import corpora_dir

if TYPE_CHECKING:
    from playwright.sync_api import Page

OBJECTIVE: Final = (
    "German Breast Cancer Study Group trial 2: does hormone therapy change the time to recurrence or death of patients "
    "with node-positive breast cancer, and is it associated with age, menopause, tumour size, grade and receptors?"
)
NOTE: Final = (
    "# Hormone therapy in node-positive breast cancer\n\nPatients with hormone therapy had a longer recurrence-free "
    "survival than those without it. Survival was compared by the log-rank test and by Cox regression.\n"
)
COMMENT, TITLE = "Compare by grade too, please.", "A title by the person who drives"
CONFIG: Final = """\
[backends.small]
kind = "embedded"
model = "smollm2-135m-instruct"
[literature]
helpfulness = 1.0
candidates = 4
keep = 2
"""
DESIGN_S, RUN_S, LOOK_S = 900.0, 900.0, 20.0
"""Longest waits for the design, for the analyses, and for anything on a page."""
VIEWS = ("wide", "phone")


@dataclass(slots=True)
class Drive:
    """The browser's page, the server, and what was seen."""

    page: Page
    server: Server
    add: Callable[..., Any]
    say: Callable[[str], None]
    pictures: Path | None
    folder: Path
    run: str = ""
    console: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def does(self, name: str, act: Callable[[Drive], None]) -> bool:
        """Do a step, and say whether it was done; one that was not is a row with what went wrong."""
        from playwright.sync_api import Error

        began = time.monotonic()
        fault = ""
        try:
            act(self)
        except (Error, AssertionError, httpx.HTTPError, OSError, zipfile.BadZipFile) as error:
            fault = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        self.add("drive", name, {"done": not fault, "seconds": round(time.monotonic() - began, 1), "fault": fault})
        self.say(f"{name}: {fault or 'done'}")
        self._look(name)
        return not fault

    def _look(self, name: str) -> None:
        for size in VIEWS:
            picture = self.pictures / f"drive-{name.replace(' ', '-')}-{size}.png" if self.pictures else None
            width, height, _ = SIZES[size]
            self.page.set_viewport_size({"width": width, "height": height})
            found = watched(self.page, picture)
            found |= {"console": self.console[:], "outside": self.outside[:]}
            self.console.clear()
            self.outside.clear()
            self.add("drive_view", f"{name}:{size}", found)
        width, height, _ = SIZES["wide"]
        self.page.set_viewport_size({"width": width, "height": height})

    def goes(self, address: str) -> None:
        """Open a page of the run."""
        self.page.goto(f"/runs/{self.run}{address}", wait_until="load")

    def status(self) -> str:
        """Of the run, as the interface says."""
        with self.server.visitor() as client:
            return str(client.get(f"/api/runs/{self.run}").json()["status"])

    def waits(self, *wanted: str, within_s: float) -> None:
        """Wait until the run has one of these states.

        Raises:
            AssertionError: it has another one that it stays in, or time is over.
        """
        end = time.monotonic() + within_s
        while (now := self.status()) not in wanted:
            assert now not in ("done", "failed", "interrupted"), f"the run is {now}"  # noqa: S101  (a check of the drive)
            assert time.monotonic() < end, f"the run is still {now}"  # noqa: S101
            time.sleep(1)


def measure(add: Callable[..., Any], *, pictures: Path | None, say: Callable[[str], None]) -> None:
    """Go the whole way once; adds a row a step and a row a view.

    Args:
        add: takes kind, name and facts of a row.
        pictures: folder for pictures; None takes none.
        say: shows progress.

    Raises:
        SomethingMissing: browser, driver, engine or model is not there.
    """
    with tempfile.TemporaryDirectory(prefix="labwright-drive-") as scratch:
        folder = Path(scratch)
        (folder / "labwright.toml").write_text(CONFIG, encoding="utf-8")
        before = set(corpus_names(corpora_dir()))
        server = Server(folder / "runs", config=folder / "labwright.toml", engine=True)
        server.start()
        try:
            with launched(server) as page:
                drive = Drive(page, server, add, say, pictures, folder)
                own = (server.address, "data:", "blob:")
                page.on("console", lambda m: drive.console.append(m.text) if m.type == "error" else None)
                page.on("pageerror", lambda e: drive.console.append(str(e)))
                page.on("request", lambda r: None if r.url.startswith(own) else drive.outside.append(r.url))
                page.set_default_timeout(1000 * LOOK_S)
                for name, act in STEPS.items():
                    if not drive.does(name, act):
                        break
        finally:
            server.stop()
            for name in set(corpus_names(corpora_dir())) - before:  # what the drive uploaded is nobody's
                shutil.rmtree(corpora_dir() / name, ignore_errors=True)


def _submit(drive: Drive) -> None:
    page = drive.page
    note = drive.folder / "own-note.md"
    note.write_text(NOTE, encoding="utf-8")
    page.goto("/new", wait_until="load")
    page.get_by_label("Objective").fill(OBJECTIVE)
    page.set_input_files("#uploads", str(note))
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/*", timeout=180_000)  # the upload is read and indexed first
    drive.run = page.url.rsplit("/", 1)[-1].split("?")[0]


def _source(drive: Drive) -> None:
    page = drive.page
    page.locator("a.source").first.click()
    page.wait_for_url("**/papers/*")
    assert page.locator("mark").count() > 0, "no quoted span is marked in the source"  # noqa: S101
    page.go_back(wait_until="load")


def _edit(drive: Drive) -> None:
    page = drive.page
    drive.goes("/protocol")
    card = page.locator("article.card").first
    card.get_by_role("link", name="Comment or edit").first.click()
    card.get_by_text("Edit", exact=True).click()
    card.locator("textarea[name=title]").fill(TITLE)
    card.get_by_role("button", name="Save as version 2").click()
    page.get_by_text(TITLE).first.wait_for()
    drive.goes("/versions")
    page.locator("ins").first.wait_for()


def _results(drive: Drive) -> None:
    page = drive.page
    drive.waits("done", within_s=RUN_S)
    drive.goes("/tasks")
    page.locator("table a, li a").first.wait_for()
    drive.page.locator("a[href*='/tasks/']").first.click()
    page.locator("img").first.wait_for()
    drawn = page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert drawn, "a figure of the results is not shown"  # noqa: S101


def _archive(drive: Drive) -> None:
    page = drive.page
    drive.goes("")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Everything as one archive").click()
    kept = drive.folder / "archive.zip"
    coming.value.save_as(kept)
    with zipfile.ZipFile(kept) as archive:
        names = archive.namelist()
        assert archive.testzip() is None, "the archive is damaged"  # noqa: S101
    for wanted in ("record.json", "protocol.json", "report.html"):
        assert any(name.endswith(wanted) for name in names), f"{wanted} is not in the archive"  # noqa: S101


def _watch(drive: Drive) -> None:
    drive.page.locator("ol.graph li").first.wait_for()
    assert drive.page.locator("ol.graph li").count() > 5, "the graph is not drawn"  # noqa: S101


def _pause(drive: Drive) -> None:
    page = drive.page
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for(timeout=120_000)
    page.get_by_role("button", name="Resume").click()
    drive.waits("running", "queued", "waiting_for_review", within_s=60)


def _waits(drive: Drive) -> None:
    drive.waits("waiting_for_review", within_s=DESIGN_S)
    drive.goes("")
    drive.page.get_by_role("link", name="Review the protocol").click()
    drive.page.get_by_text("This protocol waits for you.").wait_for()


def _comment(drive: Drive) -> None:
    page = drive.page
    drive.goes("/protocol")
    page.keyboard.press("j")
    page.keyboard.press("c")
    page.locator("textarea[name=text]").fill(COMMENT)
    page.get_by_role("button", name="Keep the comment").click()
    page.get_by_text(COMMENT).wait_for()


def _approve(drive: Drive) -> None:
    drive.goes("/protocol")
    drive.page.keyboard.press("a")
    drive.page.keyboard.press("Enter")
    drive.page.wait_for_url(f"**/runs/{drive.run}*")
    drive.waits("running", "queued", "done", within_s=60)


def _history(drive: Drive) -> None:
    drive.goes("/history")
    for word in ("approve, version 2", "edit, version 2"):
        drive.page.get_by_text(word).first.wait_for()


def _compare(drive: Drive) -> None:
    drive.page.goto(f"/compare?first={drive.run}&second={drive.run}", wait_until="load")
    drive.page.get_by_role("heading", name="Facts").wait_for()


def _benchmarks(drive: Drive) -> None:
    drive.page.goto("/benchmarks", wait_until="load")
    drive.page.get_by_role("heading", name="Benchmarks").first.wait_for()


STEPS: Mapping[str, Callable[[Drive], None]] = {
    "submit": _submit,
    "watch": _watch,
    "pause and resume": _pause,
    "wait for the review": _waits,
    "follow a source": _source,
    "comment by keyboard": _comment,
    "edit a part": _edit,
    "approve by keyboard": _approve,
    "results": _results,
    "take it along": _archive,
    "history": _history,
    "compare": _compare,
    "benchmarks": _benchmarks,
}
"""The way, in order."""
