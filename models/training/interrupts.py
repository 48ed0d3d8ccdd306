"""Ctrl-C and SIGTERM during a training: the step under way is finished and saved, then the program is interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

CAUGHT = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes a signal instead of breaking into an update of the weights; a second one interrupts at once, unsaved.

    `noted` is called at the first one: a step can take long, and a person has to know that it was heard.
    """

    def __init__(self, noted: Callable[[], None]) -> None:
        self.asked = False
        self._noted = noted
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        # Only the main thread may set handlers; a training in another one is interrupted by whoever runs it.
        if threading.current_thread() is threading.main_thread():
            for number in CAUGHT:
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN:  # a job in the background keeps ignoring it
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._noted()
