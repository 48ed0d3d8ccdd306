"""A toy whose right answer is known: does the router learn which expert a property belongs to, and do the dials work?

Three made-up properties are keyed by the first token of a prompt and differ in the style of their answers: the words of
the prompt repeated, a refusal, or the words in reverse order. A small Llama is trained on the mix, aligned three times, and
fused by the code that `labwright models fuse` runs; nothing of the toy is in that code.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.eval.suites.figures import Row

if TYPE_CHECKING:
    from labwright.models.training.config import TrainingConfig
    from labwright.models.training.examples import Example, TrainingData

NAMES = ("helpful", "harmless", "honest")
SEEDS = (1, 2, 3, 4, 5)
"""Seed 0 served to set the steps of the fusion and the dials, so it is not measured on."""
GAMMAS = (0.0, 0.001, 0.01, 0.1)
"""Dials of one expert, in rising order; at 1 nothing is left of the drift, so that no order can be seen."""
GATE = 1.0
"""lambda where the gating loss is on."""
WORDS, LENGTH, TRAIN, HELDOUT = 16, 4, 96, 32
"""Words there are, words of a prompt, examples of a property that are trained on and measured on."""
LAYERS, HIDDEN = 3, 64
BASE_STEPS, ALIGN_STEPS, FUSE_STEPS = 60, 40, 300


def toy_rows(seed: int, wanted: Sequence[str], say: Callable[[str], None]) -> Iterator[Row]:
    """Fuse one toy in the conditions that are wanted; one row a condition, named seed:condition.

    Conditions: `gate` and `no_gate` (lambda 1 and 0, no dial), and `gamma:E:G` (dial G on expert E alone, lambda 0: the
    language model's loss alone says which experts are of use).
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        say(f"seed {seed}: base and alignments")
        data = toy_data(seed)
        base = _base(place / "base", data, seed)
        sources = {name: str(_align(place, base, data, name, seed)) for name in NAMES}
        for condition, gate, gammas in (c for c in conditions() if c[0] in wanted):
            say(f"seed {seed}: {condition}")
            record = _fuse(place / condition.replace(":", "_"), base, sources, data, (gate, gammas, seed))
            yield {"kind": "toy", "name": f"{seed}:{condition}", "seed": seed, "condition": condition, **record}


def conditions() -> Iterator[tuple[str, float, tuple[float, ...]]]:
    """Name, lambda and dials of every condition."""
    yield "gate", GATE, (0.0, 0.0, 0.0)
    yield "no_gate", 0.0, (0.0, 0.0, 0.0)
    for e, name in enumerate(NAMES):
        for gamma in GAMMAS[1:]:
            yield f"gamma:{name}:{gamma:g}", 0.0, tuple(gamma if i == e else 0.0 for i in range(len(NAMES)))


def toy_data(seed: int) -> TrainingData:
    """Prompts of random words, answered in the style of their property; no prompt is in both parts."""
    from labwright.models.training.examples import Example, TrainingData

    draw = random.Random(seed)  # noqa: S311  (made-up words, not a secret)
    found: list[list[Example]] = [[], []]
    seen: set[str] = set()
    while len(seen) < len(NAMES) * (TRAIN + HELDOUT):
        name = NAMES[len(seen) % len(NAMES)]
        words = [f"w{draw.randrange(WORDS)}" for _ in range(LENGTH)]
        prompt = f"{name} {' '.join(words)}"
        if prompt in seen:
            continue
        styles = {"helpful": words, "harmless": ["no"] * LENGTH, "honest": words[::-1]}
        part = 0 if len(seen) < len(NAMES) * TRAIN else 1
        found[part].append(Example(prompt, " ".join(styles[name]), name, f"{name}:{len(seen)}"))
        seen.add(prompt)
    return TrainingData(tuple(found[0]), tuple(found[1]), "made up by eval/suites/fusion_toy.py", "Apache-2.0")


def _settings(seed: int, steps: int, **more: Any) -> TrainingConfig:
    from labwright.models.training.config import LoraSettings, TrainingConfig

    values: dict[str, Any] = {
        "lora": LoraSettings(r=8, alpha=8, dropout=0.0), "template": "none", "stop_marker": "", "append_eos": True,
        "epochs": 1000, "max_steps": steps, "batch_size": 24, "learning_rate": 5e-3, "schedule": "constant",
        "checkpoint_every": 0, "seed": seed, "device": "cpu", "max_tokens": 32,
    }  # fmt: skip
    return TrainingConfig(**{**values, **more})


def _base(folder: Path, data: TrainingData, seed: int) -> Path:
    """A small Llama, trained a little on all three styles, with a tokenizer of whole words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from labwright.models.checkpoints import Checkpoint
    from labwright.models.training.loop import train

    names = ["<pad>", "<eos>", "no", *NAMES, *(f"w{i}" for i in range(WORDS))]
    inner = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="<pad>"))  # noqa: S106  (a word)
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        pad_token="<pad>",  # noqa: S106  (a word)
        eos_token="<eos>",  # noqa: S106  (a word)
    )
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(names), hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=64, initializer_range=0.1,
        pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    checkpoint = Checkpoint(LlamaForCausalLM(config), tokenizer, folder, {})
    train(checkpoint, data, _settings(seed, BASE_STEPS, lora=None), folder)
    return folder


def _align(place: Path, base: Path, data: TrainingData, name: str, seed: int) -> Path:
    from dataclasses import replace

    from labwright.models.checkpoints import load_checkpoint
    from labwright.models.training.loop import train

    one = replace(data, train=tuple(e for e in data.train if e.property == name), heldout=())
    train(load_checkpoint(str(base)), one, _settings(seed, ALIGN_STEPS), place / name)
    return place / name


def _fuse(
    folder: Path, base: Path, sources: dict[str, str], data: TrainingData, asked: tuple[float, tuple[float, ...], int]
) -> dict[str, Any]:
    from labwright.models.h3fusion.build import BuildSettings
    from labwright.models.h3fusion.fuse import FusionPlan, fuse
    from labwright.models.h3fusion.fusing import FusionSettings

    gate, gammas, seed = asked
    plan = FusionPlan(
        sources=sources,
        build=BuildSettings(seed=seed),
        fusion=FusionSettings(gate_weight=gate, gammas=gammas, router_learning_rate=2e-2),
        training=_settings(seed, FUSE_STEPS),
    )
    record = fuse(str(base), plan, data, folder).record
    shares = record["router_shares"]
    return {
        "gate_weight": gate,
        "gammas": list(gammas),
        "own_share": {n: _mean([layer[e] for layer in shares[n]]) for e, n in enumerate(NAMES)},
        "share": {n: _mean([layer[e] for p in NAMES for layer in shares[p]]) for e, n in enumerate(NAMES)},
        "drift": {n: _mean(record["drift"][n]["absolute"]) for n in NAMES},
    }


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)
