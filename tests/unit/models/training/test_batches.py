"""What a step computes: logits of answers alone, and micro-batches of examples of like length."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from tiny_training import DATA, run_of

from labwright.models.checkpoints import load_checkpoint
from labwright.models.training.config import TrainingConfig
from labwright.models.training.encoding import answer_loss, answers_only
from labwright.models.training.hooks import Hook
from labwright.models.training.loop import train

CONFIG = TrainingConfig(
    epochs=1, batch_size=4, learning_rate=1e-2, template="none", device="cpu", max_tokens=64, checkpoint_every=0
)


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(request, tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp(request.param), request.param, hidden_size=32, intermediate_size=48)


def test_a_step_computes_logits_of_answers_alone_and_the_model_all_of_them_again_afterwards(base):
    shapes = []

    class Looks(Hook):
        name = "looks"

        def loss_terms(self, run, batch, outputs):
            shapes.append((tuple(outputs.logits.shape), batch.answer_tokens()))
            return {}

    run = run_of(base, CONFIG.model_copy(update={"lora": None}), [Looks()])
    batch = run.batch(run.encode(DATA.train[:4]).rows)
    run.accumulate([batch])
    vocabulary = run.model.config.vocab_size
    assert shapes == [((batch.answer_tokens(), vocabulary), batch.answer_tokens())]
    assert batch.answer_tokens() < batch.labels.numel() / 2
    full = run.forward(batch).logits
    assert full.shape == (*batch.labels.shape, vocabulary)
    with answers_only(run.model, batch):
        narrow = run.forward(batch).logits
    torch.testing.assert_close(answer_loss(narrow, batch), answer_loss(full, batch))
    with pytest.raises(RuntimeError, match="on purpose"), answers_only(run.model, batch):
        raise RuntimeError("on purpose")
    assert run.forward(batch).logits.shape == full.shape


def test_examples_of_like_length_share_a_micro_batch(base, tmp_path):
    steps: list[list[tuple[int, ...]]] = []

    class Looks(Hook):
        name = "looks"

        def loss_terms(self, run, batch, outputs):
            while len(steps) <= run.step:
                steps.append([])
            steps[run.step].append(tuple(batch.attention_mask.sum(dim=1).tolist()))
            return {}

    config = CONFIG.model_copy(update={"batch_size": 2, "accumulate": 3})
    train(load_checkpoint(str(base)), DATA, config, tmp_path / "out", [Looks()])
    assert all([n for batch in step for n in batch] == sorted(n for batch in step for n in batch) for step in steps)
    # Every example is still seen once, and the order of the steps is not one of length.
    assert sum(len(batch) for step in steps for batch in step) == len(DATA.train)
    assert len({max(step[-1]) for step in steps}) > 1
