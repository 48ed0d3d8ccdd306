"""Jobs in parallel, bounded by the cores and the memory of the engine's machine, in fair order between runs."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Event, Thread, current_thread
from types import TracebackType

from labwright.sandbox.contract import Job, Result, Sandbox


@dataclass(frozen=True, slots=True)
class _Entry:
    job: Job
    out_dir: Path
    future: Future[Result] = field(default_factory=Future)


class JobQueue:
    """Starts jobs while their cores and memory fit; a context manager that ends with every job at its end.

    The runs (`Job.run_id`) take turns, each in its own order. The job whose turn it is waits until it fits and is not
    overtaken, so that a large one comes up too; one larger than the machine runs alone. When the block is left
    by an error, such as Ctrl-C, what runs is killed and what waits is cancelled.
    """

    def __init__(self, sandbox: Sandbox, *, cores: float, memory_mib: float) -> None:
        """Bind a sandbox and what its jobs may take together: processors, and memory in MiB."""
        self._sandbox = sandbox
        self._cores = cores
        self._memory_mib = memory_mib
        self._turns: dict[str, deque[_Entry]] = {}
        self._running: dict[Thread, Job] = {}
        self._changed = Condition()
        self._stop = Event()

    def submit(self, job: Job, out_dir: Path) -> Future[Result]:
        """Line a job up.

        Returns:
            Its result to come: raises what `Sandbox.run` raises, or CancelledError when the queue was stopped.
        """
        entry = _Entry(job, out_dir)
        with self._changed:
            self._turns.setdefault(job.run_id, deque()).append(entry)
            self._start_what_fits()
        return entry.future

    def stop(self) -> None:
        """Kill what runs and cancel what waits; returns when all of it has ended."""
        self._stop.set()
        with self._changed:
            for line in self._turns.values():
                for entry in line:
                    entry.future.cancel()
            self._turns.clear()
        self.wait()

    def wait(self) -> None:
        """Wait until every job has ended."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running and not self._turns)

    def _start_what_fits(self) -> None:
        while self._turns:
            run_id, line = next(iter(self._turns.items()))
            if not self._fits(line[0].job):
                return
            entry = line.popleft()
            del self._turns[run_id]
            if line:
                self._turns[run_id] = line  # its next turn comes after all the others'
            thread = Thread(target=self._work, args=(entry,), name="labwright-job", daemon=True)
            self._running[thread] = entry.job
            thread.start()

    def _fits(self, job: Job) -> bool:
        taken = [j.limits for j in self._running.values()]
        cores = sum(min(limits.cpus, self._cores) for limits in [*taken, job.limits])
        memory = sum(limits.memory_mib for limits in [*taken, job.limits])
        return not taken or (cores <= self._cores and memory <= self._memory_mib)

    def _work(self, entry: _Entry) -> None:
        future = entry.future
        try:
            if future.set_running_or_notify_cancel():
                result = self._sandbox.run(entry.job, entry.out_dir, stop=self._stop)
                if result.cause == "stopped":
                    future.set_exception(CancelledError())
                else:
                    future.set_result(result)
        except BaseException as error:  # noqa: BLE001 - the edge of the thread: all of it goes to whoever waits
            future.set_exception(error)
        finally:
            with self._changed:
                del self._running[current_thread()]
                self._start_what_fits()
                self._changed.notify_all()

    def __enter__(self) -> JobQueue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.wait()
        else:
            self.stop()
