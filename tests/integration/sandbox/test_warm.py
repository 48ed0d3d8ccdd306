"""Warm containers: what a script sees and makes there is what it sees and makes in a new one, and each serves once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from labwright.sandbox.attacks.leftovers import leftovers
from labwright.sandbox.contract import Job, Limits, Result
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.owner import OWNER_LABEL, Owner
from labwright.sandbox.pool import WarmPool

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("warm")]  # one fixture for all
LIMITS = Limits(wall_s=120, memory_mib=1024, cpus=1, out_mib=8, out_files=16, file_mib=8)
SIZE = 2
ANALYSIS = """\
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import statsmodels.api as sm
from lifelines import CoxPHFitter, KaplanMeierFitter
from sklearn.linear_model import LogisticRegression

table = pd.read_csv('/in/table.csv')
cox = CoxPHFitter().fit(table, 'time', 'event')
cox.summary.to_csv('cox.csv')
KaplanMeierFitter().fit(table.time, table.event).plot_survival_function()
plt.savefig('curve.png', metadata={'Software': None})
sm.OLS(table.time, sm.add_constant(table[['age']])).fit().params.to_csv('ols.csv')
model = LogisticRegression().fit(table[['age', 'time']], table.event)
pd.Series(model.coef_[0]).to_csv('logistic.csv')
print(table.describe())
"""
WORLD = """\
import os, sys
print(__name__, __file__, sys.argv, sys.path[0], os.getcwd(), sys.flags, sys.stdin.read(), sorted(globals()))
print(sorted(os.environ.items()), os.listdir('/in'), os.listdir('/out'), os.listdir('/tmp'), os.getpid() != 1)
print(sys.getrecursionlimit(), __builtins__ is __import__('builtins'), sys.modules['__main__'].__dict__ is globals())
"""
ENDS = {
    "error": "def fails():\n    return {}['absent']\n\nfails()\n",
    "syntax": "x = 1\nif x\n    print(x)\n",
    "exit": "import atexit, sys\natexit.register(print, 'at the end')\nsys.exit(7)\n",
    "message": "import sys\nsys.exit('no data')\n",
    "killed": "import os\nos.kill(os.getpid(), 9)\n",
    "spawned": "import multiprocessing as m\ndef square(x): return x * x\n"
    "if __name__ == '__main__': print(m.get_context('spawn').Pool(1).map(square, [2, 3]))\n",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "table.csv"
    rows = [f"{20 + 3 * i % 50},{5 + 7 * i % 31},{int(i % 3 > 0)}" for i in range(60)]
    path.write_text("age,time,event\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def pool(sandbox: DockerSandbox) -> Iterator[WarmPool]:
    with WarmPool(sandbox, LIMITS, SIZE, lease=nullcontext) as made:
        yield made
    assert not any(leftovers(sandbox).values())


def both(sandbox: DockerSandbox, pool: WarmPool, tmp_path: Path, script: str, **inputs: Path) -> list[Result]:
    """Results of the script in a new container and in a warm one."""
    job = Job(script=script, inputs={k.replace("__", "."): v for k, v in inputs.items()}, limits=LIMITS)
    assert pool.wait_full(60)
    served = pool.served
    results = [sandbox.run(job, tmp_path / "cold"), pool.run(job, tmp_path / "warm")]
    assert pool.served == served + 1
    return results


def test_an_analysis_gives_the_same_bytes(sandbox: DockerSandbox, pool: WarmPool, tmp_path: Path, table: Path) -> None:
    cold, warm = both(sandbox, pool, tmp_path, ANALYSIS, table__csv=table)
    assert cold.ok, cold.stderr
    assert len(cold.outputs) == 4
    assert (warm.outputs, warm.stdout, warm.inputs_read) == (cold.outputs, cold.stdout, ("table.csv",))


def test_a_script_sees_the_same_world(sandbox: DockerSandbox, pool: WarmPool, tmp_path: Path, table: Path) -> None:
    cold, warm = both(sandbox, pool, tmp_path, WORLD, table__csv=table)
    assert cold.ok, cold.stderr
    assert warm.stdout == cold.stdout


@pytest.mark.parametrize("name", ENDS)
def test_a_script_ends_the_same_way(sandbox: DockerSandbox, pool: WarmPool, tmp_path: Path, name: str) -> None:
    cold, warm = both(sandbox, pool, tmp_path, ENDS[name])
    assert (warm.cause, warm.exit_code, warm.stdout, warm.stderr) == (
        cold.cause, cold.exit_code, cold.stdout, cold.stderr,
    )  # fmt: skip


def test_a_container_serves_once(sandbox: DockerSandbox, pool: WarmPool, tmp_path: Path) -> None:
    script = "import os\nprint(os.listdir('/tmp'), os.path.exists('/out/mark'))\n"
    script += "open('/tmp/mark', 'w').close()\nopen('/out/mark', 'w').close()\n"
    served = pool.served
    for number in range(2):
        assert pool.wait_full(60)
        result = pool.run(Job(script=script, limits=LIMITS), tmp_path / str(number))
        assert (result.ok, result.stdout) == (True, "[] False\n")
    assert pool.served == served + 2


def test_one_that_died_while_it_waited_is_passed_over(sandbox: DockerSandbox, pool: WarmPool, tmp_path: Path) -> None:
    assert pool.wait_full(60)
    served = pool.served
    with closing(sandbox.address.client()) as client:
        mine: dict[str, Any] = {"label": f"{OWNER_LABEL}={Owner.current()}"}
        found = client.containers.list(filters=mine)
        assert len(found) == SIZE
        for waiting in found:
            waiting.kill()
            waiting.wait()
    result = pool.run(Job(script="print('ran')", limits=LIMITS), tmp_path / "out")
    assert (result.stdout, pool.served) == ("ran\n", served)


def test_a_job_of_other_limits_gets_a_container_of_its_own(pool: WarmPool, tmp_path: Path) -> None:
    assert pool.wait_full(60)
    served = pool.served
    result = pool.run(Job(script="print('ran')", limits=Limits(memory_mib=256)), tmp_path / "out")
    assert (result.ok, pool.served, pool.ready()) == (True, served, SIZE)


def test_the_limits_hold_in_a_warm_container(pool: WarmPool, tmp_path: Path) -> None:
    served = pool.served
    bomb = "held = []\nwhile len(held) < 4096: held.append(bytearray(1 << 20))\n"
    for number, (script, cause) in enumerate([(bomb, "oom"), ("while True: print('x' * 65536)", "output_cap")]):
        assert pool.wait_full(60)
        assert pool.run(Job(script=script, limits=LIMITS), tmp_path / str(number)).cause == cause
    assert pool.served == served + 2
