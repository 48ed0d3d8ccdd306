"""A mixture beside its dense base, in one run: seconds of a forward pass, and memory, at the shapes of SmolLM2-135M."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.errors import RunFailed
from labwright.eval.suites.figures import Row

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedModel

PAIRS = 15
BATCH, TOKENS = 4, 128
CHILD = """
import sys
import torch
import transformers
import labwright.models.h3fusion
transformers.utils.logging.disable_progress_bar()
if len(sys.argv) > 1:
    model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
    with torch.inference_mode():
        model(torch.arange(3, 19)[None], use_cache=False)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def shapes() -> LlamaConfig:
    """The configuration of SmolLM2-135M; weights are random, which changes no time."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, tie_word_embeddings=True,
    )  # fmt: skip


def speed_rows(pairs: int, say: Callable[[str], None]) -> Iterator[Row]:
    """Times of the dense base, of three of them, and of the mixture (top 2 of 3), in turn; then memory.

    Three models are three passes of the base on the same tokens: they have the same shapes, and whether their weights
    are others makes no difference to arithmetic, and to caches none at this size, which is far above them.
    """
    import torch
    from transformers import LlamaForCausalLM

    from labwright.models.h3fusion import H3FusionConfig, H3FusionForCausalLM

    say("models at the shapes of SmolLM2-135M")
    torch.manual_seed(0)
    dense = LlamaForCausalLM(shapes())
    fused = H3FusionForCausalLM(H3FusionConfig(shapes()))
    for model in (dense, fused):
        model.eval()  # type: ignore[no-untyped-call]
    ids = torch.randint(3, 49152, (BATCH, TOKENS))
    for number in range(-1, pairs):
        # The order turns with every pair, so that a drift of the machine's speed favours none.
        took: dict[str, float] = {}
        for what in (("dense", "fused", "three"), ("fused", "three", "dense"), ("three", "dense", "fused"))[number % 3]:
            took[f"{what}_s"] = _timed(fused if what == "fused" else dense, ids, 3 if what == "three" else 1)
        if number >= 0:  # the first pair warms up
            say(f"pair {number + 1} of {pairs}")
            shape = {"batch": BATCH, "tokens": TOKENS, "threads": torch.get_num_threads()}
            yield {"kind": "fusion_times", "name": str(number), **shape, **took}
    say("memory")
    yield {"kind": "fusion_memory", "name": "smollm2-135m", **_memory(dense, fused)}


def _timed(model: PreTrainedModel, ids: Any, passes: int) -> float:
    import torch

    started = time.perf_counter()
    with torch.inference_mode():
        for _ in range(passes):
            model(ids, use_cache=False)
    return round(time.perf_counter() - started, 4)


def _memory(dense: PreTrainedModel, fused: PreTrainedModel) -> dict[str, int]:
    blocks = sum(p.numel() * p.element_size() for n, p in dense.named_parameters() if ".mlp." in n)
    with tempfile.TemporaryDirectory() as scratch:
        found = {"blocks_bytes": blocks}
        empty = _peak("")
        for what, model in (("dense", dense), ("fused", fused)):
            model.save_pretrained(Path(scratch) / what)
            found[f"{what}_bytes"] = _peak(str(Path(scratch) / what)) - empty
    return found


def _peak(folder: str) -> int:
    """Most resident memory of a process that loads a model and runs it once, bytes."""
    command = [sys.executable, "-c", CHILD, *([folder] if folder else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"the measurement of memory failed: {done.stderr.strip()[-200:]}")
    return int(done.stdout.split()[-1]) * 1024
