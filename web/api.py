"""The JSON interface: the documents of the command line's --json, from the same functions.

A change needs the header X-CSRF-Token, which GET /api/session says.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from labwright.config import load_config
from labwright.domain import Protocol, RunRecord, Task, TaskResult
from labwright.eval.benchmark_documents import Document, documents
from labwright.eval.report_files import RunFiles
from labwright.store import described
from labwright.web.desk import desk_of, store_of, visitor_of
from labwright.web.settings import Role
from labwright.workflows.doctor import findings

router = APIRouter(prefix="/api", tags=["runs"])
RunId = Annotated[str, Path(max_length=40, description="Id of a run.")]


class Refusal(BaseModel):
    """Why a request was refused, in one line."""

    error: str


class SessionFacts(BaseModel):
    """Who asks."""

    name: str
    role: Role
    csrf: str
    """For the header X-CSRF-Token."""


class ShownRun(RunRecord):
    """What `labwright show RUN --json` prints."""

    folder: str
    report: str


class TaskDocument(BaseModel):
    """A task and how it ended."""

    task: Task
    result: TaskResult | None


REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Refusal, "description": why}
    for code, why in (
        (400, "Wrong use"),
        (401, "No session"),
        (403, "The role does not allow it, or the token of the session is missing"),
        (404, "Not there"),
        (409, "Not now: the run's state does not allow it"),
        (413, "Too large"),
        (422, "The document cannot be read"),
    )
}


@router.get("/session", responses=REFUSALS)
def session(request: Request) -> SessionFacts:
    """Who asks, and the token that changes have to carry."""
    visitor = visitor_of(request)
    return SessionFacts(name=visitor.name, role=visitor.role, csrf=visitor.csrf)


@router.get("/runs", response_model=list[RunRecord], responses=REFUSALS)
def runs(request: Request) -> Response:
    """What `labwright runs --json` prints."""
    return Response(desk_of(request).runs.records(), media_type="application/json")


@router.get("/runs/{run}", response_model=ShownRun, responses=REFUSALS)
def run(request: Request, run: RunId) -> dict[str, Any]:
    """What `labwright show RUN --json` prints."""
    return described(store_of(request, run))


@router.get("/runs/{run}/protocol", responses=REFUSALS)
def protocol(request: Request, run: RunId) -> Protocol:
    """The protocol as it stands."""
    found = desk_of(request).views.run(store_of(request, run).folder).protocol
    if found is None:
        raise HTTPException(404, f"run {run} has no protocol yet")
    return found


@router.get("/runs/{run}/tasks", responses=REFUSALS)
def tasks(request: Request, run: RunId) -> list[TaskDocument]:
    """The tasks of the run, in the order of the protocol."""
    files = RunFiles(store_of(request, run).folder)
    return [TaskDocument(task=task, result=files.result(task.id)) for task in files.tasks()]


@router.get("/benchmarks", responses=REFUSALS)
def benchmarks(request: Request) -> list[Document]:
    """The committed benchmark documents."""
    return documents(desk_of(request).settings.benchmarks)


@router.get("/doctor", responses=REFUSALS)
def doctor(request: Request) -> list[dict[str, Any]]:
    """What `labwright doctor --json` prints."""
    return findings(load_config(desk_of(request).settings.config).sandbox)
