"""What long benchmarks share: limits in minutes, what was typed, and lines about a training."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from labwright.errors import WrongUse
from labwright.eval.suites import parts
from labwright.eval.suites.parts import command, refuse_unknown, training_progress, within
from labwright.models.training.results import Progress


def test_parts_and_minutes_that_make_no_sense_are_refused():
    refuse_unknown(("a",), ("a", "b"))
    with pytest.raises(WrongUse, match="--parts c: any of a, b"):
        refuse_unknown(("a", "c"), ("a", "b"))
    with pytest.raises(WrongUse, match="more than 0"):
        within(0)


def test_minutes_run_out(monkeypatch):
    now = 100.0
    monkeypatch.setattr(parts, "time", SimpleNamespace(monotonic=lambda: now))
    begun, always = within(2), within(None)
    now = 219.0
    assert begun()
    now = 221.0
    assert not begun()
    assert always()


def test_the_command_is_what_was_typed():
    assert command("safety", ("toy", "step"), quick=True, model="m") == (
        "labwright bench safety --parts toy,step --quick --model m"
    )
    assert command("safety", ()) == "labwright bench safety"


def test_a_training_is_heard_of_now_and_then_and_at_its_end(monkeypatch):
    now, said = 0.0, []
    monkeypatch.setattr(parts, "time", SimpleNamespace(monotonic=lambda: now))
    report = training_progress("base", said.append)
    for step in range(1, 6):
        now += 9.0
        report(Progress(step=step, steps=5, loss=1 / step, tokens_per_s=200.0, remaining_s=9.0 * (5 - step)))
        if step == 1:
            report(Progress(note="a note"))
    assert said == [
        "base: a note",
        "base: step 3 of 5, loss 0.333, 200 tokens/s, about 0 min left",
        "base: step 5 of 5, loss 0.200, 200 tokens/s",
    ]
