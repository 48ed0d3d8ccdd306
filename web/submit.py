"""Asking for a run: the form, what is missing, what such runs took, uploads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Request, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from labwright.config import ROLES, Config, load_config
from labwright.domain import Objective, RunRecord
from labwright.errors import LabwrightError, WrongUse
from labwright.tools.catalogue.catalogue import all_cards
from labwright.tools.local_corpus import corpus_names
from labwright.web.desk import Desk, desk_of, must_be, own_form, visitor_of
from labwright.web.forms import number, whole_number
from labwright.web.pages import page
from labwright.web.uploads import ACCEPTED, MOST_FILES, UPLOADED, keep_uploads
from labwright.workflows import control
from labwright.workflows.baselines import COMPARED, RUN_WHILE_DECIDING, Workflow
from labwright.workflows.doctor import lacking
from labwright.workflows.estimates import estimate, models_of_config
from labwright.workflows.literature_sources import BUILT_IN, corpora_dir

router = APIRouter(include_in_schema=False, dependencies=[Depends(must_be("reviewer"))])


def configured(desk: Desk, asked: dict[str, Any]) -> Config:
    """The server's configuration with what a form or a request changes in it.

    Args:
        desk: names the file.
        asked: any of tokens, usd, seconds, sources, datasets, and roles: role to the name of a backend.

    Raises:
        ConfigInvalid: the outcome is no configuration.
    """
    places = {"tokens": ("budget", "tokens"), "usd": ("budget", "usd"), "seconds": ("budget", "seconds")}
    places |= {"sources": ("literature", "sources"), "datasets": ("data", "allowed")}
    flags: dict[tuple[str, ...], Any] = {places[k]: v for k, v in asked.items() if k in places and v}
    flags |= {("roles", role): name for role, name in asked.get("roles", {}).items() if role in ROLES and name}
    return load_config(desk.settings.config, overrides=flags)


@router.get("/new")
def new(request: Request) -> Response:
    """The form."""
    return _form(request, {})


def _form(request: Request, given: dict[str, Any], why: str = "", code: int = 200) -> Response:
    try:
        config, fault = configured(desk_of(request), {}), ""
    except LabwrightError as error:
        config, fault = Config(), str(error)
    choices: dict[str, Any] = {
        "workflows": COMPARED,
        "backends": list(dict.fromkeys([*config.backends, "embedded"])),
        "roles": {role: config.backend_of(role)[0] for role in ROLES},
        "models": {name: table.model for name, table in config.backends.items()},
        # What somebody uploaded is for the run that it was uploaded with.
        "sources": [*BUILT_IN, *(n for n in corpus_names(corpora_dir()) if not n.startswith(UPLOADED))],
        "chosen": given.get("sources") or config.literature.sources,
        "cards": [card for card in all_cards() if not card["source"].get("named_only")],
        "budget": config.budget,
        "accepted": ", ".join(ACCEPTED),
        "most_files": MOST_FILES,
        "most_mib": desk_of(request).settings.most_upload_bytes // 2**20,
    }
    return page(request, "new.html", code=code, given=given, why=why or fault, **choices)


@router.get("/new/check")
def check(request: Request, workflow: str = "labwright") -> Response:
    """What a run would need and take, as a piece of the form."""
    return page(request, "_check.html", **checked(desk_of(request), workflow))


def checked(desk: Desk, workflow: str) -> dict[str, Any]:
    """What `labwright run --check --json` prints, for the server's configuration."""
    config = configured(desk, {})
    records = [RunRecord.model_validate(record) for record in desk.runs.documents()]
    return {"lacking": lacking(config, workflow), "estimate": estimate(records, workflow, models_of_config(config))}


@router.post("/runs", dependencies=[Depends(own_form)])
async def submit(request: Request, uploads: Annotated[list[UploadFile] | None, File()] = None) -> Response:
    """Queue a run; it is on the disk when the answer is sent."""
    form = await request.form()
    given: dict[str, Any] = {key: str(form.get(key, "")) for key in _TEXTS} | {"review": form.get("review") == "on"}
    given |= {name: [str(v) for v in form.getlist(name)] for name in ("sources", "datasets")}
    given["roles"] = {role: str(form.get(f"role_{role}", "")) for role in ROLES}
    return await run_in_threadpool(_submitted, request, given, [f for f in uploads or [] if f.filename])


_TEXTS = ("form", "objective", "conditions", "requirements", "workflow", "seed", "tokens", "usd", "seconds")


def _submitted(request: Request, given: dict[str, Any], files: Sequence[UploadFile]) -> Response:
    desk, form = desk_of(request), given["form"]
    desk.sessions.take_form(form)
    try:
        run = ask_for_run(request, given, files)
    except WrongUse as error:
        desk.sessions.form_failed(form)
        return _form(request, given, str(error), 400)
    except BaseException:
        desk.sessions.form_failed(form)
        raise
    desk.sessions.form_done(form, f"/runs/{run}")
    return RedirectResponse(f"/runs/{run}", 303)


def ask_for_run(request: Request, given: dict[str, Any], files: Sequence[UploadFile] = ()) -> str:
    """Check what is asked, queue the run, say so in the log; returns its id.

    Raises:
        WrongUse: a field is wrong, or a file cannot be read.
    """
    desk, visitor = desk_of(request), visitor_of(request)
    workflow = _workflow(given.get("workflow") or "labwright")
    asked = {**given, "tokens": whole_number(given.get("tokens"), "tokens")}
    asked |= {name: number(given.get(name), name) for name in ("usd", "seconds")}
    options = control.Options(
        seed=int(whole_number(given.get("seed"), "seed") or 0),
        review=bool(given.get("review")) and workflow not in RUN_WHILE_DECIDING,
        workflow=workflow,
        by=visitor.name,
    )
    objective = Objective(
        text=given["objective"],
        conditions=given.get("conditions", ""),
        requirements=given.get("requirements", ""),
    )
    config = configured(desk, asked)
    if files:
        kept = keep_uploads(files, desk.settings.most_upload_bytes, desk.settings.config)
        options = replace(options, pictures=kept.pictures)
        sources = [*config.literature.sources, *filter(None, [kept.corpus])]
        config = configured(desk, {**asked, "sources": sources, "datasets": [*config.data.allowed, *kept.datasets]})
    store = control.queue(objective, config, desk.settings.runs, options)
    desk.audit.add(visitor.name, "asked for a run", about=store.id, detail=objective.text)
    desk.queue.nudge()
    return store.id


def _workflow(name: str) -> Workflow:
    for known in COMPARED:
        if name == known:
            return known
    raise WrongUse(f"{name[:40]!r} is no workflow; one of {', '.join(COMPARED)}")
