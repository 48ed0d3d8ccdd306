"""The attack suite as users run it, and what it leaves behind."""

from __future__ import annotations

import pytest

from labwright.sandbox.attacks.leftovers import leftovers
from labwright.sandbox.attacks.suite import attacks, run
from labwright.sandbox.docker_engine import DockerSandbox

pytestmark = pytest.mark.docker


def test_every_attack_is_held_and_leaves_nothing(sandbox: DockerSandbox) -> None:
    outcomes = run(sandbox, attacks(), lambda _: None)
    through = {outcome.name: outcome.stopped_by for outcome in outcomes if not outcome.held}
    assert not through
    assert len(outcomes) >= 40
    assert leftovers(sandbox) == dict.fromkeys(leftovers(sandbox), 0)
