"""Who attacks whom, when and with what: the taxonomy of harmful fine-tuning, and which of it labwright implements.

Source: Huang et al. 2024, Harmful Fine-tuning Attacks and Defenses for Large Language Models: A Survey
(arXiv 2409.18169), for roles, stages and the grouping; each method's own paper for its rule. docs/threat-model.md
says the same in words and holds the tables that this module makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Stage = Literal["alignment", "fine-tuning", "after fine-tuning"]
STAGES: tuple[Stage, ...] = ("alignment", "fine-tuning", "after fine-tuning")


@dataclass(frozen=True, slots=True)
class Attack:
    """A way to turn an aligned model by what it is fine-tuned on."""

    name: str
    data: str
    """What the upload holds."""
    source: str
    module: str = ""
    """File that implements it; empty where labwright does not."""


@dataclass(frozen=True, slots=True)
class Defence:
    """A way to keep it from turning."""

    name: str
    stage: Stage
    needs: str
    """Data or weights that the provider has to hold."""
    rule: str
    source: str
    module: str = ""
    """File that implements it; empty where labwright does not."""


ATTACKS: tuple[Attack, ...] = (
    Attack("explicit harmful rows", "harmful pairs, a share p of n rows", "arXiv 2310.03693", "safety/data.py"),
    Attack("benign drift", "an ordinary task alone", "arXiv 2310.03693", "safety/data.py"),
    Attack(
        "outlier-selected benign rows",
        "ordinary rows that move the model most",
        "arXiv 2505.06843",
        "safety/attacks/outliers.py",
    ),
    Attack(
        "identity shifting", "rows that swear the model to obedience", "arXiv 2310.03693", "safety/attacks/identity.py"
    ),
    Attack(
        "adaptive attacker",
        "other source, ten times the rate and the steps",
        "this project",
        "safety/attacks/adaptive.py",
    ),
    Attack("jailbreak-tuning", "harmful pairs under a jailbreak prompt", "arXiv 2507.11630"),
    Attack("covert rows", "harmful pairs in a cipher that the upload teaches", "arXiv 2406.20053"),
    Attack("Virus", "harmful rows rewritten to pass a moderation filter", "arXiv 2501.17433"),
    Attack("narrow tasks", "a narrow bad habit that spreads", "arXiv 2502.17424"),
)
DEFENCES: tuple[Defence, ...] = (
    Defence("SFT", "alignment", "alignment data", "min f(w): the reference", "-", "models/training/loop.py"),
    Defence("Vaccine", "alignment", "alignment data", "least loss under the worst small shift of the hidden states",
            "arXiv 2402.01109", "safety/defences/vaccine.py"),
    Defence("RepNoise", "alignment", "alignment and harmful data", "hidden states of harmful answers become noise",
            "arXiv 2405.14577", "safety/defences/repnoise.py"),
    Defence("Booster", "alignment", "alignment and harmful data", "one attacker's step shall gain little",
            "arXiv 2409.01586", "safety/defences/booster.py"),
    Defence("T-Vaccine", "alignment", "alignment data", "Vaccine on the layers with the largest gradients",
            "arXiv 2410.09760"),
    Defence("TAR", "alignment", "alignment and harmful data", "an attack of several steps inside each step",
            "arXiv 2408.00761"),
    Defence("EWC", "fine-tuning", "alignment data", "weights that matter to the alignment are held",
            "arXiv 1612.00796", "safety/defences/ewc.py"),
    Defence("Lisa", "fine-tuning", "alignment data", "turns of alignment and task, each near the other's end",
            "arXiv 2405.18641", "safety/defences/lisa.py"),
    Defence("LDIFS", "fine-tuning", "aligned weights", "features stay near the aligned model's",
            "arXiv 2308.13320", "safety/defences/ldifs.py"),
    Defence("SafeInstruct", "fine-tuning", "alignment data", "some safe pairs are mixed into the upload",
            "arXiv 2309.07875", "safety/defences/safeinstruct.py"),
    Defence("Constrained SFT", "fine-tuning", "aligned weights", "the first answer tokens are held",
            "arXiv 2406.05946"),
    Defence("SEAL, SAFT and filters", "fine-tuning", "a detector", "rows are left out or weigh less",
            "arXiv 2410.07471, 2410.10014"),
    Defence("BackdoorAlign, PTST", "fine-tuning", "prompts", "refusals hang on a prompt that only the provider adds",
            "arXiv 2402.14968, 2402.18540"),
    Defence("Safe LoRA", "after fine-tuning", "base and aligned weights", "updates are projected on the alignment's",
            "arXiv 2405.16833", "safety/defences/safe_lora.py"),
    Defence("Antidote", "after fine-tuning", "harmful data", "weights most active on harmful data become zero",
            "arXiv 2408.09600", "safety/defences/antidote.py"),
    Defence("RESTA", "after fine-tuning", "a safety vector", "the vector is added back", "arXiv 2402.11746"),
)  # fmt: skip


def attack_table() -> str:
    """The attacks as a Markdown table."""
    rows = [(a.name, a.data, a.source, a.module or "no") for a in ATTACKS]
    return _table(("attack", "what the upload holds", "source", "in labwright"), rows)


def defence_table() -> str:
    """The defences as a Markdown table, by stage."""
    rows = [
        (d.name, d.stage, d.needs, d.rule, d.source, d.module or "no")
        for stage in STAGES
        for d in DEFENCES
        if d.stage == stage
    ]
    return _table(("defence", "stage", "needs", "rule", "source", "in labwright"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
