"""The two output streams and the input of a container's process 1, over one connection to the engine."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from typing import Any, Literal, cast

from docker import APIClient

CHUNK = 1 << 16
HEADER = struct.Struct(">BxxxL")
"""Stream and size of a frame, as the engine's API describes them."""
Stream = Literal[1, 2]
STDOUT: Stream = 1
STDERR: Stream = 2
TICK_S = 0.2
"""How long a read waits before it looks whether the job is to be stopped."""


class Link:
    """An attached container; one thread uses it."""

    def __init__(self, api: APIClient, container: str) -> None:
        """Attach to a container that is not started yet, so that nothing of its output is missed."""
        wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        self._response: Any = api.attach_socket(container, params=wanted)
        # The client hands out a reader; the socket below it also writes.
        self._socket = cast(socket.socket, getattr(self._response, "_sock", self._response))
        self._pending = b""

    def send(self, line: bytes) -> None:
        """Write one line to the container's standard input.

        Raises:
            OSError: the container or the engine is gone.
        """
        self._socket.settimeout(None)
        self._socket.sendall(line + b"\n")

    def frames(self, deadline: float) -> Iterator[tuple[Stream, bytes] | None]:
        """What comes on the two streams until the container closes them.

        Args:
            deadline: monotonic time at which reading stops.

        Yields:
            The stream and its data, None when nothing came for a moment.
        """
        while (left := deadline - time.monotonic()) > 0:
            frame = self._frame()
            if frame is not None:
                yield frame
                continue
            self._socket.settimeout(min(left, TICK_S))
            try:
                data = self._socket.recv(CHUNK)
            except TimeoutError:
                yield None
                continue
            except OSError:
                return  # the engine is gone, or hung up on a container that was killed
            if not data:
                return
            self._pending += data

    def _frame(self) -> tuple[Stream, bytes] | None:
        """The next whole frame of what was received."""
        if len(self._pending) < HEADER.size:
            return None
        stream, size = HEADER.unpack_from(self._pending)
        end = HEADER.size + size
        if len(self._pending) < end:
            return None
        data, self._pending = self._pending[HEADER.size : end], self._pending[end:]
        return (STDERR if stream == STDERR else STDOUT), data

    def close(self) -> None:
        """Hang up: process 1 of the container ends, and with it everything in there."""
        self._socket.close()
        self._response.close()
