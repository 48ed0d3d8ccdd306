"""Reviewing a protocol: comments, edits, versions, the decision; and who did what."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from labwright.domain import Comment, Part, Protocol, Step
from labwright.errors import WrongUse
from labwright.eval.protocol_diff import changes
from labwright.eval.report_quotes import anchor
from labwright.store import RunStore
from labwright.web.desk import desk_of, must_be, own_form, store_of, visitor_of
from labwright.web.pages import page
from labwright.web.runs import context
from labwright.workflows import decisions
from labwright.workflows.comments import add_comment, comments, settle_comment
from labwright.workflows.edits import versions
from labwright.workflows.interventions import interventions

router = APIRouter(include_in_schema=False)
CHANGES = [Depends(must_be("reviewer")), Depends(own_form)]
Decision = Literal["approve", "send_back", "reject"]
Field = Annotated[str, Form()]


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a person did to a run."""

    at: str
    by: str
    what: str
    detail: str


def history(store: RunStore) -> list[Act]:
    """What persons did to a run, newest first."""
    acts = [
        Act(
            act.at,
            act.by,
            f"{act.kind.replace('_', ' ')}{f', version {act.version}' if act.version else ''}",
            act.detail or ", ".join(act.steps),
        )
        for act in interventions(store)
    ]
    for one in comments(store):
        place = f"{one.part} {f'step {one.step}' if one.step else ''}".strip() or "the protocol"
        acts.append(Act(one.at, one.by, f"comment on {place}", one.text))
        if one.settled_at:
            acts.append(Act(one.settled_at, one.settled_by, f"settled a comment on {place}", one.text[:80]))
    return sorted(acts, key=lambda act: act.at, reverse=True)


@router.get("/runs/{run}/protocol")
def protocol(request: Request, run: str) -> Response:
    """The protocol, part by part, with what persons said of it."""
    store = store_of(request, run)
    view = desk_of(request).views.run(store.folder)
    said, remarks = comments(store), dict[tuple[str, str], list[Comment]]()
    for one in said:
        remarks.setdefault((one.part, one.step), []).append(one)
    waiting = view.record.status == "waiting_for_review"
    able = waiting and visitor_of(request).may("reviewer")
    shown: dict[str, Any] = {"remarks": remarks, "able": able, "n_open": sum(not c.settled_at for c in said)}
    again = view.record.workflow in decisions.DESIGNED_BY_MODEL
    return page(request, "protocol.html", **context(view, "protocol"), **shown, again=again)


@router.get("/runs/{run}/write", dependencies=[Depends(must_be("reviewer"))])
def write(request: Request, run: str, part: str = "", step: str = "") -> Response:
    """The forms to comment on a place of the protocol and to edit it: a page, or the piece that htmx asks for."""
    view = desk_of(request).views.run(store_of(request, run).folder)
    if view.protocol is None:
        raise HTTPException(404, f"run {run} has no protocol yet")
    of_part = next((p for p in view.protocol.parts if p.id == part), None)
    of_step = next((s for s in of_part.steps if s.id == step), None) if of_part else None
    if (part and of_part is None) or (step and of_step is None):
        raise HTTPException(404, f"the protocol has no such place: {part[:40]} {step[:40]}")
    shown: dict[str, Any] = {
        "part": of_part,
        "step": of_step,
        "able": view.record.status == "waiting_for_review",
        "version": view.protocol.version,
        "key": anchor("w", part, step),
        "back": place_of(part, step),
    }
    template = "_write.html" if request.headers.get("hx-request") == "true" else "write.html"
    return page(request, template, **context(view, "protocol"), **shown)


@router.get("/runs/{run}/history")
def acts(request: Request, run: str) -> Response:
    """Who did what and when."""
    store = store_of(request, run)
    view = desk_of(request).views.run(store.folder)
    return page(request, "history.html", **context(view, "history"), acts=history(store))


@router.get("/runs/{run}/versions")
def compared(request: Request, run: str, old: int | None = None, new: int | None = None) -> Response:
    """Two versions of the protocol, what differs marked; by default the last two."""
    store = store_of(request, run)
    known = versions(store)
    if not known:
        raise HTTPException(404, f"run {run} has no protocol yet")
    numbers = list(known)
    after = numbers[-1] if new is None else new
    before = max((n for n in numbers if n < after), default=numbers[0]) if old is None else old
    if not {before, after} <= known.keys():
        raise HTTPException(404, f"run {run} has the versions {', '.join(map(str, numbers))}")
    view = desk_of(request).views.run(store.folder)
    shown: dict[str, Any] = {
        "numbers": numbers,
        "old": before,
        "new": after,
        "changed": changes(known[before], known[after]),
    }
    return page(request, "versions.html", **context(view, "protocol"), **shown)


@router.post("/runs/{run}/comments", dependencies=CHANGES)
def remark(request: Request, run: str, text: Field = "", part: Field = "", step: Field = "") -> Response:
    """Keep a comment."""
    add_comment(store_of(request, run), text, part=part, step=step, by=visitor_of(request).name)
    return _back(run, part, step)


@router.post("/runs/{run}/comments/{comment}/settle", dependencies=CHANGES)
def settle(request: Request, run: str, comment: str) -> Response:
    """Say that a comment is dealt with."""
    store = store_of(request, run)
    settle_comment(store, comment, by=visitor_of(request).name)
    one = next(c for c in comments(store) if c.id == comment)
    return _back(run, one.part, one.step)


@router.post("/runs/{run}/edit", dependencies=CHANGES)
async def edit(request: Request, run: str) -> Response:
    """Save an edit of one part or step as the next version."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    await run_in_threadpool(save_fields, store_of(request, run), form, visitor_of(request).name)
    return _back(run, form.get("part", ""), form.get("step", ""))


@router.post("/runs/{run}/review", dependencies=CHANGES)
def decide(request: Request, run: str, decision: Field = "", reason: Field = "", version: Field = "") -> Response:
    """Approve, send back or reject the version that was looked at."""
    decide_on(request, store_of(request, run), decision, reason, version)
    return RedirectResponse(f"/runs/{run}", 303)


def decide_on(request: Request, store: RunStore, decision: str, reason: str, version: str) -> None:
    """Carry a decision out for who asks; it is on the disk when this returns.

    Raises:
        WrongUse: the run does not wait, a reason is missing, or the version is not the one that would be run.
    """
    desk, by = desk_of(request), visitor_of(request).name
    now = store.read(store.folder / "protocol.json", Protocol).version
    if version and version != str(now):
        raise WrongUse(f"version {version[:10]} was looked at, and the protocol is at version {now} now; look again")
    if decision == "approve":
        decisions.approve(store, by=by)
    elif decision == "send_back":
        decisions.send_back(store, reason, by=by)
    elif decision == "reject":
        decisions.reject(store, reason, by=by)
    else:
        raise WrongUse("a decision is one of approve, send_back and reject")
    desk.audit.add(by, decision.replace("_", " "), about=store.id, detail=reason)
    desk.queue.nudge()


def save_fields(store: RunStore, form: dict[str, str], by: str) -> Protocol:
    """Put the fields of an edit form into the protocol that it was made from, and save that.

    Args:
        store: the run.
        form: version, part, and step or none; title, purpose and outline of a part; details and `p:NAME` of a step.
        by: who edits.

    Raises:
        WrongUse: as :func:`decisions.save_edit`, or there is no such part or step.
    """
    now = store.read(store.folder / "protocol.json", Protocol)
    if form.get("version") != str(now.version):
        raise WrongUse(f"this was typed over version {form.get('version', '')[:10]}, and {now.version} is there now; "
                       "nothing is changed: copy your text, load the page again")  # fmt: skip
    part = next((p for p in now.parts if p.id == form.get("part")), None)
    if part is None:
        raise WrongUse(f"the protocol has no part {form.get('part', '')[:40]!r}")
    edited = _edited_step(part, form) if form.get("step") else _with(part, form, ("title", "purpose", "outline"))
    parts = tuple(edited if p.id == part.id else p for p in now.parts)
    return decisions.save_edit(store, now.model_copy(update={"parts": parts}), by=by)


def _edited_step(part: Part, form: dict[str, str]) -> Part:
    step = next((s for s in part.steps if s.id == form["step"]), None)
    if step is None:
        raise WrongUse(f"{part.id} has no step {form['step'][:40]!r}")
    typed = {name[2:]: text for name, text in form.items() if name.startswith("p:")}
    given = {name: _value(typed[name], now) if name in typed else now for name, now in step.parameters.items()}
    edited: Step = _with(step.model_copy(update={"parameters": given}), form, ("details",))
    return part.model_copy(update={"steps": tuple(edited if s.id == step.id else s for s in part.steps)})


def _with(thing: Any, form: dict[str, str], fields: tuple[str, ...]) -> Any:
    # A browser sends line breaks as two characters; what nobody touched must come back as it was.
    given = {name: form[name].replace("\r\n", "\n") for name in fields if name in form}
    return thing.model_copy(update=given)


def _value(text: str, now: Any) -> Any:
    """What was typed for a parameter; text stays text where the parameter was text before."""
    if isinstance(now, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def place_of(part: str, step: str) -> str:
    """Where a part or a step stands on the protocol's page."""
    return anchor("step", part, step) if step else anchor("part", part) if part else "main"


def _back(run: str, part: str, step: str) -> Response:
    return RedirectResponse(f"/runs/{run}/protocol#{place_of(part, step)}", 303)
