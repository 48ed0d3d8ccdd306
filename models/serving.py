"""A chat model for programs of this machine: OpenAI's interface on loopback, with a key.

Answers are written one after the other where one of them keeps the machine busy; a few requests may wait, the
next ones are told to come back. Covered: other machines (the socket is bound to 127.0.0.1), web pages (the Host
header has to name this machine, and the key is asked for), oversized bodies. Not covered: other users of this
machine who know the key.
"""

from __future__ import annotations

import hmac
import json
import os
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import openai
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from labwright.errors import KeyMissing, LabwrightError, WrongUse
from labwright.lease import lease_is_exclusive, stop_waiting
from labwright.models import serving_wire as wire
from labwright.models.remote import one_line
from labwright.models.reply import cut_off
from labwright.models.serving_wire import BadRequest, error_object

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

HOST = "127.0.0.1"
MOST_BYTES = 1 << 20
"""Largest body of a request."""
MOST_WAITING = 8
"""Requests that wait or are answered; one more is refused with 429."""
SIDE_BY_SIDE = 4
"""Answers written at a time where the machine has the cores for it."""
GRACE_S = 3
Lease = Callable[[], AbstractContextManager[None]]


class Turns:
    """Who is answered now, who waits, and who is sent away."""

    def __init__(self, at_once: int, most: int = MOST_WAITING) -> None:
        """Answer so many at once; hold so many in all."""
        self._free = threading.Semaphore(at_once)
        self._counting = threading.Lock()
        self._inside, self._most = 0, most

    def enter(self) -> None:
        """Join the queue.

        Raises:
            BadRequest: it is full.
        """
        with self._counting:
            if self._inside >= self._most:
                raise BadRequest(
                    "too many requests are waiting; try again later", status=429, code="rate_limit_exceeded"
                )
            self._inside += 1

    def leave(self) -> None:
        """Leave the queue."""
        with self._counting:
            self._inside -= 1

    @contextmanager
    def turn(self, lease: Lease) -> Iterator[None]:
        """Wait for a turn and for the machine's compute."""
        with self._free, lease():
            yield


def make_app(chat: BaseChatModel, model: str, key: str, *, lease: Lease, turns: Turns | None = None) -> FastAPI:
    """The application.

    Args:
        chat: answers.
        model: its id.
        key: that requests have to carry as bearer token.
        lease: of the machine's compute.
        turns: the queue; by default one answer at a time on two cores or fewer.
    """
    app = FastAPI(title="labwright", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    app.add_exception_handler(BadRequest, _refused)
    app.add_exception_handler(LabwrightError, _failed)
    queue = turns or Turns(1 if lease_is_exclusive() else SIDE_BY_SIDE)

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        _check_key(request, key)
        return {"object": "list", "data": [{"id": model, "object": "model", "created": 0, "owned_by": "labwright"}]}

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        _check_key(request, key)
        asked = wire.read_request(await _body(request))
        if asked.model not in ("", model, model.split("@")[0]):
            raise BadRequest(f"the model here is {model}", status=404, code="model_not_found")
        options, answer_id = asked.options(), f"chatcmpl-{uuid.uuid4().hex}"
        queue.enter()
        if asked.stream:
            return await _streamed(_pieces(chat, asked, options, (queue, lease, answer_id, model)), queue)
        try:
            reply = await run_in_threadpool(_whole, chat, asked, options, (queue, lease))
        finally:
            queue.leave()
        return JSONResponse(wire.completion(reply, answer_id, model))

    return app


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status, code = getattr(error, "status", 400), getattr(error, "code", None)
    kind = {429: "rate_limit_error", 502: "server_error"}.get(status, "invalid_request_error")
    return JSONResponse(error_object(str(error), kind, code), status)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(error_object(str(error), "server_error"), 503)


def _check_key(request: Request, key: str) -> None:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), key.encode()):
        raise BadRequest("the key is missing or wrong", status=401, code="invalid_api_key")


async def _body(request: Request) -> bytes:
    too_large = BadRequest(f"the request is larger than {MOST_BYTES} bytes", status=413)
    if int(request.headers.get("content-length") or 0) > MOST_BYTES:
        raise too_large
    body = b""
    async for part in request.stream():  # a body sent in pieces says no length beforehand
        body += part
        if len(body) > MOST_BYTES:
            raise too_large
    return body


@contextmanager
def _translated(chat: BaseChatModel) -> Iterator[None]:
    """Errors of the backend as those of the interface."""
    try:
        yield
    except (LabwrightError, BadRequest, openai.LengthFinishReasonError):
        raise
    except openai.BadRequestError as error:
        raise BadRequest(one_line(chat, error)) from error
    except openai.OpenAIError as error:
        raise BadRequest(f"the backend does not answer: {one_line(chat, error)}", status=502) from error
    except ValueError as error:
        raise BadRequest(one_line(chat, error)) from error


def _whole(chat: BaseChatModel, asked: wire.Request, options: dict[str, Any], where: tuple[Turns, Lease]) -> AIMessage:
    queue, lease = where
    with _translated(chat), queue.turn(lease):
        try:
            return chat.invoke(asked.conversation(), **options)
        except openai.LengthFinishReasonError as error:
            reply = cut_off(error)
            reply.response_metadata["finish_reason"] = "length"
            return reply


def _pieces(
    chat: BaseChatModel, asked: wire.Request, options: dict[str, Any], where: tuple[Turns, Lease, str, str]
) -> Generator[str, None, None]:
    """Server-sent events."""
    queue, lease, answer_id, model = where
    last = None
    with _translated(chat), queue.turn(lease):
        for piece in chat.stream(asked.conversation(), **options):
            last = piece if piece.usage_metadata else last
            if piece.text or piece.response_metadata.get("finish_reason"):
                yield _event(wire.chunk(piece, answer_id, model))
    if asked.wants_usage and last is not None:
        yield _event(wire.usage_chunk(last, answer_id, model))
    yield "data: [DONE]\n\n"


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document)}\n\n"


async def _streamed(events: Generator[str, None, None], queue: Turns) -> Response:
    """Send events as they come; what goes wrong before the first one still has a status of its own."""
    try:
        first = await run_in_threadpool(next, events)
    except BaseException:
        queue.leave()
        raise

    async def sent() -> AsyncIterator[str]:
        try:
            yield first
            async for event in iterate_in_threadpool(events):
                yield event
        except (BadRequest, LabwrightError) as error:
            yield _event(error_object(str(error), "server_error"))
        finally:
            # The model stops when nobody reads any more; a piece that is being written is the last one.
            with suppress(ValueError):
                events.close()
            queue.leave()

    return StreamingResponse(sent(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[int], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready(int(self.servers[0].sockets[0].getsockname()[1]))

    def handle_exit(self, sig: int, frame: Any) -> None:
        stop_waiting()  # a local model writes no further token
        super().handle_exit(sig, frame)


def key_of(variable: str) -> str:
    """The key that a variable holds.

    Raises:
        KeyMissing: it is not set.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        raise KeyMissing(f"set {variable} to the key that requests have to carry")
    return key


def listen(chat: BaseChatModel, model: str, at: tuple[int, str], *, lease: Lease, ready: Callable[[int], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        chat: answers.
        model: its id.
        at: port (0 takes a free one) and key.
        lease: of the machine's compute.
        ready: called with the port once requests are taken.

    Raises:
        WrongUse: the port is taken.
    """
    port, key = at
    config = uvicorn.Config(
        make_app(chat, model, key, lease=lease),
        host=HOST,
        port=port,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config, ready)
    try:
        server.run()
    except KeyboardInterrupt:
        return
    except SystemExit as error:
        raise WrongUse(f"port {port} of {HOST} cannot be bound; give another --port") from error
