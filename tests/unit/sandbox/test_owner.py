"""Whose a container is, and when its owner is dead."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from labwright.sandbox.owner import Owner, start_of


def test_this_process_lives() -> None:
    owner = Owner.current()
    assert not owner.is_dead()
    assert Owner.parse(f"{owner}-suffix") == owner


def test_an_ended_process_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = replace(Owner.current(), pid=child.pid, start=start_of(child.pid) or 0)
    assert not owner.is_dead()
    child.communicate(b"\n")
    assert owner.is_dead()


def test_a_later_process_with_the_same_id_is_another_owner() -> None:
    assert replace(Owner.current(), start=1).is_dead()


def test_another_boot_is_dead_and_another_namespace_is_unknown() -> None:
    assert replace(Owner.current(), boot="00000000").is_dead()
    assert not replace(Owner.current(), namespace=1, start=1).is_dead()


def test_text_that_names_no_owner() -> None:
    assert Owner.parse("") is None
    assert Owner.parse("someone-else") is None
