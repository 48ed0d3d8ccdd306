"""Pausing, resuming and cancelling a run."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from labwright.store import RunStore
from labwright.web.desk import desk_of, must_be, own_form, store_of, visitor_of
from labwright.web.forms import whole_number
from labwright.workflows import control
from labwright.workflows.stopping import ask_to_stop

router = APIRouter(include_in_schema=False, dependencies=[Depends(must_be("reviewer")), Depends(own_form)])
Act = Literal["pause", "resume", "cancel"]


@router.post("/runs/{run}/pause")
def pause(request: Request, run: str, reason: Annotated[str, Form()] = "") -> Response:
    """Stop a run; it can be resumed."""
    return _steered(request, run, "pause", reason)


@router.post("/runs/{run}/cancel")
def cancel(request: Request, run: str, reason: Annotated[str, Form()] = "") -> Response:
    """End a run."""
    return _steered(request, run, "cancel", reason)


@router.post("/runs/{run}/resume")
def resume(request: Request, run: str, tokens: Annotated[str, Form()] = "") -> Response:
    """Queue a stopped run, with another limit of tokens where one is given."""
    steer(request, store_of(request, run), "resume", budget={"tokens": whole_number(tokens, "tokens")})
    return RedirectResponse(f"/runs/{run}", 303)


def _steered(request: Request, run: str, act: Act, reason: str) -> Response:
    steer(request, store_of(request, run), act, reason=reason)
    return RedirectResponse(f"/runs/{run}", 303)


def steer(
    request: Request, store: RunStore, act: Act, *, reason: str = "", budget: dict[str, float | None] | None = None
) -> None:
    """Carry one act out for who asks, and say so in the log.

    Raises:
        HTTPException: 403, it is somebody else's run and the visitor is no owner.
        WrongUse: the run's state does not allow it.
    """
    desk, visitor = desk_of(request), visitor_of(request)
    by = store.record().started_by
    if by != visitor.name and not visitor.may("owner"):
        raise HTTPException(403, f"run {store.id} is {by or 'nobody'}'s; an owner can {act} it")
    if act == "resume":
        control.queue_again(store, budget or {})
    else:
        ask_to_stop(store, act, by=visitor.name, reason=reason)
    desk.audit.add(visitor.name, act, about=store.id, detail=reason)
    desk.queue.nudge()
