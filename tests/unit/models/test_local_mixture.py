"""Fused mixtures as every other checkpoint: they answer, in batches and under schemas, and run in llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import tiny_models
import torch
from gguf import GGUFReader
from pydantic import BaseModel, ConfigDict, Field

from labwright.config import BackendConfig
from labwright.errors import HashMismatch
from labwright.models.checkpoints import load_checkpoint
from labwright.models.gguf_export import export_gguf
from labwright.models.h3fusion.modeling import H3FusionConfig, H3FusionForCausalLM
from labwright.workflows.backends import open_backend


class Sizes(BaseModel):
    """Bounded, so that a model of random weights ends it."""

    model_config = ConfigDict(extra="forbid")
    n: list[Annotated[int, Field(ge=0, le=99)]] = Field(min_length=2, max_length=3)


@pytest.fixture(scope="module")
def fused(tmp_path_factory) -> Path:
    """A mixture whose experts and routers differ."""
    folder = tmp_path_factory.mktemp("fused")
    base = load_checkpoint(str(tiny_models.save(folder / "base", initializer_range=0.1)))
    config = H3FusionConfig(
        text_config=base.model.config.to_dict(), num_experts=3, num_experts_per_tok=2, properties=["a", "b", "c"]
    )
    model = H3FusionForCausalLM.from_dense(base.model, config, 0)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".experts." in name or "router" in name:
                weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder / "fused")
    base.tokenizer.save_pretrained(folder / "fused")
    return folder / "fused"


def test_a_fused_mixture_answers_like_any_backend_and_its_experts_are_on_record(fused):
    backend = open_backend("x", BackendConfig(kind="h3fusion", model=str(fused)))
    assert (backend.facts["architecture"], backend.facts["experts"], backend.facts["top_k"]) == (
        "H3FusionForCausalLM", 3, 2,
    )  # fmt: skip
    asked = ["Why?", "Which genes of the tumour predict the survival of patients?"]
    options = {"max_tokens": 10, "temperature": 0, "repetition_penalty": 1.0}
    assert [r.text for r in backend.chat.batch(asked, **options)] == [
        backend.chat.invoke(a, **options).text for a in asked
    ]
    form = {"type": "json_schema", "json_schema": {"schema": Sizes.model_json_schema()}}
    Sizes.model_validate_json(str(backend.chat.invoke("Sizes?", max_tokens=200, response_format=form).text))


def test_an_exported_mixture_holds_its_experts_stacked(fused, tmp_path):
    checkpoint = load_checkpoint(str(fused))
    export_gguf(checkpoint, tmp_path / "m.gguf", "f32")
    stored = {t.name: t.data for t in GGUFReader(tmp_path / "m.gguf").tensors}
    weights = checkpoint.model.state_dict()
    for e in range(3):
        expert = weights[f"language_model.model.layers.1.mlp.experts.{e}.up_proj.weight"].numpy()
        assert (stored["blk.1.ffn_up_exps.weight"][e] == expert).all()
    router = weights["language_model.model.layers.1.mlp.router.weight"].numpy()
    assert (stored["blk.1.ffn_gate_inp.weight"] == router).all()
    # transformers has no reader of such a file: it would fill the experts at random, which is refused.
    with pytest.raises(HashMismatch, match="weights are absent or of another shape"):
        load_checkpoint(str(tmp_path / "m.gguf"))
