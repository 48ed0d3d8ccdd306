"""A signal ends a command wherever its main thread is."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

TAKEN_BY_ANOTHER_THREAD = """
import signal, sys, threading, time
from labwright.interrupts import heed_signals
from labwright.lease import stopping

signal.signal(signal.SIGINT, signal.default_int_handler)  # these tests may themselves run in the background
heed_signals()

def take() -> None:
    time.sleep(0.5)  # the main thread sleeps on its lock by then
    signal.pthread_kill(threading.get_ident(), int(sys.argv[1]))

threading.Thread(target=take, daemon=True).start()
try:
    threading.Event().wait()
except KeyboardInterrupt:
    print("interrupted", stopping())
"""
IN_THE_BACKGROUND = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from labwright.interrupts import heed_signals
heed_signals()
os.kill(os.getpid(), signal.SIGINT)
print("goes on")
"""
ANOTHER_HANDLER = """
import os, signal, time
from labwright.interrupts import WAKE_S, heed_signals
heed_signals()
came = []
signal.signal(signal.SIGTERM, lambda *_: came.append(1))
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(3 * WAKE_S)
print(len(came))
"""


def said(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_the_sleeping_main_thread_missed_wakes_it(signum: signal.Signals) -> None:
    assert said(TAKEN_BY_ANOTHER_THREAD, int(signum)) == "interrupted True"


def test_ctrl_c_stays_ignored_in_the_background() -> None:
    assert said(IN_THE_BACKGROUND) == "goes on"


def test_a_server_with_its_own_handler_gets_a_signal_once() -> None:
    assert said(ANOTHER_HANDLER) == "1"
