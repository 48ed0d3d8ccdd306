"""Templates: the page's own, and those of the report, all escaped."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib.resources import files as package_files
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse

from labwright.eval.report import report_environment, report_template
from labwright.web.sessions import Visitor

STATES = {
    "queued": "queued",
    "running": "running",
    "waiting_for_review": "waiting for review",
    "done": "done",
    "failed": "failed",
    "stopped_by_budget": "stopped by budget",
    "interrupted": "interrupted",
}
"""Status of a run in the words of the page."""


def page(request: Request, template: str, code: int = 200, **content: Any) -> HTMLResponse:
    """Render a template for who asks.

    Args:
        request: answered.
        template: name below web/templates.
        code: status of the answer.
        content: what the template shows.
    """
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    app = request.app.state
    own = {"visitor": visitor, "path": request.url.path, "pages": app.pages, "form_id": app.desk.sessions.new_form()}
    shown = {**own, **content}
    return HTMLResponse(environment().get_template(template).render(shown), code)


def segment(text: str) -> str:
    """A name as one piece of an address."""
    return quote(text, safe="")


def moment(text: str) -> str:
    """A time of the record for reading: date and minute, UTC."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return text


def count(value: float) -> str:
    """A whole number with thin spaces between thousands.

    Example:
        >>> count(12345)
        '12\\u202f345'
    """
    return f"{value:,.0f}".replace(",", "\u202f")


@cache
def environment() -> Environment:
    """Where the page's templates are rendered."""
    made = report_environment(FunctionLoader(_source))
    made.filters |= {"segment": segment, "moment": moment, "count": count, "state": lambda s: STATES.get(s, s)}
    report, own = (dict(vars(made.get_template(n).module)) for n in ("report/_macros.html", "_macros.html"))
    # The report's pieces are rendered by both; where the page has a macro of the same name, it is the page's.
    made.globals["ui"] = SimpleNamespace(**{n: m for n, m in {**report, **own}.items() if not n.startswith("_")})
    return made


def _source(name: str) -> str:
    if name.startswith("report/"):
        return report_template(name.removeprefix("report/"))
    folder = package_files("labwright.web").joinpath("templates")
    own = folder.joinpath(name)
    return own.read_text(encoding="utf-8") if own.is_file() else report_template(name)
