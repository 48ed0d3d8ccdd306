"""Two runs side by side, and the benchmarks."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import HTMLResponse, Response

from labwright.eval.benchmark_documents import Document, document, documents, earlier, rows
from labwright.eval.comparison import compare_runs
from labwright.eval.goals import Goal, goal_of
from labwright.web.desk import desk_of, store_of
from labwright.web.pages import page
from labwright.web.results import REPORT_POLICY

router = APIRouter(include_in_schema=False)
RECENT, ON_A_PAGE = 100, 100


@router.get("/compare")
def compare(request: Request, first: str = "", second: str = "") -> Response:
    """Two runs of this folder."""
    listed = desk_of(request).runs.rows()[:RECENT]
    found = (
        compare_runs(store_of(request, first).folder, store_of(request, second).folder) if first and second else None
    )
    return page(request, "compare.html", listed=listed, first=first, second=second, found=found)


@router.get("/benchmarks")
def benchmarks(request: Request) -> Response:
    """Every committed figure beside its goal."""
    folder = desk_of(request).settings.benchmarks
    found = [(d, _goals(d)) for d in documents(folder)]
    pages = sorted(path.name for path in folder.glob("*.html"))
    return page(request, "benchmarks.html", found=found, folder=str(folder), charts=pages)


@router.get("/benchmarks/pages/{name}")
def chart(request: Request, name: str) -> Response:
    """A page that a benchmark wrote: comparison tables, perception charts. It holds no scripts."""
    folder = desk_of(request).settings.benchmarks
    path = next((p for p in folder.glob("*.html") if p.name == name), None)
    if path is None:
        raise HTTPException(404, f"no benchmark wrote a page {name[:60]!r}")
    return HTMLResponse(path.read_bytes(), headers={"Content-Security-Policy": REPORT_POLICY})


@router.get("/benchmarks/{suite}")
def benchmark(request: Request, suite: str) -> Response:
    """One suite: its figures now and before."""
    found = _document(request, suite)
    before = earlier(desk_of(request).settings.benchmarks, suite)
    past = [(old, {f.name: f for f in old.figures}) for old in before]
    return page(request, "benchmark.html", document=found, goals=_goals(found), past=past)


@router.get("/benchmarks/{suite}/rows")
def behind(request: Request, suite: str, first: Annotated[int, Query(ge=0, lt=10**9)] = 0) -> Response:
    """The runs and items behind the figures of a suite."""
    found = _document(request, suite)
    folder = desk_of(request).settings.benchmarks
    shown: list[dict[str, Any]] = list(islice(rows(folder, suite), first, first + ON_A_PAGE + 1))
    more = {"first": first, "step": ON_A_PAGE, "more": len(shown) > ON_A_PAGE}
    return page(request, "rows.html", document=found, rows=shown[:ON_A_PAGE], **more)


def _document(request: Request, suite: str) -> Document:
    found = document(desk_of(request).settings.benchmarks, suite)
    if found is None:
        raise HTTPException(404, f"no benchmark {suite[:40]!r} is there")
    return found


def _goals(found: Document) -> dict[str, Goal]:
    return {figure.name: goal_of(figure.name, figure.value) for figure in found.figures}
