"""The judge of the attack suite: nothing counts as held without proof."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import SandboxBroken, WrongUse
from labwright.sandbox.attacks import suite
from labwright.sandbox.attacks.suite import Scene, attacks, chosen, judged
from labwright.sandbox.contract import Job, Result

BY_NAME = {attack.name: attack for attack in attacks()}
HELD = json.dumps({"held": True, "by": "EPERM", "figure": "3 tries"}) + "\n"


def result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "cause": "exit", "exit_code": 0, "stdout": HELD, "stderr": "", "outputs": (), "inputs_read": (),
        "duration_s": 0.1, "total_s": 0.5, "peak_memory_mib": None, "image_id": "sha256:0",
    }  # fmt: skip
    return Result(**(values | changes))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "data.csv").write_bytes(suite.INPUT)
    (tmp_path / "out").mkdir()
    return Scene(folder=tmp_path, secret="a-secret-of-the-host", port=1, reached=[], mark="nobody-carries-this")


def test_there_are_enough_and_each_says_what_it_tries() -> None:
    assert len(BY_NAME) == len(attacks()) >= 40
    assert all(attack.tried.endswith(".") for attack in attacks())
    for named in (*suite.ENDED, *suite.CHECKED):
        assert named in BY_NAME
    for attack in attacks():
        compile(attack.script, attack.name, "exec")
        assert "from labwright.sandbox" not in attack.script


def test_held_when_the_attack_says_so(scene: Scene) -> None:
    outcome = judged(BY_NAME["mount"], scene, result())
    assert (outcome.held, outcome.stopped_by, outcome.figure) == (True, "EPERM", "3 tries")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mount", {"stdout": HELD.replace("true", "false")}),
        ("mount", {"stdout": ""}),
        ("mount", {"stdout": "[]\n"}),
        ("mount", {"cause": "died", "exit_code": None}),
        ("memory", {}),
        ("memory", {"cause": "oom", "stdout": "swapped 12 kB\n"}),
        ("sleeping", {"cause": "exit"}),
        ("host_files", {"stdout": "a-secret-of-the-host\n" + HELD}),
        ("secrets_in_environment", {"stderr": "a-secret-of-the-host"}),
        ("hidden_reads", {}),
    ],
)
def test_not_held_by_its_end_or_its_words(scene: Scene, name: str, changes: dict[str, Any]) -> None:
    assert not judged(BY_NAME[name], scene, result(**changes)).held


def _connect(scene: Scene) -> None:
    scene.reached.append("loopback")


def _spring(scene: Scene) -> None:
    (scene.folder / "sprung").touch()


def _change_input(scene: Scene) -> None:
    (scene.folder / "data.csv").write_bytes(b"changed")


def _take(scene: Scene, name: str, content: bytes = b"root:x:0:0") -> None:
    (scene.out / "good.txt").write_bytes(b"good")
    (scene.out / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "happens"),
    [
        ("loopback_of_host", _connect),
        ("abstract_socket_of_host", _connect),
        ("pickles", _spring),
        ("tamper_inputs", _change_input),
        ("symlinks", lambda s: _take(s, "shadow.csv")),
        ("symlink_race", lambda s: _take(s, "good.txt")),
        ("symlink_race", lambda s: (s.out / "file").symlink_to("/dev/null")),
        ("special_files", lambda s: _take(s, "pipe.csv")),
        ("strange_names", lambda s: _take(s, "..hidden", b"")),
        ("case_twins", lambda s: _take(s, "RESULT.csv")),
        ("zip_bomb", lambda s: _take(s, "zeros", b"\0" * (2 << 20))),
    ],
)
def test_not_held_by_what_is_seen_outside(scene: Scene, name: str, happens: Callable[[Scene], None]) -> None:
    happens(scene)
    assert not judged(BY_NAME[name], scene, result()).held


def test_a_sandbox_that_breaks_did_not_hold() -> None:
    class Broken:
        def run(self, job: Job, out_dir: Path, *, stop: Any = None) -> Result:
            raise SandboxBroken("the engine went away")

        def policy(self) -> dict[str, Any]:
            return {}

    (outcome,) = suite.run(Broken(), [BY_NAME["mount"]], lambda _: None)
    assert (outcome.held, outcome.cause) == (False, "broken")


def test_unknown_names_are_refused() -> None:
    assert [attack.name for attack in chosen(["mount", "memory"])] == ["mount", "memory"]
    with pytest.raises(WrongUse, match="no attack named flood"):
        chosen(["flood"])
