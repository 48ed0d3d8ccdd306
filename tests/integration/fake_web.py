"""The web page's server, and the processes of its runs, on the scripted model and a sandbox that runs nothing.

Usage: python fake_web.py serve RUNS CONFIG PORT, or python fake_web.py carry RUN_FOLDER. What is replaced is the
engine and the encoder alone; queue, run control, graph and page are the real ones.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import FakeSandbox, hashed_encoder

from labwright.store import RunStore
from labwright.workflows import control


def serve(runs: str, config: str, port: str) -> None:
    from labwright.web import desk
    from labwright.web.dispatcher import Dispatcher
    from labwright.web.serving import serve as listen
    from labwright.web.settings import Settings

    def begin(store: RunStore) -> subprocess.Popen[bytes]:
        with (store.folder / "process.log").open("ab") as log:
            command = [sys.executable, __file__, "carry", str(store.folder)]
            return subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    desk.Dispatcher = partial(Dispatcher, begin=begin)
    settings = Settings(runs=Path(runs), config=Path(config), port=int(port), user="ada")
    listen(settings, lambda address: print(address, flush=True))


def carry(folder: str) -> None:
    store = RunStore(Path(folder))
    real = control._materials

    @contextmanager
    def equipment(config: Any, options: Any) -> Iterator[Any]:
        from labwright.workflows.backends import Backends

        yield control._Equipment(FakeSandbox(store.folder / "jobs.txt"), Backends(config))

    def materials(*given: Any) -> Any:
        return replace(real(*given), lease=nullcontext, encode=hashed_encoder)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    control._equipment, control._materials = equipment, materials
    signal.signal(signal.SIGTERM, interrupt)
    control.resume(store, control.Options(), only_queued=True)


if __name__ == "__main__":
    {"serve": serve, "carry": carry}[sys.argv[1]](*sys.argv[2:])
