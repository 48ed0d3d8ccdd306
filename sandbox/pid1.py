"""Process 1 of the sandbox: reaps orphans and does nothing else.

Runs inside the image with the standard library only. As process 1 of its namespace it cannot be killed
from within, and it leaves no zombie that would count against the limit on processes.
"""

import ctypes
import os
import signal
import time

PR_SET_DUMPABLE = 4


def main() -> None:
    """Wait for children for ever."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            # Orphans come at any time and their parent is never told, so look again after a while.
            time.sleep(0.2)


if __name__ == "__main__":
    main()
