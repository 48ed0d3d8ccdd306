"""A fused mixture designs and reviews a run: it is asked, its answers count, and what it cannot do rules do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_models
from fake_run import materials

from labwright.config import BackendConfig, Config
from labwright.domain import Protocol
from labwright.models.ask import Session
from labwright.models.calls import Allowance
from labwright.models.checkpoints import load_checkpoint
from labwright.models.h3fusion.modeling import H3FusionConfig, H3FusionForCausalLM
from labwright.models.training.config import TrainingConfig
from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.loop import train
from labwright.workflows.backends import Backends
from labwright.workflows.control import invoke
from labwright.workflows.data import data_folder

pytestmark = pytest.mark.docker
ROLES = ("design", "reviewer")


@pytest.fixture
def fused(tmp_path):
    """A mixture with a context that a protocol fits into, which has learnt to say yes."""
    base = load_checkpoint(str(tiny_models.save(tmp_path / "base", max_position_embeddings=8192)))
    data = TrainingData(tuple(Example(f"{text}\nOne word, yes or no:", "yes") for text in tiny_models.CORPUS[:4]))
    settings = TrainingConfig(
        lora=None, template="chat", batch_size=4, max_steps=40, epochs=40, learning_rate=5e-3, checkpoint_every=0
    )
    train(base, data, settings, tmp_path / "taught")
    base = load_checkpoint(str(tmp_path / "taught"))
    config = H3FusionConfig(text_config=base.model.config.to_dict())
    H3FusionForCausalLM.from_dense(base.model, config, 0).save_pretrained(tmp_path / "fused")
    base.tokenizer.save_pretrained(tmp_path / "fused")
    return tmp_path / "fused"


def test_a_run_is_designed_and_reviewed_by_a_mixture(tmp_path, fused, sandbox):
    data_folder("gbsg2", sandbox.run)
    # Random weights write until the allowance is used up; then rules decide the rest of the run.
    m = materials(tmp_path / "run", allowance=Allowance(generated_tokens=1500))
    backend = BackendConfig(kind="h3fusion", model=str(fused))
    backends = Backends(Config(backends={"fused": backend}, roles=dict.fromkeys(ROLES, "fused")))
    asked: dict[str, Session] = {role: backends.session(role, m.log, 0) for role in ROLES}
    assert invoke(replace(m, sessions={**m.sessions, **asked}), review=False) == "done"
    calls = [c for c in m.log.calls() if c.role in ROLES]
    assert {c.role for c in calls} == set(ROLES)
    assert all(c.backend.startswith("fused:fused@") for c in calls)
    assert not [c for c in m.log.calls() if c.role not in ROLES and c.backend != "scripted"]
    shares = m.log.shares_by_role()
    assert shares["design"].model + shares["design"].fallback > 0
    assert shares["reviewer"].model > 0  # closed questions are read from token probabilities
    protocol = Protocol.model_validate_json((tmp_path / "run" / "protocol.json").read_text())
    assert protocol.parts
    assert all(d.verified for d in protocol.datasets)
