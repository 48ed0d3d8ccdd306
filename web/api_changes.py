"""Changes through the JSON interface: asking for runs and steering them, as the forms do."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from labwright.config import Role
from labwright.domain import Comment, Protocol
from labwright.store import described
from labwright.web.api import REFUSALS, RunId, ShownRun
from labwright.web.desk import desk_of, must_be, own_form, store_of, visitor_of
from labwright.web.review import Decision, decide_on
from labwright.web.steering import Act, steer
from labwright.web.submit import ask_for_run, checked
from labwright.workflows.baselines import Workflow
from labwright.workflows.comments import add_comment, comments
from labwright.workflows.decisions import save_edit
from labwright.workflows.estimates import Estimate

router = APIRouter(prefix="/api", tags=["changes"])
CHANGES = [Depends(must_be("reviewer")), Depends(own_form)]
Positive = Annotated[float, Field(gt=0, lt=1e12)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AskedRun(_Asked):
    """A run to be queued; what is left out is as in the server's configuration."""

    objective: str
    conditions: str = ""
    requirements: str = ""
    workflow: Workflow = "labwright"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    review: bool = True
    """Stop after the design, for a person."""
    tokens: Annotated[int, Field(gt=0, lt=10**12)] | None = None
    usd: Positive | None = None
    seconds: Positive | None = None
    sources: list[str] = []
    datasets: list[str] = []
    """Ids of data sets that may be used; empty allows all."""
    roles: dict[Role, str] = {}
    """Role to the name of a backend."""


class Steered(_Asked):
    """Why, or with which new limits."""

    reason: str = Field("", max_length=500)
    tokens: Annotated[int, Field(gt=0, lt=10**12)] | None = None
    seconds: Positive | None = None


class Lacking(BaseModel):
    """What `labwright run --check --json` prints."""

    lacking: list[dict[str, Any]]
    estimate: Estimate | None


@router.get("/check", responses=REFUSALS)
def check(request: Request, workflow: Workflow = "labwright") -> Lacking:
    """What a run would need and take."""
    return Lacking(**checked(desk_of(request), workflow))


@router.post("/runs", status_code=201, response_model=ShownRun, responses=REFUSALS, dependencies=CHANGES)
def submit(request: Request, asked: AskedRun) -> dict[str, Any]:
    """Queue a run; it is on the disk when the answer is sent."""
    return described(store_of(request, ask_for_run(request, asked.model_dump())))


class NewComment(_Asked):
    """A comment on the protocol, a part or a step."""

    text: str = Field(min_length=1, max_length=4000)
    part: str = ""
    step: str = ""


class Decided(_Asked):
    """A decision about the protocol that waits."""

    decision: Decision
    reason: str = Field("", max_length=4000)
    version: int | None = None
    """The version that was looked at; another one is not decided about."""


@router.get("/runs/{run}/comments", responses=REFUSALS)
def remarks(request: Request, run: RunId) -> list[Comment]:
    """What `labwright comment RUN --json` prints."""
    return list(comments(store_of(request, run)))


@router.post("/runs/{run}/comments", status_code=201, responses=REFUSALS, dependencies=CHANGES)
def remark(request: Request, run: RunId, asked: NewComment) -> Comment:
    """Keep a comment; it is on the disk when the answer is sent."""
    by = visitor_of(request).name
    return add_comment(store_of(request, run), asked.text, part=asked.part, step=asked.step, by=by)


@router.post("/runs/{run}/review", response_model=ShownRun, responses=REFUSALS, dependencies=CHANGES)
def decide(request: Request, run: RunId, asked: Decided) -> dict[str, Any]:
    """Approve, send back or reject the protocol."""
    store = store_of(request, run)
    decide_on(request, store, asked.decision, asked.reason, "" if asked.version is None else str(asked.version))
    return described(store)


@router.put("/runs/{run}/protocol", responses=REFUSALS, dependencies=CHANGES)
def replace(request: Request, run: RunId, edited: Protocol) -> Protocol:
    """Save an edited protocol as the next version; its field `version` says which one it was made from."""
    return save_edit(store_of(request, run), edited, by=visitor_of(request).name)


@router.post("/runs/{run}/{act}", response_model=ShownRun, responses=REFUSALS, dependencies=CHANGES)
def steered(request: Request, run: RunId, act: Act, asked: Steered) -> dict[str, Any]:
    """Pause, resume or cancel a run."""
    store = store_of(request, run)
    steer(request, store, act, reason=asked.reason, budget={"tokens": asked.tokens, "seconds": asked.seconds})
    return described(store)
