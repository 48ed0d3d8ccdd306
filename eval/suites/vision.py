"""`labwright bench vision`: what is measured of images and the models that see them (docs/benchmarks/README.md).

Parts: `steering`, refusals undone by an image and restored in a made-up world; `overhead`, what steering costs at a
real model's shapes; `faces`, masks against recognition on the few photos that packages carry; `figures`, figures
with known content read by a small model that sees; `real`, that very model steered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labwright.eval.suites.document import document
from labwright.eval.suites.parts import command, refuse_unknown
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import RAW
from labwright.eval.suites.vision_figures import figures_of
from labwright.models.extras import require

Say = Callable[[str], None]
SEEDS = (16, 17, 18, 19, 20)
"""Seeds 0 and 100 to 103 served to set the world up, 1 to 15 were measured on before it was as it is: none of them is measured
on."""
PAIRS, PROMPT, TOKENS = 15, 64, 64


def _steering(rows: Rows, quick: bool, say: Say) -> None:
    from labwright.eval.suites.steering_lessons import World
    from labwright.eval.suites.vision_steering import CONDITIONS, METHODS, trial_name, trial_rows

    for seed in SEEDS[:1] if quick else SEEDS:
        for degraded in (True, False):
            world = World(seed, degraded=degraded, say=say)
            if not rows.has("steering", f"{trial_name(world)}:{CONDITIONS[-1]}:{METHODS[-1]}"):
                for row in trial_rows(world):
                    rows.put_once(row)


def _overhead(rows: Rows, quick: bool, say: Say) -> None:
    """A generation of 64 tokens, steered and not, in turn."""
    if rows.has_kind("steering_times"):
        return
    import torch
    from transformers import LlamaForCausalLM

    from labwright.eval.suites.fusion_speed import shapes
    from labwright.safety.steering.steerer import Steerer

    say("a model at the shapes of SmolLM2-135M")
    torch.manual_seed(0)
    model = LlamaForCausalLM(shapes()).eval()  # type: ignore[no-untyped-call]
    vectors = {i: 0.01 * torch.randn(model.config.hidden_size) for i in range(model.config.num_hidden_layers)}
    ids = torch.randint(3, 49152, (1, PROMPT))
    options = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False, "pad_token_id": 0}

    def timed(alpha: float) -> float:
        with Steerer(model, vectors, alpha):
            started = time.perf_counter()
            model.generate(ids, attention_mask=torch.ones_like(ids), **options)
            return time.perf_counter() - started

    for number in range(-1, 3 if quick else PAIRS):
        # The order turns with every pair, so that a drift of the machine's speed favours none.
        took = {alpha: timed(alpha) for alpha in ((0.0, 1.0) if number % 2 else (1.0, 0.0))}
        if number >= 0:  # the first pair warms up
            say(f"pair {number + 1}")
            values = {
                "plain_s": round(took[0.0], 4),
                "steered_s": round(took[1.0], 4),
                "prompt": PROMPT,
                "tokens": TOKENS,
            }
            rows.add("steering_times", str(number), values)


def _faces(rows: Rows, quick: bool, say: Say) -> None:
    """Masks on real photos and real recognisers; both are fetched first."""
    require("faces", "the part `faces` of the benchmark of vision")
    from labwright.eval.suites.face_photos import photos
    from labwright.eval.suites.vision_faces import METHODS, SETTINGS, Bench
    from labwright.eval.suites.vision_faces import measure as measured
    from labwright.safety.faces.detection import DlibDetector
    from labwright.safety.faces.recognisers import TEAM, observer, open_observers, open_team

    say("photos and recognisers")
    own, others = photos(DlibDetector())
    team = open_team(TEAM)
    observers = {**{r.name: observer(r) for r in team}, **open_observers(("faceres-deep", "dlib"))}
    settings = SETTINGS.model_copy(update={"epochs": 3}) if quick else SETTINGS
    measured(rows, Bench(own, others, team, observers, settings), say, methods=METHODS[:2] if quick else METHODS)


def _figures(rows: Rows, quick: bool, say: Say) -> None:
    """A model of parts that install from packages learns to read figures; an hour or two where nothing was done yet."""
    from labwright.eval.suites.figure_reading import Size, measure

    measure(rows, say, Size(train=4, validation=1, test=1, epochs=0.1) if quick else Size())


def _real(rows: Rows, quick: bool, say: Say) -> None:
    """Steering on the model of the part `figures`; half an hour once that model is there."""
    from labwright.eval.suites import figure_reading, vision_real

    if quick:
        size = vision_real.Size(anchors=4, harmful=10, ordinary=10, read=4, reply_tokens=8)
        vision_real.measure(rows, say, size, lesson=figure_reading.Size(train=4, validation=1, test=1, epochs=0.1))
    else:
        vision_real.measure(rows, say)


PARTS: Mapping[str, Callable[[Rows, bool, Say], None]] = {
    "steering": _steering,
    "overhead": _overhead,
    "faces": _faces,
    "figures": _figures,
    "real": _real,
}
"""One part a kind of measurement; it measures what the rows do not hold."""


def measure(*, quick: bool, parts: Sequence[str], say: Say) -> dict[str, Any]:
    """Run the suite and return its document; rows that are there already are not measured again.

    Args:
        quick: one seed, few pairs of times; in files of its own.
        parts: of PARTS; none means all.
        say: shows progress.

    Raises:
        WrongUse: an unknown part.
        SomethingMissing: the extra `local` is not installed.
    """
    refuse_unknown(parts, PARTS)
    require("local", "the benchmark of vision")
    RAW.mkdir(parents=True, exist_ok=True)
    name = "vision-quick" if quick else "vision"
    rows = Rows(RAW / f"{name}.jsonl")
    for part in parts or tuple(PARTS):
        PARTS[part](rows, quick, say)
    typed = command("vision", parts, quick=quick)
    return document("vision", typed, figures_of(rows.all(), f"docs/benchmarks/raw/{name}.jsonl"))
