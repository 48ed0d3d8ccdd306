"""The list of runs and the pages of one run that are read."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from markupsafe import Markup
from starlette.responses import Response

from labwright.eval.report_lineage import lineage
from labwright.eval.report_summary import STATUS
from labwright.web.desk import desk_of, store_of, visitor_of
from labwright.web.live import ACTIVE
from labwright.web.pages import STATES, page
from labwright.web.run_views import RunView
from labwright.web.watch import place_of

router = APIRouter(include_in_schema=False)
ON_A_PAGE = 50


@router.get("/runs")
def runs(request: Request, status: str = "", words: str = "", first: int = 0) -> Response:
    """The runs, newest first; by status and by words of their objective or id."""
    rows = desk_of(request).runs.rows()
    wanted = words.casefold().split()
    found = [
        row
        for row in rows
        if (not status or row.status == status)
        and all(word in f"{row.objective} {row.id} {row.started_by}".casefold() for word in wanted)
    ]
    first = max(0, min(first, max(0, len(found) - 1)))
    shown = found[first : first + ON_A_PAGE]
    more: dict[str, Any] = {"status": status, "words": words, "first": first, "step": ON_A_PAGE, "states": STATES}
    return page(request, "runs.html", rows=shown, n_found=len(found), n_all=len(rows), **more)


@router.get("/runs/{run}")
def run(request: Request, run: str) -> Response:
    """How the run stands and what came out."""
    desk, store = desk_of(request), store_of(request, run)
    view, visitor = desk.views.run(store.folder), visitor_of(request)
    mine = visitor.may("owner") or (visitor.may("reviewer") and view.record.started_by == visitor.name)
    live = Markup(desk.watch.html(store, place_of(request, run)))  # noqa: S704  (rendered by a template of ours)
    return page(request, "run.html", **context(view, "overview"), live=live, active=ACTIVE, mine=mine)


@router.get("/runs/{run}/literature")
def literature(request: Request, run: str) -> Response:
    """Papers found, kept and read."""
    return _page(request, run, "literature.html", "literature")


@router.get("/runs/{run}/papers/{paper:path}")
def paper(request: Request, run: str, paper: str) -> Response:
    """What was read in a paper, and its stored document with every quote marked."""
    view = desk_of(request).views.run(store_of(request, run).folder)
    found = next((kept for kept in view.literature.kept if kept.paper.id == paper), None)
    if found is None:
        raise HTTPException(404, f"run {run} has stored no paper {paper[:60]!r}")
    return page(request, "paper.html", **context(view, "literature"), view=found)


@router.get("/runs/{run}/data")
def data(request: Request, run: str) -> Response:
    """Data sets with their verification."""
    return _page(request, run, "data.html", "data")


@router.get("/runs/{run}/facts")
def facts(request: Request, run: str) -> Response:
    """Models, tokens, times, the sandbox's policy."""
    return _page(request, run, "facts.html", "facts")


def _page(request: Request, run: str, template: str, tab: str) -> Response:
    view = desk_of(request).views.run(store_of(request, run).folder)
    return page(request, template, **context(view, tab))


def context(view: RunView, tab: str) -> dict[str, Any]:
    """What the pages of one run are given."""
    return {
        "tab": tab,
        "run": view,
        "record": view.record,
        "status": STATUS[view.record.status],
        "protocol": view.protocol,
        "parts": view.parts,
        "literature": view.literature,
        "n_kept": sum(p.reason.startswith("kept") for p in view.literature.screened),
        "datasets": view.datasets,
        "dataset_choices": view.dataset_choices,
        "operator_choices": view.operator_choices,
        "reviews": view.reviews,
        "rows": view.tasks,
        "pictures": view.pictures,
        "figures": view.figures,
        "decided": view.decided,
        "models": view.models,
        "lineage": lineage(view.record),
        "automation": view.automation,
        "n_unsupported": view.n_unsupported,
        "faults": view.faults,
        "at": f"/runs/{view.record.id}",
    }
