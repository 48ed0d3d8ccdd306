"""A tiny data set with planted truths, in labwright's converted form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

N, P = 90, 120


def _survival_card() -> dict[str, Any]:
    return {
        "id": "tiny",
        "kind": "expression_survival",
        "organism": "Homo sapiens",
        "assay": "simulated",
        "feature_kind": "gene symbol",
        "n_samples": N,
        "n_features": P,
        "files": {"samples.parquet": "", "matrix.parquet": ""},
        "columns": {
            "er": {"type": "categorical"},
            "site": {"type": "categorical"},
            "age": {"type": "numeric"},
            "days": {"type": "time"},
            "death": {"type": "event"},
        },
        "survival": {"time": "days", "event": "death", "unit": "days", "endpoint": "death"},
    }


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 patients x 120 genes: G0 to G9 follow the receptor, G10 drives the hazard, age does too."""
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pytest.importorskip("lifelines")
    from labwright.tools.analysis.convert import write_parquet

    rng = np.random.default_rng(7)
    er = np.where(np.arange(N) < 36, "negative", "positive")
    values = rng.normal(size=(P, N))
    values[:10] += np.where(er == "positive", 1.8, 0.0)
    age = rng.normal(60, 10, size=N)
    hazard = np.exp(1.1 * values[10] + 0.05 * (age - 60))
    time = rng.exponential(400 / hazard).round() + 1
    samples = pd.DataFrame(
        {"sample": [f"s{i:02d}" for i in range(N)], "er": er, "site": np.tile(["a", "b", "c"], N // 3)}
    )
    samples["age"], samples["days"], samples["death"] = age, np.minimum(time, 900), (time < 900).astype(float)
    samples.loc[3, "age"] = np.nan
    matrix = pd.DataFrame(values.astype("float32"), columns=samples["sample"])
    matrix.insert(0, "feature", [f"G{i}" for i in range(P)])
    folder = tmp_path_factory.mktemp("data") / "tiny"
    folder.mkdir()
    write_parquet(samples, folder / "samples.parquet")
    write_parquet(matrix, folder / "matrix.parquet")
    card = _survival_card()
    card["groups"] = {name: samples[name].value_counts().sort_index().to_dict() for name in ("er", "site")}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    sets = ["receptor\t\t" + "\t".join(f"G{i}" for i in range(10))]
    rng_sets = np.random.default_rng(1)
    sets += [f"random {k}\t\t" + "\t".join(f"G{i}" for i in rng_sets.choice(P, 12, replace=False)) for k in range(14)]
    (folder.parent / "go_bp_2023").mkdir()
    (folder.parent / "go_bp_2023" / "go_bp_2023.gmt").write_text("\n".join(sets) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 paired samples x 400 genes of counts: G0 to G19 are four times as high after treatment."""
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    pytest.importorskip("pydeseq2")
    from labwright.tools.analysis.convert import write_parquet

    rng = np.random.default_rng(3)
    treated = np.tile([False, True], 4)
    mean = rng.lognormal(5, 1, size=(400, 1)) * np.ones(8)
    mean[:20, treated] *= 4
    counts = rng.negative_binomial(10, 10 / (10 + mean))
    samples = pd.DataFrame({"sample": [f"r{i}" for i in range(8)], "dex": np.where(treated, "treated", "untreated")})
    samples["cell"] = np.repeat(["c1", "c2", "c3", "c4"], 2)
    matrix = pd.DataFrame(counts.astype("int32"), columns=samples["sample"])
    matrix.insert(0, "feature", [f"G{i}" for i in range(400)])
    folder = tmp_path_factory.mktemp("counts")
    write_parquet(samples, folder / "samples.parquet")
    write_parquet(matrix, folder / "matrix.parquet")
    card = {
        **_survival_card(),
        "id": "tiny_counts",
        "kind": "rnaseq_counts",
        "survival": None,
        "columns": {"dex": {"type": "categorical"}, "cell": {"type": "categorical"}},
        "groups": {"dex": {"untreated": 4, "treated": 4}, "cell": {f"c{i}": 2 for i in range(1, 5)}},
        "n_samples": 8,
        "n_features": 400,
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_drugs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 cell lines x 12 drugs: lines with A_mut are sensitive to drug 0."""
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    from labwright.tools.analysis.convert import write_parquet

    rng = np.random.default_rng(5)
    lines = [f"L{i}" for i in range(120)]
    altered = pd.DataFrame(rng.random((15, 120)) < 0.2, columns=lines).astype("int8")
    altered.insert(0, "alteration", ["A_mut", *[f"X{i}_mut" for i in range(14)]])
    tissue = rng.integers(4, size=120)
    response = rng.normal(size=(12, 120)) + 0.5 * tissue
    response[0] -= 2.0 * altered.iloc[0, 1:].to_numpy(dtype=float)
    response[rng.random(response.shape) < 0.1] = np.nan
    matrix = pd.DataFrame(response.astype("float32"), columns=lines)
    matrix.insert(0, "feature", [f"drug {i}" for i in range(12)])
    samples = pd.DataFrame({"sample": lines, "tissue": [f"t{i}" for i in tissue]})
    folder = tmp_path_factory.mktemp("drugs")
    write_parquet(samples, folder / "samples.parquet")
    write_parquet(matrix, folder / "matrix.parquet")
    write_parquet(altered, folder / "alterations.parquet")
    counts = samples["tissue"].value_counts().sort_index().to_dict()
    card = {
        **_survival_card(),
        "id": "tiny_drugs",
        "kind": "drug_response",
        "feature_kind": "drug",
        "survival": None,
        "columns": {"tissue": {"type": "categorical"}},
        "groups": {"tissue": counts},
        "files": {"samples.parquet": "", "matrix.parquet": "", "alterations.parquet": ""},
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.fixture
def run_operator(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """Validate parameters, run an operator, and give its output folder and full parameters."""

    def run(name: str, data: Path, params: dict[str, Any], upstream: Path | None = None) -> tuple[Path, dict[str, Any]]:
        import labwright.tools.analysis as operators
        from labwright.tools.analysis.contracts import OPERATORS, validate_params

        card = json.loads((data / "card.json").read_text(encoding="utf-8"))
        full = validate_params(OPERATORS[name], card, params)
        out = tmp_path / name
        sets = data.parent / "go_bp_2023"
        study = operators.open_study(data, out, upstream=upstream, gene_sets=sets, seed=full["seed"])
        arguments = {key: value for key, value in full.items() if key != "seed" and value is not None}
        getattr(operators, name)(study, **arguments)
        return out, full

    return run
