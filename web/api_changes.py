"""Changes through the JSON interface: asking for runs and steering them, as the forms do."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from labwright.config import Role
from labwright.store import described
from labwright.web.api import REFUSALS, RunId, ShownRun
from labwright.web.desk import desk_of, must_be, own_form, store_of
from labwright.web.steering import Act, steer
from labwright.web.submit import ask_for_run, checked
from labwright.workflows.baselines import Workflow
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


@router.post("/runs/{run}/{act}", response_model=ShownRun, responses=REFUSALS, dependencies=CHANGES)
def steered(request: Request, run: RunId, act: Act, asked: Steered) -> dict[str, Any]:
    """Pause, resume or cancel a run."""
    store = store_of(request, run)
    steer(request, store, act, reason=asked.reason, budget={"tokens": asked.tokens, "seconds": asked.seconds})
    return described(store)
