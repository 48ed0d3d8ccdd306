"""One script in one bubblewrap sandbox: its output up to a cap, its end, its files."""

from __future__ import annotations

import io
import json
import os
import select
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from labwright.errors import SandboxBroken
from labwright.sandbox.bubblewrap_command import Descriptors
from labwright.sandbox.contract import Cause, Limits, OutputFile
from labwright.sandbox.execution import Ending, Tail
from labwright.sandbox.link import TICK_S
from labwright.sandbox.takeout import OverCap, take

CHUNK = 1 << 16
STARTED = b"started\n"
TAKE_S = 120.0
GONE_S = 30.0


class NamespaceRun:
    """The run of one script; made for one use."""

    def __init__(self, limits: Limits, build: Callable[[Descriptors], list[str]], program: bytes) -> None:
        """Prepare.

        Args:
            limits: limits of the job.
            build: gives the command line for the numbers of the open files.
            program: the compiled seccomp filter.
        """
        self._limits = limits
        self._build = build
        self._program = program
        self._tails = {"stdout": Tail(), "stderr": Tail()}
        self._header = b""
        self._init: int | None = None
        self._info: IO[bytes]
        self._killed_for: Cause | None = None
        self._first_at: float | None = None

    def run(self, out_dir: Path, stop: threading.Event | None = None) -> tuple[Ending, tuple[OutputFile, ...]]:
        """Run the script to its end, or until `stop` is set, and take its files.

        Raises:
            SandboxBroken: the sandbox could not be made, or processes of it cannot be ended.
        """
        control, control_in = os.pipe()
        info, info_in = os.pipe()
        with ExitStack() as stack:
            answers = stack.enter_context(os.fdopen(control, "rb", buffering=0))
            self._info = stack.enter_context(os.fdopen(info, "rb", buffering=0))
            process = self._start(info_in, control_in)
            stack.callback(self._end, process)
            begin = time.monotonic()
            self._follow(process, answers, begin + self._limits.wall_s, stop)
            duration = time.monotonic() - begin
            if self._killed_for is not None:
                return self._ending(self._killed_for, duration), ()
            if not self._header.startswith(STARTED):
                raise SandboxBroken(f"bubblewrap failed: {self._tails['stderr'].text().strip()[-300:]}")
            if not self._over():
                return self._ending("died", duration), ()
            return self._take(process, answers, out_dir, self._ending("exit", duration))

    def _start(self, info: int, control: int) -> subprocess.Popen[bytes]:
        seccomp = os.memfd_create("seccomp")
        try:
            os.write(seccomp, self._program)
            os.lseek(seccomp, 0, os.SEEK_SET)
            return subprocess.Popen(
                self._build(Descriptors(seccomp=seccomp, info=info, control=control)),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                pass_fds=(seccomp, info, control), env={"PATH": os.defpath}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise SandboxBroken(f"bubblewrap cannot be started: {error}") from error
        finally:
            for descriptor in (seccomp, info, control):
                os.close(descriptor)

    def _follow(
        self, process: subprocess.Popen[bytes], answers: IO[bytes], deadline: float, stop: threading.Event | None
    ) -> None:
        """Read until the supervisor says the end, a limit is reached, or everything is dead."""
        assert process.stdout is not None  # noqa: S101 - asked for above
        assert process.stderr is not None  # noqa: S101 - asked for above
        streams = {"stdout": process.stdout, "stderr": process.stderr}
        with selectors.DefaultSelector() as selector:
            for name, stream in (streams | {"control": answers}).items():
                selector.register(stream, selectors.EVENT_READ, name)
            while selector.get_map() and not self._over():
                for key, _ in selector.select(min(TICK_S, max(0.0, deadline - time.monotonic()))):
                    if not self._read(key):
                        selector.unregister(key.fileobj)
                self._killed_for = self._must_end(deadline, stop)
                if self._killed_for is not None:
                    return
        for name, stream in streams.items():
            # Every writer is dead: what is left is in the pipe, though its end is still held by bwrap.
            os.set_blocking(stream.fileno(), False)
            self._tails[name].add(stream.read())
        if self._flooded():
            self._killed_for = "output_cap"

    def _must_end(self, deadline: float, stop: threading.Event | None) -> Cause | None:
        if self._flooded():
            return "output_cap"
        if stop is not None and stop.is_set():
            return "stopped"
        return "wall" if time.monotonic() >= deadline else None

    def _read(self, key: selectors.SelectorKey) -> bool:
        """Take what has come; false at the end of the stream."""
        # Byte by byte: the tar follows the header in the same pipe.
        data = os.read(key.fd, 1 if key.data == "control" else CHUNK)
        if key.data != "control":
            self._tails[key.data].add(data)
            if self._first_at is None and data:
                self._first_at = time.monotonic()
        else:
            self._header += data
            if self._header == STARTED:
                self._know_init()
        return bool(data)

    def _know_init(self) -> None:
        """Hold process 1 of the namespace: when it is gone, so is everything in there."""
        if not select.select([self._info], [], [], 1.0)[0]:
            return  # bwrap names it before it starts it; without the name, its death is left to --die-with-parent
        with suppress(OSError, ValueError, KeyError):
            self._init = os.pidfd_open(int(json.loads(self._info.read(CHUNK))["child-pid"]))

    def _over(self) -> bool:
        return self._header.count(b"\n") == 2  # the lines "started" and "ended CODE PEAK"

    def _flooded(self) -> bool:
        cap = self._limits.log_kib << 10
        return any(tail.total > cap for tail in self._tails.values())

    def _take(
        self, process: subprocess.Popen[bytes], answers: IO[bytes], out_dir: Path, ending: Ending
    ) -> tuple[Ending, tuple[OutputFile, ...]]:
        timer = threading.Timer(TAKE_S, process.kill)
        timer.daemon = True
        timer.start()
        try:
            return ending, take(io.BufferedReader(answers), out_dir, self._limits)  # type: ignore[type-var]
        except OverCap:
            return replace(ending, cause="artifact_cap"), ()
        finally:
            timer.cancel()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the whole tree from outside and wait until it is gone."""
        try:
            if self._init is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._init, signal.SIGKILL)
                if not select.select([self._init], [], [], GONE_S)[0]:
                    raise SandboxBroken("processes of the job cannot be ended")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GONE_S)  # bwrap itself takes the end of its child, so that no zombie stays
        finally:
            process.kill()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            process.wait()
            if self._init is not None:
                os.close(self._init)

    def _ending(self, cause: Cause, duration: float) -> Ending:
        code, peak = None, None
        if cause == "exit":
            _, code, peak = (int(part) if part.isdigit() else 0 for part in self._header.split()[1:])
        return Ending(
            cause=cause,
            exit_code=code,
            stdout=self._tails["stdout"].text(),
            stderr=self._tails["stderr"].text(),
            duration_s=duration,
            first_output_at=self._first_at,
            peak_memory_mib=round(peak / 1024, 1) if peak else None,
        )
