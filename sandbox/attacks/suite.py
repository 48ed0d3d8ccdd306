"""Runs every attack in the sandbox and judges from outside whether it was held.

The word of an attack counts only together with what the host sees: how the job ended, what was taken out, whether a
listener was reached, whether a process was left.
"""

from __future__ import annotations

import ast
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import psutil

from labwright.config import cache_dir
from labwright.errors import SandboxBroken, WrongUse
from labwright.sandbox import settings
from labwright.sandbox.contract import Cause, Job, Limits, Result, Sandbox
from labwright.sandbox.staging import private_folder

LIMITS = Limits(wall_s=30.0, memory_mib=256, pids=64, cpus=1.0, out_mib=16, out_files=64, file_mib=16, log_kib=1024)
SHORT = replace(LIMITS, wall_s=3.0)
AT_ONCE = 2
MODULES = ("inside_resources", "inside_kernel", "inside_supervisor", "inside_files")
INPUT = b"sample,value\na,1\n"
RUN_ID = "attack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What stands outside while an attack runs."""

    folder: Path
    """Holds the original of the input and, in `out`, what was taken."""
    secret: str
    """In the environment and in a file of this machine."""
    port: int
    """Of a listener on this machine's loopback."""
    reached: list[str]
    """Listeners that something connected to."""
    mark: str
    """An argument that only processes of this attack carry."""

    @property
    def out(self) -> Path:
        """What was taken out."""
        return self.folder / "out"

    def taken(self) -> dict[str, bytes]:
        """Name to content of everything that lies in `out`."""
        found = self.out.rglob("*") if self.out.is_dir() else ()
        return {str(p.relative_to(self.out)): p.read_bytes() for p in found if p.is_file() or p.is_symlink()}


Check = Callable[[Scene, Result], str]
"""Names what went through, an empty text when nothing did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack: what is run, how it must end, what must be true outside."""

    name: str
    tried: str
    """One sentence: the docstring of the attack."""
    script: str
    """The one file that runs in the container."""
    ends: tuple[Cause, ...] = ("exit",)
    limits: Limits = LIMITS
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attack."""

    name: str
    tried: str
    held: bool
    stopped_by: str
    figure: str
    cause: str
    seconds: float
    """Whole cycle with creation and removal of the container."""


def _only(*names: str) -> Check:
    """Nothing beside these was taken, and each of them holds what was written."""

    def check(scene: Scene, _: Result) -> str:
        taken = scene.taken()
        foreign = sorted(set(taken) - set(names))
        if foreign:
            return f"taken out: {foreign}"
        linked = [name for name in taken if (scene.out / name).is_symlink()]
        strange = [name for name, content in taken.items() if content not in (b"good", b"own", b"x" * 512)]
        return f"links {linked} or foreign content {strange} taken out" if linked or strange else ""

    return check


def _nothing_taken(scene: Scene, _: Result) -> str:
    return f"taken out: {sorted(scene.taken())}" if scene.taken() else ""


def _one_taken(scene: Scene, _: Result) -> str:
    return "" if len(scene.taken()) == 1 else f"taken out: {sorted(scene.taken())}"


def _input_unchanged(scene: Scene, _: Result) -> str:
    return "" if (scene.folder / "data.csv").read_bytes() == INPUT else "the original of the input was changed"


def _not_swapped(_: Scene, result: Result) -> str:
    lines = [line for line in result.stdout.splitlines() if "swapped" in line]
    return "" if lines and all(line.endswith("swapped 0 kB") for line in lines) else "memory was swapped out"


def _no_process_left(scene: Scene, _: Result) -> str:
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if scene.mark in (p.info["cmdline"] or [])]
    return f"{len(left)} processes left" if left else ""


def _not_reached(scene: Scene, _: Result) -> str:
    return f"reached: {scene.reached}" if scene.reached else ""


def _secret_unseen(scene: Scene, result: Result) -> str:
    names = ("KEY", "TOKEN", "SECRET", "PASSW")
    values = [v for k, v in os.environ.items() if len(v) >= 8 and any(word in k.upper() for word in names)]
    seen = any(value in result.stdout + result.stderr for value in [scene.secret, *values])
    return "a secret of this machine was printed" if seen else ""


def _trap_unsprung(scene: Scene, _: Result) -> str:
    return "code of an output was run" if (scene.folder / "sprung").exists() else ""


def _small(scene: Scene, _: Result) -> str:
    size = sum(map(len, scene.taken().values()))
    return "" if scene.taken() and size < 1 << 20 else f"{size} bytes taken"


def _read_counted(_: Scene, result: Result) -> str:
    return "" if "data.csv" in result.inputs_read else "a read of an input was not seen"


def _own_code(_: Scene, result: Result) -> str:
    return "" if result.exit_code == 3 else f"the script's own exit code 3 became {result.exit_code}"


ENDED: dict[str, tuple[Cause, ...]] = {
    "fork_bomb_endless": ("wall", "oom"),
    "memory": ("oom",),
    "memory_of_many": ("oom", "died"),
    "memory_file": ("oom",),
    "endless_output": ("output_cap",),
    "endless_errors": ("output_cap",),
    "line_without_end": ("output_cap",),
    "sleeping": ("wall",),
    "ignoring_signals": ("wall",),
    "silent_children": ("wall",),
    "cpu_for_ever": ("wall",),
    "inodes_out": ("artifact_cap",),
    "sparse_files": ("artifact_cap",),
    "too_many_files": ("artifact_cap",),
}
"""Attacks that do not end by themselves, and how they may be ended."""
CHECKED: dict[str, tuple[Check, ...]] = {
    "memory": (_not_swapped,),
    "daemons": (_no_process_left,),
    "host_files": (_secret_unseen,),
    "secrets_in_environment": (_secret_unseen,),
    "loopback_of_host": (_not_reached,),
    "abstract_socket_of_host": (_not_reached,),
    "forged_end": (_own_code,),
    "tamper_inputs": (_input_unchanged,),
    "symlinks": (_only("good.txt"),),
    "hardlinks": (_only("good.txt", "second.txt"), _input_unchanged),
    "special_files": (_only("good.txt"),),
    "sparse_files": (_nothing_taken,),
    "too_many_files": (_nothing_taken,),
    "strange_names": (_only("good.txt"),),
    "deep_folders": (_only("good.txt"),),
    "case_twins": (_one_taken,),
    "zip_bomb": (_small,),
    "pickles": (_trap_unsprung,),
    "symlink_race": (_only("good.txt", "file", "swap"),),
    "hidden_reads": (_read_counted,),
}
"""What must be true outside, beside the end and the attack's own word."""


def attacks() -> tuple[Attack, ...]:
    """Every attack, in the order of its file."""
    return tuple(attack for module in MODULES for attack in _of_module(module))


def chosen(names: Sequence[str]) -> tuple[Attack, ...]:
    """The attacks of these names; all of them when none is given.

    Raises:
        WrongUse: there is no attack of a name.
    """
    known = {attack.name: attack for attack in attacks()}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise WrongUse(f"no attack named {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in names or known)


def _of_module(module: str) -> Iterator[Attack]:
    source = _source(module)
    tree = ast.parse(source)
    lines = source.split("\n")
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labwright.sandbox"):
            # What it names is put above in the same file; the image does not hold this package.
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            ends = ENDED.get(node.name, ("exit",))
            yield Attack(
                name=node.name,
                tried=(ast.get_docstring(node) or "").split("\n")[0],
                script="\n".join([_source("inside_common"), *lines, f"{node.name}()\n"]),
                ends=ends,
                limits=SHORT if "wall" in ends else LIMITS,
                checks=CHECKED.get(node.name, ()),
            )


def _source(module: str) -> str:
    return (resources.files("labwright.sandbox.attacks") / f"{module}.py").read_text(encoding="utf-8")


def run(sandbox: Sandbox, wanted: Sequence[Attack], done: Callable[[Outcome], None]) -> list[Outcome]:
    """Run attacks, two at a time, each in a container of its own.

    Args:
        sandbox: what is attacked.
        wanted: some of :func:`attacks`.
        done: told every outcome as it comes, from any thread.

    Raises:
        SandboxBroken: the sandbox failed.
    """

    def one(attack: Attack) -> Outcome:
        outcome = _run(sandbox, attack)
        done(outcome)
        return outcome

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, wanted))


def _run(sandbox: Sandbox, attack: Attack) -> Outcome:
    with _scene() as scene:
        inputs = {"data.csv": scene.folder / "data.csv", "given.json": scene.folder / "given.json"}
        (scene.folder / "given.json").write_text(json.dumps(_given(scene, attack.limits)), encoding="utf-8")
        job = Job(script=attack.script, inputs=inputs, limits=attack.limits, run_id=RUN_ID)
        try:
            result = sandbox.run(job, scene.out)
        except SandboxBroken as error:
            # An attack that breaks the sandbox shuts out the jobs after it.
            return Outcome(
                name=attack.name,
                tried=attack.tried,
                held=False,
                stopped_by=f"the sandbox broke: {error}",
                figure="",
                cause="broken",
                seconds=0.0,
            )
        return judged(attack, scene, result)


def judged(attack: Attack, scene: Scene, result: Result) -> Outcome:
    """The outcome by the end of the job, the attack's own word and what is seen outside."""
    by, figure, wrong = f"killed: {result.cause}", f"ended after {result.duration_s:.2f} s", ""
    if result.cause not in attack.ends:
        wrong = f"ended by {result.cause}, not by {' or '.join(attack.ends)}"
    elif result.cause in ("exit", "artifact_cap"):
        said = _last_word(result)
        by, figure = str(said.get("by", by)), str(said.get("figure", ""))
        if said.get("held") is not True:
            wrong = by if said else f"the attack failed by itself: {result.stderr.strip()[-200:]}"
    seen = [text for check in attack.checks if (text := check(scene, result))]
    wrong = "; ".join(filter(None, [wrong, *seen]))
    return Outcome(
        name=attack.name,
        tried=attack.tried,
        held=not wrong,
        stopped_by=wrong or by,
        figure=figure,
        cause=result.cause,
        seconds=result.total_s,
    )


def _last_word(result: Result) -> dict[str, object]:
    try:
        said = json.loads(result.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    return said if isinstance(said, dict) else {}


def _given(scene: Scene, limits: Limits) -> dict[str, object]:
    places = settings.tmpfs_limits(limits)
    return {
        "pids": limits.pids,
        "cpus": limits.cpus,
        "file_mib": limits.file_mib,
        "out_files": limits.out_files,
        "mib": {place: size for place, (size, _) in places.items()},
        "inodes": {place: inodes for place, (_, inodes) in places.items()},
        "mark": scene.mark,
        "port": scene.port,
        "abstract": scene.mark,
        "secret_file": str(scene.folder / "secret"),
        "trap_file": str(scene.folder / "sprung"),
    }


@contextmanager
def _scene() -> Iterator[Scene]:
    reached: list[str] = []
    with (
        private_folder(cache_dir() / "staging") as folder,
        socket.create_server(("127.0.0.1", 0)) as loopback,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        scene = Scene(
            folder=folder,
            secret=secrets.token_hex(16),
            port=loopback.getsockname()[1],
            reached=reached,
            mark=f"labwright-attack-{secrets.token_hex(8)}",
        )
        abstract.bind("\0" + scene.mark)
        abstract.listen()
        (folder / "data.csv").write_bytes(INPUT)
        (folder / "secret").write_text(scene.secret, encoding="ascii")
        waiting = [
            threading.Thread(target=_accept, args=(place, listener, reached), daemon=True)
            for place, listener in (("loopback", loopback), ("abstract", abstract))
        ]
        for thread in waiting:
            thread.start()
        variable = f"LABWRIGHT_ATTACK_SECRET_{scene.mark[-8:]}"
        os.environ[variable] = scene.secret
        try:
            yield scene
        finally:
            del os.environ[variable]
            for listener in (loopback, abstract):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            for thread in waiting:
                thread.join()


def _accept(place: str, listener: socket.socket, reached: list[str]) -> None:
    try:
        listener.accept()[0].close()
    except OSError:
        return  # shut down without a visitor
    reached.append(place)
