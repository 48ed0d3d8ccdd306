"""SIGINT and SIGTERM end a command as an interrupt of its main thread.

Python runs a handler in the main thread, between two steps of it. A signal that comes after the last of these and
before the thread sleeps on a lock sets a flag that nobody reads until the lock is free: on a busy machine 4 of 320
Ctrl-C were lost while a command waited for its job. The interpreter also writes every signal to a descriptor at
once (`signal.set_wakeup_fd`), and a thread that reads it wakes the main thread when it slept through.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

WAKE_S = 0.2
"""How long the handler has before the main thread is woken, and woken again."""
_HANDLED = threading.Event()


def heed_signals() -> None:
    """Let SIGTERM and SIGINT raise KeyboardInterrupt in the main thread, which calls this once, and end its waits.

    SIGINT stays ignored where it was: in a job of the background.
    """
    signal.signal(signal.SIGTERM, _interrupted)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # its signals are not ours
    threading.Thread(target=_wake, args=(heard,), name="signals", daemon=True).start()


def _interrupted(signum: int, frame: Any) -> None:
    _HANDLED.set()
    from labwright.lease import stop_waiting  # loads the configuration, which `--help` does not wait for

    stop_waiting()
    raise KeyboardInterrupt


def _wake(heard: int) -> None:
    main = threading.main_thread().ident or 0
    while came := os.read(heard, 1):
        # A server has handlers of its own, and takes a second signal for impatience.
        while signal.getsignal(came[0]) is _interrupted:
            if _HANDLED.wait(WAKE_S):
                return
            signal.pthread_kill(main, came[0])
