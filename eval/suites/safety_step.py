"""A step with Booster beside a plain one, in one run: seconds and peak memory, at the shapes of SmolLM2-135M."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from labwright.errors import RunFailed
from labwright.eval.suites.figures import Row

PAIRS = 8
BATCH, TOKENS = 4, 128
WAYS = ("lora", "full")
CHILD = """
import sys
from labwright.eval.suites.safety_step import peak_bytes
print(peak_bytes(sys.argv[1], sys.argv[2]))
"""


def step_rows(pairs: int, say: Callable[[str], None]) -> Iterator[Row]:
    """Times of steps in turn, for adapters and for all weights, then the peaks of processes that make two steps each."""
    import torch

    for how in WAYS:
        run, batches = _run(how)
        makers = {"sft": _plain, "booster": _booster(run)}
        for number in range(-1, pairs):
            took = {}
            for what in ("sft", "booster") if number % 2 else ("booster", "sft"):
                started = time.perf_counter()
                makers[what](run, batches)
                run.zero_gradients()
                took[f"{what}_s"] = round(time.perf_counter() - started, 4)
            if number >= 0:  # the first pair warms up
                say(f"{how}: pair {number + 1} of {pairs}")
                yield {"kind": "safety_times", "name": f"{how}:{number}", "trained": how, "batch": BATCH,
                       "tokens": TOKENS, "threads": torch.get_num_threads(), **took}  # fmt: skip
        del run, batches, makers
    for how in WAYS:
        say(f"{how}: memory")
        yield {
            "kind": "safety_memory",
            "name": how,
            **{f"{what}_bytes": _peak(how, what) for what in ("sft", "booster")},
        }


def _run(how: str) -> tuple[Any, Sequence[Any]]:
    """A run over random weights, which change no time, with one batch of random tokens."""
    import torch
    from accelerate import Accelerator
    from transformers import LlamaForCausalLM

    from labwright.eval.suites.fusion_speed import shapes
    from labwright.models.training.config import LoraSettings, TrainingConfig
    from labwright.models.training.preparation import prepare_model
    from labwright.models.training.run import TrainingRun

    torch.manual_seed(0)
    lora = LoraSettings(r=8, alpha=4, dropout=0.0, targets=("q_proj", "k_proj", "v_proj")) if how == "lora" else None
    config = TrainingConfig(lora=lora, device="cpu", memory_check=False)
    model = prepare_model(LlamaForCausalLM(shapes()), config, ())
    run = TrainingRun(model, _NoTokenizer(), config, Accelerator(cpu=True))  # type: ignore[arg-type]
    return run, [_batch(run)]


class _NoTokenizer:
    """Random ids need none."""

    pad_token_id = 0
    eos_token_id = 0


def _batch(run: Any) -> Any:
    import torch

    from labwright.models.training.encoding import Encoded

    ids = torch.randint(3, 49152, (BATCH, TOKENS)).tolist()
    half = TOKENS // 2
    return run.batch([Encoded(tuple(r), (*([-100] * half), *r[half:]), "", str(i)) for i, r in enumerate(ids)])


def _plain(run: Any, batches: Sequence[Any]) -> None:
    run.accumulate(batches)


def _booster(run: Any) -> Callable[[Any, Sequence[Any]], None]:
    from labwright.models.training.examples import Example
    from labwright.safety.defences.booster import Booster, BoosterSettings

    class Fed(Booster):
        """Booster whose harmful batch is as large as the alignment's, and drawn beforehand."""

        def start(self, run: Any) -> None:
            batch = _batch(run)
            self._harmful.draw = lambda *_: batch  # type: ignore[method-assign]

    hook = Fed([Example("-", "-")], BoosterSettings(harmful_batch=BATCH))
    hook.start(run)

    def step(run: Any, batches: Sequence[Any]) -> None:
        hook.gradients(run, batches)

    return step


def peak_bytes(how: str, what: str) -> int:
    """Most resident memory of this process after two whole steps with AdamW, bytes."""
    from labwright.models.training.preparation import make_optimiser

    run, batches = _run(how)
    step = _plain if what == "sft" else _booster(run)
    optimiser = make_optimiser(run.parameters, run.config)
    for _ in range(2):
        step(run, batches)
        optimiser.step()
        run.zero_gradients()
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def _peak(how: str, what: str) -> int:
    done = subprocess.run([sys.executable, "-c", CHILD, how, what], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"the measurement of memory failed: {done.stderr.strip()[-200:]}")
    return int(done.stdout.split()[-1])
