"""What the tasks of a run made: pages, files, and everything as one archive."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse

from labwright.eval.report_tables import JPEG, PNG, output_file
from labwright.store import file_name
from labwright.web.desk import desk_of, store_of
from labwright.web.pages import page, segment
from labwright.web.runs import context
from labwright.workflows.archive import write_archive
from labwright.workflows.protocol_text import protocol_markdown as markdown_of

router = APIRouter(include_in_schema=False)
CHUNK = 2**18
REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"


@router.get("/runs/{run}/tasks")
def tasks(request: Request, run: str) -> Response:
    """Every task: how it ended, and why it failed."""
    view = desk_of(request).views.run(store_of(request, run).folder)
    return page(request, "tasks.html", **context(view, "tasks"))


@router.get("/runs/{run}/tasks/{task}/files/{name:path}")
def file(request: Request, run: str, task: str, name: str) -> Response:
    """An output file; only a PNG or JPEG is shown in place, all else is saved."""
    store = store_of(request, run)
    path = output_file(store.folder / "tasks" / file_name(task) / "outputs", name)
    if path is None:
        raise HTTPException(404, f"task {task[:60]!r} of run {run} has no file {name[:80]!r}")
    with path.open("rb") as stream:
        head = stream.read(8)
    kind = "image/png" if head.startswith(PNG) else "image/jpeg" if head.startswith(JPEG) else ""
    return FileResponse(
        path,
        media_type=kind or "application/octet-stream",
        headers=_saved(path.name, inline=bool(kind)) | {"Content-Security-Policy": "default-src 'none'; sandbox"},
    )


@router.get("/runs/{run}/tasks/{task}")
def task(request: Request, run: str, task: str) -> Response:
    """One task: figure, tables, script, log, checks and attempts."""
    store = store_of(request, run)
    views = desk_of(request).views
    found = views.task(store.folder, task)
    if found is None:
        raise HTTPException(404, f"run {run} has no task {task[:60]!r}")
    shown = context(views.run(store.folder), "tasks")
    return page(request, "task.html", **shown, view=found, files_at=f"{shown['at']}/tasks/{segment(task)}/files")


@router.get("/runs/{run}/report.html")
def report(request: Request, run: str) -> Response:
    """The report as the run wrote it; it holds no scripts, and none would run."""
    path = store_of(request, run).folder / "report.html"
    if not path.is_file():
        raise HTTPException(404, f"run {run} has no report yet")
    return HTMLResponse(path.read_bytes(), headers={"Content-Security-Policy": REPORT_POLICY})


@router.get("/runs/{run}/protocol.md")
def protocol_markdown(request: Request, run: str) -> Response:
    """The protocol as Markdown."""
    store = store_of(request, run)
    found = desk_of(request).views.run(store.folder).protocol
    if found is None:
        raise HTTPException(404, f"run {run} has no protocol yet")
    text = markdown_of(found, store)
    return Response(text, media_type="text/markdown", headers=_saved(f"{run}-protocol.md"))


@router.get("/runs/{run}/archive.zip")
def archive(request: Request, run: str) -> Response:
    """The run folder as one archive."""
    store = store_of(request, run)
    made = tempfile.TemporaryFile()  # noqa: SIM115  (closed when it has been sent)
    size = write_archive(store, made)
    made.seek(0)
    headers = _saved(f"labwright-{run}.zip") | {"Content-Length": str(size)}
    return StreamingResponse(_pieces(made), media_type="application/zip", headers=headers)


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(CHUNK):
            yield piece


def _saved(name: str, *, inline: bool = False) -> dict[str, str]:
    how = "inline" if inline else "attachment"
    return {"Content-Disposition": f"{how}; filename*=UTF-8''{quote(name, safe='')}"}
