"""Exported checkpoints say in llama.cpp what they say in transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiny_models
import torch
from gguf import GGUFReader

from labwright.errors import WrongUse
from labwright.models.chat_templates import rendered
from labwright.models.checkpoints import Checkpoint, load_checkpoint
from labwright.models.embedded import EmbeddedServer
from labwright.models.gguf_export import export_gguf, read_dtype
from labwright.models.local import local_chat

TEXT = "Which 1234 genes of the tumour, naïve or β, don't survive?\n\n  12?"
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
STEPS = 16


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))


def said_by_llama_cpp(file: Path, prompt: str) -> dict[str, Any]:
    """Greedy tokens with the log probabilities of the five best of each step."""
    server = EmbeddedServer(str(file), context_tokens=512)
    body = {"prompt": prompt, "n_predict": STEPS, "temperature": 0, "n_probs": 5, "return_tokens": True}
    headers = {"Authorization": f"Bearer {server.key}"}
    try:
        reply = httpx.post(server.base_url.removesuffix("/v1") + "/completion", headers=headers, json=body, timeout=60)
    finally:
        server.close()
    return reply.json()


def compared(checkpoint: Checkpoint, file: Path) -> tuple[int, float]:
    """Steps at which transformers would have taken llama.cpp's token, and the largest difference of a log probability."""
    prompt = rendered(checkpoint.tokenizer, ASKED)
    theirs = said_by_llama_cpp(file, prompt)
    read = checkpoint.tokenizer(prompt, return_tensors="pt")["input_ids"]
    assert theirs["tokens_evaluated"] == read.shape[1]
    written = theirs["tokens"]
    with torch.inference_mode():
        logits = checkpoint.model(torch.cat([read, torch.tensor([written])], dim=1)).logits[0, read.shape[1] - 1 : -1]
    log_p = logits.log_softmax(dim=-1)  # (steps, vocabulary)
    # llama.cpp leaves out an entry where bytes of a character are waiting; the others are in order.
    place, differences = -1, []
    for entry in theirs["completion_probabilities"]:
        place = written.index(entry["id"], place + 1)
        differences += [abs(t["logprob"] - float(log_p[place, t["id"]])) for t in entry["top_logprobs"]]
    assert len(differences) >= 5 * STEPS // 3
    return sum(int(log_p[i].argmax()) == token for i, token in enumerate(written)), max(differences)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True, "rope_parameters": LLAMA3}),
        ("qwen2", {}),
        ("mixtral", {}),
    ],
)
def test_every_weight_is_where_llama_cpp_looks_for_it(tmp_path, kind, changes):
    checkpoint = load_checkpoint(str(tiny_models.save(tmp_path / "model", kind, initializer_range=0.1, **changes)))
    export_gguf(checkpoint, tmp_path / "m.gguf", "f32")
    assert compared(checkpoint, tmp_path / "m.gguf") == (STEPS, pytest.approx(0, abs=1e-2))


@pytest.mark.parametrize(("dtype", "far"), [("f16", 0.02), ("q8_0", 0.3)])
def test_smaller_types_stay_close(tmp_path, dtype, far):
    checkpoint = load_checkpoint(str(tiny_models.save(tmp_path / "model", initializer_range=0.1)))
    export_gguf(checkpoint, tmp_path / "m.gguf", dtype)
    assert compared(checkpoint, tmp_path / "m.gguf")[1] < far
    stored = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "m.gguf").tensors}
    assert stored["blk.0.attn_q.weight"] == dtype.upper()
    assert stored["blk.0.attn_norm.weight"] == "F32"


def test_the_file_names_its_model_template_and_special_tokens(tmp_path):
    checkpoint = load_checkpoint(str(tiny_models.save(tmp_path / "model", "mixtral")))
    export_gguf(checkpoint, tmp_path / "m.gguf", "q8_0")
    fields = GGUFReader(tmp_path / "m.gguf").fields
    said = {k: fields[k].contents() for k in fields if not k.startswith("GGUF.")}
    assert said["general.architecture"] == "llama"
    assert said["general.name"] == checkpoint.facts["model"]
    assert said["labwright.source.sha256"] == checkpoint.facts["sha256"]
    assert (said["llama.expert_count"], said["llama.expert_used_count"]) == (3, 2)
    assert said["tokenizer.ggml.pre"] == "gpt-2"
    assert said["tokenizer.chat_template"] == tiny_models.CHATML
    tokens = said["tokenizer.ggml.tokens"]
    assert tokens[said["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert said["tokenizer.ggml.token_type"][tokens.index("<|im_start|>")] == 3
    assert said["tokenizer.ggml.add_bos_token"] is False


def test_an_exported_file_is_read_back_with_its_own_splitting(tmp_path):
    folder = tiny_models.save(tmp_path / "model", "qwen2")
    checkpoint = load_checkpoint(str(folder))
    export_gguf(checkpoint, tmp_path / "m.gguf", "f32")
    back = load_checkpoint(str(tmp_path / "m.gguf"))
    text = "Which 1234 genes, naïve or β, don't survive?\n\n  12?<|im_end|>"
    assert back.tokenizer(text)["input_ids"] == checkpoint.tokenizer(text)["input_ids"]
    ours, theirs = (local_chat(c).invoke(TEXT, max_tokens=12, temperature=0) for c in (checkpoint, back))
    assert ours.text == theirs.text
    back.model.save_pretrained(tmp_path / "again")
    back.tokenizer.save_pretrained(tmp_path / "again")
    assert load_checkpoint(str(tmp_path / "again")).facts["parameters"] == checkpoint.facts["parameters"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "gelu"}, "the activation gelu cannot be exported"),
        ({"mlp_bias": True}, None),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "the position scaling dynamic"),
    ],
)  # fmt: skip
def test_what_llama_cpp_would_compute_otherwise_is_refused(tmp_path, changes, message):
    checkpoint = load_checkpoint(str(tiny_models.save(tmp_path / "model", **changes)))
    if message is None:  # biases have their places in the file: nothing is left out
        export_gguf(checkpoint, tmp_path / "m.gguf", "f32")
        assert "blk.0.ffn_up.bias" in {t.name for t in GGUFReader(tmp_path / "m.gguf").tensors}
        return
    with pytest.raises(WrongUse, match=message):
        export_gguf(checkpoint, tmp_path / "m.gguf")
    assert list(tmp_path.glob("*.gguf*")) == []


def test_another_architecture_tokenizer_or_a_file_in_the_way_is_refused(tmp_path):
    from tokenizers.pre_tokenizers import Whitespace

    checkpoint = load_checkpoint(str(tiny_models.save(tmp_path / "gemma", "gemma")))
    with pytest.raises(WrongUse, match="models of type gemma cannot be exported"):
        export_gguf(checkpoint, tmp_path / "m.gguf")
    checkpoint = load_checkpoint(str(tiny_models.save(tmp_path / "model")))
    with pytest.raises(WrongUse, match="--dtype 'q4': one of f32, f16, q8_0"):
        read_dtype("q4")
    checkpoint.tokenizer.backend_tokenizer.pre_tokenizer = Whitespace()
    with pytest.raises(WrongUse, match="splits text in none of the ways"):
        export_gguf(checkpoint, tmp_path / "m.gguf")
    shutil.copy(tmp_path / "model" / "config.json", tmp_path / "taken.gguf")
    with pytest.raises(WrongUse, match="exists"):
        export_gguf(checkpoint, tmp_path / "taken.gguf")
