"""How the host reads process 1: frames, the last word, what a job is killed for; over a plain pair of sockets."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from labwright.sandbox.contract import Limits
from labwright.sandbox.execution import Ending, Execution, Tail
from labwright.sandbox.link import Link

SECRET = b"0123456789abcdef"


class Engine:
    """What the host asks of the engine's client, with the container's end of the connection in hand."""

    def __init__(self) -> None:
        ours, self.container = socket.socketpair()
        self._ours = ours
        self.killed = 0
        self.oom_killed = False

    def attach_socket(self, container: str, params: dict[str, int]) -> socket.socket:
        assert params == {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        return self._ours

    def kill(self, container: str) -> None:
        self.killed += 1

    def wait(self, container: str) -> None: ...

    def inspect_container(self, container: str) -> dict[str, Any]:
        return {"State": {"OOMKilled": self.oom_killed}}

    def write(self, stream: int, data: bytes) -> None:
        self.container.sendall(struct.pack(">BxxxL", stream, len(data)) + data)

    def secret(self) -> bytes:
        return self.container.recv(256).strip()

    def last_word(self, secret: bytes, code: int = 0, peak: int = 5 << 20, kills: int = 0) -> None:
        for stream in (1, 2):
            self.write(stream, b"\0%s ended %d %d %d\n" % (secret, code, peak, kills))


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.container.close()


def run(engine: Engine, container: Any, stop: threading.Event | None = None, **limits: Any) -> Ending:
    """The host's side, with `container` playing the other."""
    other = threading.Thread(target=container, daemon=True)
    other.start()
    api: Any = engine
    link = Link(api, "c")
    try:
        return Execution(api, "c", link, Limits(**({"wall_s": 20.0} | limits))).run(stop)
    finally:
        link.close()
        other.join(10)


def test_output_and_end_come_apart(engine: Engine) -> None:
    def container() -> None:
        secret = engine.secret()
        engine.write(1, "grüß".encode()[:3])
        engine.write(1, "grüß".encode()[3:] + b"\0 text without an end")
        engine.write(2, b"warning\n")
        engine.last_word(secret, code=3)

    ending = run(engine, container)
    assert (ending.cause, ending.exit_code, ending.peak_memory_mib) == ("exit", 3, 5.0)
    assert (ending.stdout, ending.stderr) == ("grüß\0 text without an end", "warning\n")
    assert ending.first_output_at is not None
    assert engine.killed == 0


def test_a_word_in_pieces_is_a_word_and_its_output_is_none(engine: Engine) -> None:
    def container() -> None:
        secret = engine.secret()
        word = b"\0%s ended 0 0 0\n" % secret
        for stream in (2, 1):
            for at in range(0, len(word), 7):
                engine.write(stream, word[at : at + 7])

    ending = run(engine, container)
    assert (ending.cause, ending.exit_code, ending.stdout, ending.peak_memory_mib) == ("exit", 0, "", None)


def test_a_word_with_another_secret_is_output_of_the_script(engine: Engine) -> None:
    def container() -> None:
        secret = engine.secret()
        engine.last_word(SECRET)
        engine.last_word(b"")
        engine.last_word(secret, code=9)

    ending = run(engine, container)
    assert ending.exit_code == 9
    assert ending.stdout.count("ended 0") == 2


def test_an_end_without_the_word_is_the_death_of_process_1(engine: Engine) -> None:
    def container() -> None:
        engine.write(1, b"text")
        engine.container.close()

    assert run(engine, container).cause == "died"
    again = Engine()
    again.oom_killed = True
    assert run(again, again.container.close).cause == "oom"


@pytest.mark.parametrize(("kills", "cause"), [(1, "oom"), (0, "exit")])
def test_killed_for_memory_by_the_word_of_the_control_group(engine: Engine, kills: int, cause: str) -> None:
    ending = run(engine, lambda: engine.last_word(engine.secret(), code=137, kills=kills))
    assert (ending.cause, ending.exit_code) == (cause, None if kills else 137)


def test_limits_and_the_stop_kill_the_container(engine: Engine) -> None:
    assert run(engine, lambda: engine.write(1, b"early"), wall_s=0.3).stdout == "early"
    flooded = Engine()
    assert run(flooded, lambda: flooded.write(2, b"x" * 2000), log_kib=1).cause == "output_cap"
    stopped, stop = Engine(), threading.Event()
    threading.Timer(0.2, stop.set).start()
    begin = time.monotonic()
    assert run(stopped, stopped.secret, stop).cause == "stopped"
    assert time.monotonic() - begin < 5
    assert [e.killed for e in (engine, flooded, stopped)] == [1, 1, 1]


def test_the_tail_keeps_the_last_bytes_beside_the_word() -> None:
    tail = Tail(keep=8)
    tail.add(b"a" * 1000 + b"12345678")
    tail.add(b"\0" + SECRET + b" ended 0 1 2\n")
    assert tail.word(SECRET) == (0, 1, 2)
    assert (tail.text(), tail.total) == ("12345678", 1008)
    assert tail.word(SECRET) is None
