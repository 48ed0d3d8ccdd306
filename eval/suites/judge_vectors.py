"""Test vectors of the judge metrics: small data whose figures were computed by two independent programs.

The numbers come from the paper's released code (SciPy's jensenshannon, krippendorff, statsmodels) and from formulas
worked by hand; where the released code differs from its own definitions the worked value stands, and `note` says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from labwright.errors import WrongUse
from labwright.eval.judge_agreement import alpha, difference, kappa
from labwright.eval.judge_arrays import arrays
from labwright.eval.judge_labels import Annotations, Figure, Kind, Label, checked, counts
from labwright.eval.judge_perception import jsb
from labwright.eval.judge_reliability import coin_check, stratify
from labwright.eval.judge_strata import strata
from labwright.eval.judge_table import Settings

Vector = tuple[str, float | None, float | None]
"""Name, expected, computed; None is a figure that must be missing."""
ROOT_LN2 = math.sqrt(math.log(2))

V1 = checked([[1, 1, 1], [1, 1, 2], [3, 3, 2], [3, 3, 3]], [[1, 1], [1, 2], [3, 2], [2, 2]], [1, 2, 3], "ordinal")
V2 = checked(
    [[1, 1, 1], [1, 2, 2], [3, 3, 4], [4, 4, 4], [5, 4, 5], [2, 3, 4], [5, 5, 5], [3, 3, 3]],
    [[1, 1], [2, 2], [3, 3], [4, 4], [4, 5], [3, 3], [5, 4], [4, 4]],
    [1, 2, 3, 4, 5],
    "ordinal",
)
V3 = checked(
    ["AAA", "AAB", "BBB", "BCB", "CCC", "CAC", "ABC", "AAA"],
    ["AAA", "BAB", "BBB", "BBB", "CCB", "CCC", "AAB", "ABA"],
    "ABC",
    "categorical",
)
V2_ROWS: dict[str, dict[str, float | None]] = {
    "All": {
        "alpha_HH": 0.8588248, "alpha_MM": 0.9050633, "alpha_HM": 0.8542975, "alpha_diff": 0.0045273,
        "spearman_medians": 0.882267, "spearman_means": 0.914702, "kendall_medians": 0.846327,
        "kendall_means": 0.846780, "jsb": 0.1877891, "jsd_1": 0.0, "jsd_2": 0.3637363, "jsd_3": 0.2100033,
        "jsd_4": 0.0, "jsd_5": 0.2542833, "size": 8,
    },
    "distinct = 1": {
        "alpha_HH": 1.0, "alpha_MM": 0.75, "alpha_HM": 0.7003425, "alpha_diff": 0.2996575, "jsb": 0.3242638,
        "jsd_3": 0.8325546, "jsd_5": 0.4645014, "size": 4,
    },
    "distinct = 2": {
        "alpha_HH": 0.842912, "alpha_MM": 0.949495, "alpha_HM": 0.949495, "alpha_diff": -0.106583, "jsb": 0.282439,
        "size": 3,
    },
    "distinct = 3": {"alpha_HH": 0.0, "alpha_MM": 1.0, "alpha_HM": None, "jsb": 0.564143, "size": 1},
    "distinct = 4": {"alpha_HH": None, "jsb": None, "size": 0},
    "distinct = 5": {"alpha_HH": None, "jsb": None, "size": 0},
    "share [0, 60)": {"alpha_HH": 0.0, "alpha_MM": 1.0, "alpha_HM": None, "jsb": 0.564143, "size": 1},
    "share [60, 80)": {"alpha_HH": 0.842912, "alpha_diff": -0.106583, "jsb": 0.282439, "size": 3},
    "share [80, 100)": {"alpha_HH": None, "size": 0},
}  # fmt: skip
V3_ROWS: dict[str, dict[str, float | None]] = {
    "All": {
        "alpha_HH": 0.4523810, "alpha_MM": 0.4972678, "alpha_HM": 0.8192771, "alpha_diff": -0.3668961,
        "percent_HH": 0.7916667, "percent_MM": 0.8333333, "percent_HM": 0.875, "fleiss_HH": 0.4285714,
        "fleiss_MM": 0.4754098, "fleiss_HM": 0.8072289, "randolph_HH": 0.4375, "randolph_MM": 0.5,
        "randolph_HM": 0.8125, "jsb": 0.2521951, "jsd_A": 0.2103939, "jsd_B": 0.2481036, "jsd_C": 0.3398890,
    },
    "distinct = 1": {
        "alpha_HH": 1.0, "alpha_MM": 0.5111111, "alpha_HM": 1.0, "percent_MM": 0.8333333, "jsb": 0.214986,
    },
    "distinct = 2": {
        "alpha_HH": 0.1111111, "alpha_HM": 0.5454545, "alpha_diff": -0.4343434, "fleiss_HH": 0.0,
        "fleiss_HM": 0.4545455, "fleiss_diff": -0.4545455, "percent_HH": 0.6666667, "percent_HM": 0.6666667,
        "jsb": 0.321817,
    },
    "distinct = 3": {
        "alpha_HH": 0.0, "alpha_HM": None, "percent_HH": 0.3333333, "percent_HM": 1.0, "jsb": 0.379264,
    },
}  # fmt: skip


def exact_vectors() -> list[Vector]:
    """V1 to V5, V7 and V8: everything that does not depend on a draw."""
    return [
        *_v1(),
        *_table("V2", V2, V2_ROWS),
        *_pooled("V2", V2, 0.2255577, 0.0492410, 0.0710398),
        *_table("V3", V3, V3_ROWS),
        ("V3/divergence_nats", 0.0664028, jsb(V3, form="divergence").value.value),
        *_v4(),
        *_v5(),
        *_v7(),
        *_v8(),
    ]


def coin_vectors() -> list[Vector]:
    """V6: alpha among people is 1 - 2p and between them and a coin 0; a draw, so with its own tolerances."""
    found = [(p, coin_check(4000, p)) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    people: list[Vector] = [(f"V6/p={p}/HH", 1 - 2 * p, hh.value) for p, (hh, _) in found]
    return people + [(f"V6/p={p}/HM", 0.0, hm.value) for p, (_, hm) in found]


def error_of(vector: Vector) -> float:
    """Distance of computed from expected; infinite where one is missing and the other is not."""
    _, expected, computed = vector
    if expected is None or computed is None:
        return 0.0 if expected is computed else math.inf
    return abs(expected - computed)


def _table(name: str, data: Annotations, wanted: dict[str, dict[str, float | None]]) -> Iterator[Vector]:
    rows = {r["name"]: r for r in stratify(data, Settings(kind=data.kind, labels=data.labels, resamples=0))}
    for stratum, figures in wanted.items():
        row = rows[stratum]
        for figure, expected in figures.items():
            computed = float(row["size"]) if figure == "size" else row["figures"][figure].value
            yield f"{name}/{stratum}/{figure}", expected, computed


def _pooled(name: str, data: Annotations, distance_2: float, divergence_e: float, divergence_2: float) -> list[Vector]:
    return [
        (f"{name}/distance_bits", distance_2, jsb(data, base="2").value.value),
        (f"{name}/divergence_nats", divergence_e, jsb(data, form="divergence").value.value),
        (f"{name}/divergence_bits", divergence_2, jsb(data, form="divergence", base="2").value.value),
    ]


def _v1() -> Iterator[Vector]:
    seen = jsb(V1)
    a = arrays(V1)
    yield "V1/jsb", 0.2503953, seen.value.value
    for b, expected in zip(seen.bins, (0.0727454, None, 0.4280453), strict=True):
        yield f"V1/jsd_{b['label']}", expected, b["jsd"]
    yield from _pooled("V1", V1, 0.3007555, 0.0942573, 0.1359846)
    yield "V1/alpha_HH_ordinal", 0.8166667, alpha(a.human, "ordinal").value
    yield "V1/alpha_HH_nominal", 0.5111111, alpha(a.human, "nominal").value
    for i, (h, m) in enumerate(zip((1, 1, 3, 3), (1, 1, 2, 2), strict=True)):
        yield f"V1/median_H_{i}", h, float(a.human_label[i] + 1)
        yield f"V1/median_M_{i}", m, float(a.machine_label[i] + 1)
    row = stratify(V1, Settings(kind="ordinal", labels=V1.labels, resamples=0))[0]
    yield "V1/alpha_HM", 0.8055556, row["figures"]["alpha_HM"].value


def _v4() -> Iterator[Vector]:
    yield "V4a", ROOT_LN2, _jsb([["A", "A"]], [["B", "B"]], "AB", "categorical").value.value
    yield "V4b", None, _jsb([], [], "AB", "categorical").value.value
    yield "V4c", 0.0, _jsb(V2.human, V2.human, V2.labels, "ordinal").value.value
    halves = _jsb([[1, 2], [2, 2], [4, 4], [3, 4]], [[5, 5], [2, 2], [4, 4], [3, 3]], range(1, 6), "ordinal")
    yield "V4d/jsb", 0.0, halves.value.value
    yield "V4d/coverage", 0.5, halves.coverage
    yield "V4d/warned", 1.0, float(len(halves.warnings))
    for b, expected in zip(halves.bins, (0, 0.25, 0, 0.25, 0), strict=True):
        yield f"V4d/weight_{b['label']}", expected, b["weight"]
    ties = _jsb([["B", "A"], ["A", "B"]], [["A", "A"], ["A", "A"]], "AB", "categorical")
    yield "V4e/jsb", 0.4645014, ties.value.value
    for b in ties.bins:
        yield f"V4e/jsd_{b['label']}", 0.4645014, b["jsd"]
    unequal = counts([[1, 1, 2], [2, 2], [3, 3, 3, 2]], [1, 2, 3])
    yield "V4f/ordinal", 0.6402116, alpha(unequal, "ordinal").value
    yield "V4f/nominal", 0.3846154, alpha(unequal, "nominal").value
    yield "V4g", None, alpha(counts([[1], [2]], [1, 2]), "ordinal").value
    yield "V4h/plain", 0.25, difference(Figure(0.5), Figure(0.25)).value
    yield "V4h/zero", -0.5, difference(Figure(0.0), Figure(0.5)).value
    yield "V4i", 1.0, _refused()


def _jsb(
    human: Sequence[Sequence[Label]], machine: Sequence[Sequence[Label]], labels: Sequence[Label], kind: Kind
) -> Any:
    return jsb(checked(human, machine, labels, kind))


def _refused() -> float:
    try:
        checked([[1, 6]], [[1]], range(1, 6), "ordinal")
    except WrongUse:
        return 1.0
    return 0.0


def _v5() -> Iterator[Vector]:
    votes = counts(["AAB", "AAA", "BBB", "ABB"], "ABC")
    yield "V5/fleiss", 0.3333333, kappa(votes, method="fleiss").value
    yield "V5/randolph_observed", 0.3333333, kappa(votes, method="randolph", k=2).value
    yield "V5/randolph_scale", 0.5, kappa(votes, method="randolph").value


def _v7() -> Iterator[Vector]:
    """Which share bin an item is in: 0 for none, else its place."""
    cases = {"3/3": "AAA", "2/3": "AAB", "1/3": "ABC", "5/5": "AAAAA", "4/5": "AAAAB", "3/5": "AAABB", "2/5": "AABBC"}
    for (votes, labels), place in zip(cases.items(), (0, 2, 1, 0, 3, 2, 1), strict=True):
        a = arrays(checked([list(labels)], [["A"]], "ABC", "categorical"))
        inside = [bool(s.chosen[0]) for s in strata(a) if s.by == "share"]
        yield f"V7/{votes}", float(place), float(np.dot(inside, (1, 2, 3)))


def _v8() -> Iterator[Vector]:
    for rating, level in zip(range(1, 6), (1, 1, 2, 3, 3), strict=True):
        yield f"V8/{rating}", float(level), float(three_levels(rating))


def three_levels(rating: int) -> int:
    """A 1-5 rating of fluency as the paper grades it: below 3, 3, above 3.

    Example:
        >>> [three_levels(r) for r in range(1, 6)]
        [1, 1, 2, 3, 3]
    """
    return 2 + (rating > 3) - (rating < 3)
