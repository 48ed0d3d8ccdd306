"""The pages in a real Chromium: accessibility, console, requests, hostile texts, and pictures to look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from labwright.errors import SomethingMissing
from labwright.eval.suites.web_server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZES: Mapping[str, tuple[int, int, Literal["light", "dark"]]] = {
    "wide": (1366, 900, "light"),
    "phone": (390, 844, "light"),
    "dark": (1366, 900, "dark"),
}
"""Width and height in pixels, and colour scheme."""
SETTLE_MS = 500
"""For events and pieces that come after the page."""
IMPACTS = ("serious", "critical")


def chromium() -> str:
    """Path of a Chromium.

    Raises:
        SomethingMissing: there is none, or no driver or checker for it.
    """
    for package in ("playwright", "axe_playwright_python"):
        if find_spec(package) is None:
            raise SomethingMissing(f"the browser part needs {package}: pip install playwright axe-playwright-python")
    found = os.environ.get("LABWRIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise SomethingMissing("the browser part needs Chromium: apt-get install chromium, or set LABWRIGHT_CHROMIUM")
    return found


def measure(
    server: Server,
    pages: Mapping[str, str],
    add: Callable[..., Any],
    *,
    pictures: Path | None,
    say: Callable[[str], None],
) -> None:
    """Open every page at two sizes, and dark; adds a row each.

    Args:
        server: started.
        pages: name to address; those whose name begins with "hostile" are full of hostile texts.
        add: takes kind, name and facts of a row.
        pictures: folder for a picture of each page; None takes none.
        say: shows progress.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"] * (os.geteuid() == 0))
        for name, address in pages.items():
            for size in SIZES:
                add("view", f"{name}:{size}", _view(browser, server, (name, address, size), pictures))
            say(f"looked at {name}")
        browser.close()


def _view(browser: Browser, server: Server, what: tuple[str, str, str], pictures: Path | None) -> dict[str, Any]:
    name, address, size = what
    width, height, scheme = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, base_url=server.address
    )
    context.add_cookies([{"name": n, "value": v, "url": server.address} for n, v in server.cookies.items()])
    page = context.new_page()
    console: list[str] = []
    outside: list[str] = []
    own = (server.address, "data:", "blob:")
    page.on("console", lambda m: console.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: console.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith(own) else outside.append(r.url))
    page.goto(address, wait_until="load")
    found = watched(page, pictures / f"{name.replace(' ', '-')}-{size}.png" if pictures is not None else None)
    timing = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    context.close()
    return {"load_ms": round(float(timing), 1), **found, "console": console, "outside": outside}


def watched(page: Page, picture: Path | None) -> dict[str, Any]:
    """What is wrong with a page as it stands: accessibility, a hostile text that ran, pixels wider than its window."""
    page.wait_for_timeout(SETTLE_MS)
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=picture)
    return {
        "ran": bool(page.evaluate("window.__ran === 1")),
        "wider_px": max(0, int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))),
        "axe": _axe(page),
    }


@contextmanager
def launched(server: Server) -> Iterator[Page]:
    """A page of a new Chromium, with the owner's session.

    Raises:
        SomethingMissing: browser or driver is not there.
    """
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"] * (os.geteuid() == 0))
        width, height, scheme = SIZES["wide"]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, base_url=server.address
        )
        context.add_cookies([{"name": n, "value": v, "url": server.address} for n, v in server.cookies.items()])
        yield context.new_page()
        browser.close()


def _axe(page: Page) -> list[dict[str, Any]]:
    """Violations that are serious or critical."""
    source = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    # Through the driver's own channel: the page's policy lets no script of a test in either.
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": source})
    found = page.evaluate("axe.run()")
    return [
        {"rule": v["id"], "impact": v["impact"], "where": [n["html"][:160] for n in v["nodes"][:3]]}
        for v in found["violations"]
        if v["impact"] in IMPACTS
    ]
