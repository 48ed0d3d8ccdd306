"""Ordinary jobs: outputs, exit codes, reads of inputs, what the image can import."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import WrongUse
from labwright.sandbox.address import find_engine
from labwright.sandbox.contract import Job, Limits, Result
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.owner import OWNER_LABEL, Owner

pytestmark = pytest.mark.docker
SMALL = Limits(wall_s=30, memory_mib=256, pids=32, cpus=1, out_mib=8, out_files=8, file_mib=8, log_kib=64)
Run = Callable[..., Result]


@pytest.fixture
def run(sandbox: DockerSandbox, tmp_path: Path) -> Run:
    def run(script: str, limits: Limits = SMALL, **inputs: Path) -> Result:
        job = Job(script=script, inputs={k.replace("__", "."): v for k, v in inputs.items()}, limits=limits)
        result = sandbox.run(job, tmp_path / "out")
        with closing(find_engine().client()) as client:
            mine: dict[str, Any] = {"label": f"{OWNER_LABEL}={Owner.current()}"}
            assert not client.containers.list(all=True, filters=mine), "a container was left"
        return result

    return run


def test_outputs_come_back(run: Run, tmp_path: Path) -> None:
    result = run(
        "import os, sys\n"
        "open('b.csv', 'w').write('x,y\\n1,2\\n')\n"
        "os.mkdir('figures'); open('figures/a.txt', 'w').write('hello')\n"
        "print('out'); print('err', file=sys.stderr)\n"
    )
    assert result.ok
    assert [file.name for file in result.outputs] == ["b.csv", "figures/a.txt"]
    assert (tmp_path / "out/figures/a.txt").read_text() == "hello"
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert result.duration_s < result.total_s
    assert result.image_id.startswith("sha256:")


def test_failing_script_is_a_result_and_keeps_its_outputs(run: Run) -> None:
    result = run("open('partial.txt', 'w').write('x')\nraise ValueError('no')\n")
    assert (result.cause, result.exit_code, result.ok) == ("exit", 1, False)
    assert 'File "/work/script.py", line 2' in result.stderr
    assert [file.name for file in result.outputs] == ["partial.txt"]


def test_syntax_error_and_odd_bytes_are_results(run: Run) -> None:
    assert run("print('\x00')\n").exit_code == 1


def test_reads_are_the_kernels_word(run: Run, tmp_path: Path) -> None:
    for name in ("read.csv", "opened.csv", "listed.csv"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    for name in ("folder", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part.txt").write_text("z")
    result = run(
        "import os\n"
        "print(open('/in/read.csv').read()); open('/in/opened.csv').close(); os.stat('/in/listed.csv')\n"
        "print(open('/in/folder/part.txt').read()); print(os.listdir('/in/other'))\n",
        read__csv=tmp_path / "read.csv",
        opened__csv=tmp_path / "opened.csv",
        listed__csv=tmp_path / "listed.csv",
        folder=tmp_path / "folder",
        other=tmp_path / "other",
    )
    assert result.ok, result.stderr
    assert result.inputs_read == ("folder", "read.csv")


def test_inputs_cannot_be_changed(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "private.csv"
    source.write_text("1")
    source.chmod(0o600)
    result = run(
        "import os\n"
        "print(open('/in/private.csv').read())\n"
        "for act in (lambda: open('/in/private.csv', 'w'), lambda: os.remove('/in/private.csv'),\n"
        "            lambda: open('/in/new', 'w'), lambda: os.chmod('/in/private.csv', 0o777)):\n"
        "    try:\n        act(); print('HOLE')\n    except OSError as error: print(error.errno)\n",
        private__csv=source,
    )
    assert result.ok, result.stderr
    assert result.stdout.startswith("1\n")
    assert "HOLE" not in result.stdout
    assert source.read_text() == "1"


def test_stack_and_operators_import(run: Run) -> None:
    script = (
        "import matplotlib.pyplot as plt, scanpy, lifelines, pydeseq2, gseapy, rdata, pyarrow, leidenalg\n"
        "import labwright.tools.analysis as analysis\n"
        "plt.plot([1, 2]); plt.savefig('a.png'); print(analysis.__name__)\n"
    )
    result = run(script, Limits(wall_s=120, memory_mib=2048))
    assert result.ok, result.stderr
    assert result.stdout.strip() == "labwright.tools.analysis"
    assert [file.name for file in result.outputs] == ["a.png"]
    assert (result.peak_memory_mib or 100) > 50


def test_environment_holds_nothing_of_the_host(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_TEST_SECRET", "sesame")
    result = run("import os\nprint(dict(os.environ)); print(open('/proc/1/environ').read())\n")
    assert "sesame" not in result.stdout + result.stderr


def test_unacceptable_jobs_are_refused(sandbox: DockerSandbox, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WrongUse, match="empty folder"):
        sandbox.run(Job(script=""), tmp_path)
    with pytest.raises(WrongUse, match="input name"):
        sandbox.run(Job(script="", inputs={"../x": tmp_path / "file"}), tmp_path / "out")
    with pytest.raises(WrongUse, match="no file or folder"):
        sandbox.run(Job(script="", inputs={"x": tmp_path / "absent"}), tmp_path / "out")
    with pytest.raises(WrongUse, match="bytes"):
        sandbox.run(Job(script="#" * (1 << 20) + "#"), tmp_path / "out")


def test_policy_names_what_is_in_force(sandbox: DockerSandbox) -> None:
    policy = sandbox.policy()
    assert policy["isolation"] == f"docker+{sandbox.engine.runtime}"
    assert policy["probe"]["status"]["Seccomp"] == "2"
    assert policy["inputs_read_observable"] is True
