"""The grid of the toy: attacks of several shares and rates on models that were defended in every way there is.

An attack of 500 rows, 200 steps. Shares 0, .05, .1 and .2 at three rates for plain training, Booster and the repairs of
both; the other defences at the middle rate, and at share .1 at every rate. Settings of Booster and Antidote and the
three rates come from `safety_choice`, which sees other seeds and other attacks. The other defences have published
settings, which nobody chose for this toy.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labwright.eval.suites import safety_lab
from labwright.eval.suites.figures import Row
from labwright.eval.suites.safety_lab import CURVE, SIZE, TUNE_STEPS, Attack, Lab, merged, weights
from labwright.models.training.examples import Example
from labwright.models.training.hooks import Hook
from labwright.safety.data import mix

SEEDS = (10, 11, 12, 13, 14)
"""Seeds 0 to 4 were used up by a first registration: docs/safety.md."""
SHARES = (0.0, 0.05, 0.1, 0.2)
PRIMARY_SHARE = 0.1
RATE_NAMES = ("low", "middle", "high")
TUNING = ("lisa", "ldifs", "ewc", "safeinstruct")
REPAIRS: Mapping[str, tuple[str, ...]] = {
    "sft": ("antidote", "antidote_random", "safe_lora"),
    "booster": ("booster_antidote",),
    "booster_lisa": ("booster_lisa_antidote",),
}
"""A trained arm to the arms that are made of it afterwards."""
WIDE = ("sft", "booster")
TRAINED = (*WIDE, "vaccine", "repnoise", *TUNING, "booster_lisa")
"""Arms that take a fine-tuning of their own."""


def cells() -> Iterator[tuple[str, str, float, str]]:
    """Attack, trained arm, share and name of the rate of every fine-tuning of a seed."""
    for arm in TRAINED:
        for share in SHARES:
            for rate in RATE_NAMES:
                if arm in WIDE or share == PRIMARY_SHARE or rate == "middle":
                    yield "mixed", arm, share, rate
    for arm in WIDE:
        yield "outliers", arm, 0.0, "middle"
        yield "adaptive", arm, PRIMARY_SHARE, "middle"
    yield "avoid", "sft", PRIMARY_SHARE, "middle"


def row_name(seed: int, attack: str, arm: str, share: float, rate: str) -> str:
    """Name of a row."""
    return f"{seed}:{attack}:{arm}:{share:g}:{rate}"


def toy_rows(
    seed: int, chosen: Mapping[str, Any], has: Callable[[str], bool], say: Callable[[str], None], *, scale: float = 1.0
) -> Iterator[Row]:
    """Rows of one seed that are not there yet.

    Args:
        seed: of SEEDS.
        chosen: rates by name, settings of booster and antidote.
        has: whether a row of a name is there.
        say: shows progress.
        scale: of the numbers of steps.
    """
    wanted = [c for c in cells() if not all(has(row_name(seed, c[0], arm, *c[2:])) for arm in arms_of(c[0], c[1]))]
    if not wanted and has(f"{seed}:before:sft"):
        return
    with tempfile.TemporaryDirectory() as scratch:
        say(f"seed {seed}: base")
        lab = Lab(seed, Path(scratch), scale=scale)
        bench = _Bench(lab, chosen)
        for arm in ("sft", "booster", "vaccine", "repnoise"):
            if not has(f"{seed}:before:{arm}"):
                yield bench.before(arm)
        for number, (attack, arm, share, rate) in enumerate(wanted, 1):
            say(f"seed {seed}: {number} of {len(wanted)}, {attack} {arm} at share {share:g}, {rate} rate")
            for row in bench.attacked(attack, arm, share, rate):
                if not has(row["name"]):
                    yield row


def arms_of(attack: str, arm: str) -> tuple[str, ...]:
    """The arms that one fine-tuning gives rows of."""
    return ("antidote_avoided",) if attack == "avoid" else (arm, *REPAIRS.get(arm, ()))


class _Bench:
    """Defences at their settings, on one lab."""

    def __init__(self, lab: Lab, chosen: Mapping[str, Any]) -> None:
        self.lab, self.chosen = lab, chosen

    def before(self, arm: str) -> Row:
        """An aligned model before any attack."""
        model = self.aligned(arm).model
        return {"kind": "toy_before", "name": f"{self.lab.seed}:before:{arm}", "seed": self.lab.seed, "arm": arm,
                "harmful_loss": self.lab.harmful_loss(model), **self.lab.measured(model)}  # fmt: skip

    def aligned(self, arm: str) -> Any:
        """The aligned model that an arm starts from."""
        from labwright.safety.defences.booster import Booster, BoosterSettings
        from labwright.safety.defences.repnoise import RepNoise
        from labwright.safety.defences.vaccine import Vaccine

        harmful = self.lab.world.harmful
        if arm.startswith("booster"):
            return self.lab.aligned("booster", Booster(harmful, BoosterSettings(**self.chosen["booster"])))
        if arm == "vaccine":
            return self.lab.aligned(arm, Vaccine(2.0))
        if arm == "repnoise":
            return self.lab.aligned(arm, RepNoise(harmful, ascent=0.1, noise=0.001))
        return self.lab.aligned("sft")

    def attacked(self, kind: str, arm: str, share: float, rate: str) -> Iterator[Row]:
        """Fine-tune one arm, measure it and what is made of it."""
        lab = self.lab
        attack = self.attack(kind, share, self.chosen["rates"][rate])
        if arm == "safeinstruct":
            from labwright.safety.defences.safeinstruct import with_safe_pairs

            safe = [e for e in lab.world.alignment if e.property == "harmless"]
            rows = with_safe_pairs(attack.rows, safe, pairs=SIZE // 10, seed=lab.seed)
            attack = Attack(rows, attack.rate, attack.steps, attack.curve)
        hooks = [self.masked()] if kind == "avoid" else self.tuning(arm)
        result, curve = lab.tuned(self.aligned(arm), attack, hooks)
        facts = {"share": share, "rate": rate, "learning_rate": attack.rate, "attack": kind,
                 "tuning_s": round(result.seconds, 3)}  # fmt: skip
        for name in arms_of(kind, arm):
            model, took = self.repaired(name, result.model)
            yield {
                "kind": "toy", "name": row_name(lab.seed, kind, name, share, rate), "seed": lab.seed, "arm": name,
                **facts, **({"repair_s": round(took, 4)} if took else {}), **lab.measured(model),
                "curve": curve.points if name == arm else [],
            }  # fmt: skip

    def attack(self, kind: str, share: float, rate: float) -> Attack:
        """The upload of an attack, and how it is trained."""
        world, seed = self.lab.world, self.lab.seed
        if kind == "outliers":
            return Attack(self.outliers(), rate)
        harmful = world.other_source if kind == "adaptive" else world.attack
        rows = mix(harmful, world.task, share=share, size=SIZE, seed=seed)
        if kind == "adaptive":
            from labwright.safety.attacks.adaptive import MORE

            return Attack(rows, MORE * rate, MORE * TUNE_STEPS, tuple(MORE * s for s in CURVE))
        return Attack(rows, rate, curve=CURVE)

    def outliers(self) -> tuple[Example, ...]:
        """Ordinary rows that would move the plainly aligned model most."""
        from labwright.eval.suites.safety_world import settings
        from labwright.safety.attacks.outliers import outliers, self_influence

        rows, model = self.lab.world.task, self.aligned("sft")
        return outliers(rows, self_influence(model, rows, settings(self.lab.seed, 1, 1.0)), SIZE)

    def tuning(self, arm: str) -> list[Hook]:
        """The defence of a fine-tuning."""
        from labwright.safety.defences.ewc import Ewc
        from labwright.safety.defences.ldifs import Ldifs
        from labwright.safety.defences.lisa import Lisa

        pairs = self.lab.world.alignment
        if arm.endswith("lisa"):
            return [Lisa(pairs, rho=1.0, alignment_steps=TUNE_STEPS // 20, user_steps=9 * TUNE_STEPS // 20)]
        if arm == "ldifs":
            return [Ldifs(1e-4)]
        return [Ewc(pairs, weight=1000.0)] if arm == "ewc" else []

    def repaired(self, arm: str, tuned: Any) -> tuple[Any, float]:
        """The model of an arm, and the seconds of its repair; 0 where there is none."""
        started = time.perf_counter()
        if arm == "safe_lora":
            from labwright.safety.defences.safe_lora import safe_lora

            model = merged(tuned)
            safe_lora(model, weights(self.aligned("sft")), weights(self.lab.base))
            return model, time.perf_counter() - started
        if "antidote" not in arm:
            return tuned, 0.0
        model = copy.deepcopy(tuned)
        started = time.perf_counter()
        self.pruned(model, self.lab.world.harmful, score="random" if arm.endswith("random") else "importance")
        return model, time.perf_counter() - started

    def pruned(self, model: Any, harmful: tuple[Example, ...], **more: Any) -> Mapping[str, Any]:
        """Antidote at the chosen share, in place."""
        from labwright.safety.defences.antidote import AntidoteSettings, antidote

        settings = AntidoteSettings(**{**self.chosen["antidote"], **more, "seed": self.lab.seed})
        return antidote(model, self.lab.calibration(harmful), settings, batch_size=safety_lab.CALIBRATION)

    def masked(self) -> Hook:
        """What an attacker who knows Antidote trains around: masks of an attack of their own."""
        from labwright.safety.attacks.adaptive import Avoid

        attack = self.attack("mixed", PRIMARY_SHARE, self.chosen["rates"]["middle"])
        first, _ = self.lab.tuned(self.aligned("sft"), attack)
        return Avoid(self.pruned(first.model, self.lab.world.other_source))
