"""The application: gate, pages, JSON interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files as package_files

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from labwright.errors import LabwrightError, SomethingMissing, WrongUse
from labwright.tools.catalogue.catalogue import load_cards
from labwright.web import api, api_changes, comparing, enter, people, results, review, runs, steering, submit, watch
from labwright.web.accounts import TooManyFailures
from labwright.web.desk import Desk
from labwright.web.gate import Gate, refused
from labwright.web.pages import page
from labwright.web.sessions import FormRefused
from labwright.web.settings import Settings

ROUTERS = (
    enter.router,
    submit.router,
    runs.router,
    watch.router,
    steering.router,
    review.router,
    results.router,
    comparing.router,
    people.router,
    api.router,
    api_changes.router,
)


def make_app(settings: Settings) -> FastAPI:
    """The application of one folder of runs.

    Raises:
        DiskFull, RunFailed: its state cannot be written or read.
    """
    desk = Desk.open(settings)
    app = FastAPI(
        title="labwright",
        version=version("labwright"),
        description="The documents that the command line prints with --json, and run control.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=_queue_open,
    )
    app.state.desk = desk
    app.state.pages = {str(getattr(route, "path", "")) for router in ROUTERS for route in router.routes}
    for router in ROUTERS:
        app.include_router(router)
    static = str(package_files("labwright.web").joinpath("static"))
    app.mount("/static", StaticFiles(directory=static), name="static")
    app.add_middleware(Gate, settings=settings, sessions=desk.sessions, accounts=desk.accounts)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(LabwrightError, _refusal)
    app.add_api_route("/", lambda: RedirectResponse("/runs", 303), include_in_schema=False)
    app.add_api_route("/health", lambda: PlainTextResponse("ok\n"), include_in_schema=False)
    return app


@asynccontextmanager
async def _queue_open(app: FastAPI) -> AsyncIterator[None]:
    """Queued runs are begun while the server is up."""
    desk: Desk = app.state.desk
    await run_in_threadpool(load_cards)  # a quarter of a second that the first visitor need not wait
    desk.queue.start()
    try:
        yield
    finally:
        desk.queue.stop()


def told(request: Request, why: str, status: int) -> Response:
    """A refusal or a failure in one clear line, as JSON or as a page."""
    if request.url.path.startswith("/api/") or getattr(request.state, "visitor", None) is None:
        return refused(request.url.path, why, status)
    return page(request, "refused.html", code=status, why=why, title="Not done" if status < 500 else "Failed")


async def _http(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    detail = str(getattr(error, "detail", error))
    response = told(request, "there is no such page" if detail == "Not Found" else detail, status)
    for name, value in (getattr(error, "headers", None) or {}).items():
        response.headers[name] = value
    return response


async def _invalid(request: Request, error: Exception) -> Response:
    wrong = error.errors() if isinstance(error, RequestValidationError) else []
    line = "; ".join(f"{'.'.join(str(p) for p in e['loc'][1:]) or 'the document'}: {e['msg']}" for e in wrong[:5])
    return told(request, line or "the request cannot be read", 422)


async def _refusal(request: Request, error: Exception) -> Response:
    status = 500
    if isinstance(error, WrongUse):
        status = 429 if isinstance(error, TooManyFailures) else 409 if isinstance(error, FormRefused) else 400
    elif isinstance(error, SomethingMissing):
        status = 424
    elif getattr(error, "exit_code", 1) == 1:
        status = 507 if type(error).__name__ == "DiskFull" else 409
    return told(request, str(error), status)
