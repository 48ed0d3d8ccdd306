"""A run while it goes on, as a piece of its page and as a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from labwright.store import RunStore
from labwright.web.desk import desk_of, store_of
from labwright.web.dispatcher import in_turn
from labwright.web.live import ACTIVE, LOOK_S

router = APIRouter(include_in_schema=False)
ALIVE_S = 15.0
"""Something is sent so often, so that nothing between takes the stream for dead."""


def place_of(request: Request, run: str) -> int:
    """Place of a run in the queue, from 1; 0 when it is not queued."""
    rows = desk_of(request).runs.rows()
    if not any(row.id == run and row.status == "queued" for row in rows):
        return 0
    order = [row.id for row in in_turn(rows, set())]
    return order.index(run) + 1


@router.get("/runs/{run}/watch")
def look(request: Request, run: str) -> Response:
    """The live part, once."""
    html = desk_of(request).watch.html(store_of(request, run), place_of(request, run))
    return Response(html, media_type="text/html")


@router.get("/runs/{run}/events")
async def stream(request: Request, run: str) -> Response:
    """The live part whenever it changes, until the run stops."""
    store = await run_in_threadpool(store_of, request, run)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_sent(request, store), media_type="text/event-stream", headers=headers)


async def _sent(request: Request, store: RunStore) -> AsyncIterator[str]:
    shown, quiet = "", 0.0
    while not await request.is_disconnected():
        html = await run_in_threadpool(lambda: desk_of(request).watch.html(store, place_of(request, store.id)))
        quiet += LOOK_S
        if html != shown:
            shown, quiet = html, 0.0
            yield _event("watch", html)
        elif quiet >= ALIVE_S:
            quiet = 0.0
            yield ": still here\n\n"
        record = await run_in_threadpool(store.record)
        if record.status not in ACTIVE:
            yield _event("over", record.status)
            return
        await asyncio.sleep(LOOK_S)


def _event(name: str, text: str) -> str:
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\n{lines}\n"
