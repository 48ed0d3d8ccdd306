"""The released code's deviations from the published description, one name each (docs/fusion.md has the table).

Each is off unless it is asked for; with all of them on, a fusion does what the released code does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labwright.errors import WrongUse

FAITHFUL: Mapping[str, str] = {
    "aliased_experts": "all experts start as the base plus the updates of all three",
    "unscaled_merge": "the scale alpha / r of the adapters is left out",
    "untrained_router": "the router stays as it was drawn",
    "tuned_attention": "attention is trained in the fusion",
    "cumulative_labels": "the properties of the mixed data are counted with cumulative lengths",
    "fixed_top_k": "two experts a token whatever was asked for",
    "other_base": "the adapters' updates are added to another base than theirs",
    "padded_gate": "padding counts in the gating loss",
    "first_rows": "an evaluation reads the first 50 helpful and 500 harmless rows, and all honest ones",
    "hard_coded_layers": "gate and penalty are divided by 32 layers, and there are three experts",
}
"""The ten of section 8 of our reading of the code, in its order."""
RELEASED_FORMS = {"gate_form": "double_softmax", "penalty_form": "factor_norms"}
"""Forms of the losses that `all` also sets: they are choices of the released code, not defects."""
LAYERS = 32
TOP_K = 2
FIRST_ROWS: Mapping[str, int] = {"helpful": 50, "harmless": 500}


def chosen(names: Iterable[str]) -> frozenset[str]:
    """The deviations that are asked for; `all` stands for every one.

    Raises:
        WrongUse: an unknown name.

    Example:
        >>> sorted(chosen(["padded_gate"]))
        ['padded_gate']
    """
    asked = {name.strip() for name in names} - {""}
    unknown = sorted(asked - {*FAITHFUL, "all"})
    if unknown:
        raise WrongUse(f"--faithful {', '.join(unknown)}: one of all, {', '.join(FAITHFUL)}")
    return frozenset(FAITHFUL if "all" in asked else asked)


def evaluated_rows(property_name: str, n: int, faithful: frozenset[str]) -> int:
    """How many of a property's n test rows, from the first, an evaluation reads.

    Example:
        >>> evaluated_rows("harmless", 900, frozenset({"first_rows"}))
        500
    """
    return min(n, FIRST_ROWS.get(property_name, n)) if "first_rows" in faithful else n
