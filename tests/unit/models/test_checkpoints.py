"""Checkpoints: what is loaded is what the files hold, and what does not belong together is refused with one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_models
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from labwright.errors import HashMismatch, ModelMissing, SomethingMissing, WrongUse
from labwright.models import checkpoints, memory
from labwright.models.chat_templates import OWN_NAME, PLAIN_NAME, rendered
from labwright.models.checkpoints import fingerprint, load_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_models.save(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture
def copy(base, tmp_path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copy"))


@pytest.fixture
def adapter(base, tmp_path) -> Path:
    """A LoRA adapter whose update is not zero."""
    torch.manual_seed(1)
    settings = LoraConfig(r=2, lora_alpha=1, target_modules=["up_proj", "down_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_facts_say_what_was_loaded(base):
    loaded = load_checkpoint(str(base))
    facts = loaded.facts
    assert facts["architecture"] == "LlamaForCausalLM"
    stored = load_file(base / "model.safetensors")
    assert facts["parameters"] == sum(w.numel() for w in stored.values())
    assert facts["dtype"] == "float32"
    assert next(loaded.model.parameters()).dtype == torch.float32
    assert facts["sha256"] == fingerprint(base)
    assert facts["model"] == f"base@{facts['sha256'][:12]}"
    assert facts["chat_template"] == OWN_NAME
    assert "adapter" not in facts
    assert "experts" not in facts
    assert not loaded.model.training
    assert all(torch.equal(w, stored[n]) for n, w in loaded.model.state_dict().items())


def test_a_dtype_is_taken_or_refused(base):
    assert next(load_checkpoint(str(base), dtype="bfloat16").model.parameters()).dtype == torch.bfloat16
    with pytest.raises(WrongUse, match="dtype 'int3': one of float32, bfloat16, float16"):
        load_checkpoint(str(base), dtype="int3")


def test_the_fingerprint_follows_the_weights_and_not_their_place(base, copy):
    assert fingerprint(copy) == fingerprint(base)
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert fingerprint(copy) != fingerprint(base)


def test_shards_have_one_fingerprint_over_names_and_content(base, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(base)
    model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "shards")
    files = sorted((tmp_path / "shards").glob("*.safetensors"))
    assert len(files) > 1
    before = fingerprint(tmp_path / "shards")
    assert load_checkpoint(str(tmp_path / "shards")).facts["sha256"] == before
    files[0].rename(files[0].with_name("other.safetensors"))
    assert fingerprint(tmp_path / "shards") != before


def test_an_adapter_is_merged_by_its_formula(base, adapter):
    merged = load_checkpoint(str(base), adapter=str(adapter))
    stored, update = load_file(base / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    name = "model.layers.1.mlp.down_proj"
    a, b = (update[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB")
    expected = stored[f"{name}.weight"] + 0.5 * b @ a  # alpha / r = 1 / 2
    assert torch.allclose(merged.model.state_dict()[f"{name}.weight"], expected, atol=1e-6)
    assert type(merged.model).__name__ == "LlamaForCausalLM"
    assert merged.facts["adapter"]["name"] == "adapter"
    assert merged.facts["sha256"] == fingerprint(base)
    assert merged.facts["model"].startswith("base@")
    assert "+adapter@" in merged.facts["model"]


def test_an_adapter_folder_alone_brings_its_base(base, adapter):
    alone = load_checkpoint(str(adapter))
    both = load_checkpoint(str(base), adapter=str(adapter))
    assert alone.path == base
    assert alone.facts == both.facts
    with pytest.raises(WrongUse, match="is itself an adapter"):
        load_checkpoint(str(adapter), adapter=str(adapter))


def test_an_adapter_of_other_weights_is_refused(base, adapter, tmp_path):
    other = tiny_models.save(tmp_path / "other", seed=7)
    with pytest.raises(HashMismatch, match=r"was trained on weights [0-9a-f]{12}, these are [0-9a-f]{12}"):
        load_checkpoint(str(other), adapter=str(adapter))
    # Its base moved away: what the training noted decides.
    edit(adapter / "adapter_config.json", base_model_name_or_path="/nowhere")
    load_checkpoint(str(other), adapter=str(adapter))
    (adapter / "training.json").write_text(json.dumps({"base_sha256": fingerprint(base)}))
    with pytest.raises(HashMismatch, match="was trained on weights"):
        load_checkpoint(str(other), adapter=str(adapter))
    load_checkpoint(str(base), adapter=str(adapter))


@pytest.mark.parametrize("changes", [{"num_hidden_layers": 1}, {"num_hidden_layers": 3}, {"intermediate_size": 80}])
def test_an_adapter_of_another_shape_is_refused(adapter, tmp_path, changes):
    edit(adapter / "adapter_config.json", base_model_name_or_path="/nowhere")
    other = tiny_models.save(tmp_path / "other", **changes)
    with pytest.raises(HashMismatch, match=r"does not fit its base|is of another base"):
        load_checkpoint(str(other), adapter=str(adapter))


def test_a_model_without_a_template_gets_the_plain_one_and_says_so(tmp_path):
    folder = tiny_models.save(tmp_path / "raw", template=None)
    loaded = load_checkpoint(str(folder))
    assert loaded.facts["chat_template"] == PLAIN_NAME
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which genes?"}]
    assert rendered(loaded.tokenizer, said) == "Be brief.\n\nUser: Which genes?\n\nAssistant:"


def test_a_template_without_a_system_role_gets_its_text_before_the_question():
    words = tiny_models.tokenizer(
        template="{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "<{{ m['content'] }}>{% endfor %}"
    )
    said = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert rendered(words, said) == "<s\n\nu>"
    words.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(ValueError, match="refuses the conversation: never"):
        rendered(words, said)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(copy):
    words = AutoTokenizer.from_pretrained(copy)
    words.add_tokens(["<new>"])
    words.save_pretrained(copy)
    with pytest.raises(HashMismatch, match=r"the tokenizer has \d+ tokens, the model only \d+ embeddings"):
        load_checkpoint(str(copy))


def test_more_than_the_free_memory_is_refused_before_loading(base, monkeypatch):
    monkeypatch.setattr(checkpoints, "available_bytes", lambda: 300_000)
    with pytest.raises(ModelMissing, match=r"needs 0\.0 GiB of memory, 0\.0 GiB are free; free some, or take dtype"):
        load_checkpoint(str(base))
    load_checkpoint(str(base), dtype="bfloat16")  # half of 450 kB


def test_a_containers_limit_counts_without_its_page_cache(tmp_path):
    for name, text in (
        ("memory.max", "1000"),
        ("memory.current", "700"),
        ("memory.stat", "anon 1\ninactive_file 200\n"),
    ):
        (tmp_path / name).write_text(text)
    assert memory.available_bytes(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max")
    assert memory.available_bytes(tmp_path) > 2**20


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _absent_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _other_shape(folder: Path) -> None:
    edit(folder / "config.json", intermediate_size=100)


def _damaged(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def _no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _own_code(folder: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit('code of a checkpoint was run')")
    edit(
        folder / "config.json",
        model_type="evil",
        auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (_no_config, ModelMissing, "no config.json"),
        (_pickled, ModelMissing, "pytorch_model.bin is a pickle, which can run code, and is not read"),
        (_no_weights, ModelMissing, r"no \*\.safetensors"),
        (_absent_weight, HashMismatch, "1 weights are absent .* model.layers.0.mlp.up_proj.weight"),
        (_other_shape, HashMismatch, "cannot be loaded|of another shape"),
        (_damaged, HashMismatch, "cannot be loaded"),
        (_no_json, HashMismatch, "not JSON"),
        (_own_code, HashMismatch, "cannot be loaded"),
    ],
)
def test_what_is_no_whole_safe_checkpoint_is_refused_with_one_line(copy, change, error, message):
    change(copy)
    with pytest.raises(error, match=message) as caught:
        load_checkpoint(str(copy))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"), [("/nowhere/at/all", "no such folder, file or name"), ("all-minilm-l6-v2", "makes vectors")]
)
def test_what_is_not_there_or_no_language_model_is_named(source, message, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints.weights, "resolve", lambda name: tmp_path)
    with pytest.raises(ModelMissing, match=message):
        load_checkpoint(source)


def test_without_the_extra_one_line_names_the_command(monkeypatch):
    monkeypatch.setattr("labwright.models.extras.find_spec", lambda name: None if name == "peft" else object())
    with pytest.raises(SomethingMissing, match=r"a local model needs peft: pip install 'labwright\[local\]'") as caught:
        load_checkpoint("anything")
    assert caught.value.exit_code == 4


def test_nothing_heavy_is_imported_before_a_local_model_is_used():
    code = (
        "import sys, labwright.cli, labwright.workflows.backends, labwright.models.local, labwright.models.checkpoints;"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "peft", "llguidance", "gguf"} & set(done.stdout.split())
