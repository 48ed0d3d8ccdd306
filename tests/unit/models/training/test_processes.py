"""Two processes end with the weights of one that sees the same examples in each step."""

from __future__ import annotations

import os
import socket

import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from tiny_training import DATA, ended, forked

from labwright.models.checkpoints import load_checkpoint
from labwright.models.training.config import LoraSettings, TrainingConfig
from labwright.models.training.hooks import Hook
from labwright.models.training.loop import train

# 22 examples in steps of 8 leave a last step of 6, in which one process has fewer examples than the other.
CONFIG = TrainingConfig(
    epochs=2,
    batch_size=4,
    accumulate=2,
    learning_rate=1e-2,
    template="none",
    device="cpu",
    max_tokens=64,
    lora=LoraSettings(dropout=0.0),
    checkpoint_every=2,
)


class Shrink(Hook):
    """A term that depends on the examples, so that its weight over processes shows."""

    name = "shrink"

    def forward_arguments(self):
        return {"output_hidden_states": True}

    def loss_terms(self, run, batch, outputs):
        mask = batch.attention_mask.unsqueeze(-1)
        return {"shrink": 0.1 * ((outputs.hidden_states[-1] * mask).sum(1) / mask.sum(1)).square().sum(-1).mean()}


def in_parallel(base, folder, rank, port):
    from accelerate.state import AcceleratorState

    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    os.environ.update(
        WORLD_SIZE="2",
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        ACCELERATE_USE_CPU="true",
    )
    config = CONFIG.model_copy(update={"batch_size": 2})
    result = train(load_checkpoint(str(base)), DATA, config, folder, [Shrink()])
    assert result.facts["processes"] == 2


@pytest.mark.timeout(120)
def test_two_processes_do_what_one_does(tmp_path):
    base = tiny_models.save(tmp_path / "base", hidden_size=32, intermediate_size=48)
    one = train(load_checkpoint(str(base)), DATA, CONFIG, tmp_path / "one", [Shrink()])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pids = [forked(lambda rank=rank: in_parallel(base, tmp_path / "two", rank, port)) for rank in (0, 1)]
    assert [ended(pid) for pid in pids] == [0, 0]
    ours, theirs = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=2e-3, atol=2e-5)
    assert one.facts["result"]["tokens"] > 0
