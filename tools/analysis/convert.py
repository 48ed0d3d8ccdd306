"""Turn a data set as its package ships it into labwright's one form. Runs inside the sandbox only.

The form: `samples.parquet` (a row per sample), `matrix.parquet` (a row per feature), `features.txt`,
`card.json`, and for drug response `alterations.parquet` and `alterations.txt`. The card says which reader, which columns and
which level names; the counts in `card.json` come from the data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from labwright.tools.analysis.convert_raw import Raw
from labwright.tools.analysis.convert_readers import READERS

MISSING = frozenset({"", "na", "NA", "nan", "NaN", "None", "<NA>", "missing", "unkown", "unknown", "x", "?"})
"""Spellings of a missing level in the shipped files (`unkown` is GSE7390's own)."""


def convert(card: Mapping[str, Any], source: Path, out: Path) -> None:
    """Read the members named by the card in `source` and write the common form to `out`.

    Args:
        card: the data set's card; `source.reader` names the reader, `columns` the columns wanted.
        source: folder of the members, each under its own file name.
        out: existing folder that receives the files.

    Raises:
        ValueError: a column, a level or a time in the data is not what the card says.
    """
    raw = READERS[card["source"]["reader"]](card["source"], source)
    samples = clean_samples(raw.samples, card["columns"])
    _check_outcome(samples, card.get("survival"))
    write_parquet(samples, out / "samples.parquet")
    if raw.matrix is not None:
        _write_matrix(raw.matrix, samples["sample"].tolist(), out)
    for name, frame in raw.extra.items():
        write_parquet(frame, out / name)
    if "alterations.parquet" in raw.extra:
        names = raw.extra["alterations.parquet"]["alteration"]
        (out / "alterations.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    counted = {**_declared(card), **_counted(samples, raw, card["columns"])}
    text = json.dumps(counted, indent=1, ensure_ascii=False)
    (out / "card.json").write_text(text + "\n", encoding="utf-8")


def clean_samples(frame: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Pick, rename and recode the sample columns that a card describes.

    Args:
        frame: raw columns, indexed by sample.
        columns: clean name to its description: `from` (raw name), `type`, and `recode` (raw level to real one).

    Returns:
        A frame whose first column is `sample`.
    """
    clean: dict[str, list[Any]] = {"sample": [str(name) for name in frame.index]}
    for name, column in columns.items():
        raw = frame[column.get("from", name)]
        if column["type"] == "categorical":
            clean[name] = _levels(raw, column.get("recode"), name)
        else:
            recoded = raw.map(column["recode"]) if "recode" in column else raw
            clean[name] = pd.to_numeric(recoded, errors="coerce").astype(float).to_list()
    samples = pd.DataFrame(clean)
    if samples["sample"].duplicated().any():
        raise ValueError("sample names are not unique")
    return samples


def _levels(raw: pd.Series, recode: Mapping[str, str] | None, name: str) -> list[str | None]:
    texts = [_text(value) for value in raw]
    if recode is None:
        return [None if text in MISSING else text for text in texts]
    unknown = {text for text in texts if text not in recode and text not in MISSING}
    if unknown:
        raise ValueError(f"column {name}: levels {sorted(unknown)} are not in the card's recode")
    return [recode.get(text) for text in texts]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _check_outcome(samples: pd.DataFrame, survival: Mapping[str, str] | None) -> None:
    if not survival:
        return
    times, events = samples[survival["time"]], samples[survival["event"]]
    if not events.dropna().isin((0.0, 1.0)).all() or (times.dropna() < 0).any():
        raise ValueError("the outcome needs events of 0 or 1 and times of at least 0")


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame so that equal content gives equal bytes under the same pyarrow.

    Args:
        frame: the table; its index is dropped.
        path: file to write.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, path, compression="zstd", version="2.6", use_dictionary=False, write_statistics=False)


def _write_matrix(matrix: pd.DataFrame, samples: list[str], out: Path) -> None:
    matrix.columns = [str(name) for name in matrix.columns]
    if matrix.columns.tolist() != samples or not matrix.index.is_unique:
        raise ValueError("the matrix needs one column per sample and unique features")
    frame = matrix.astype(np.int32 if _is_counts(matrix) else np.float32)
    features = [str(name) for name in matrix.index]
    frame.insert(0, "feature", features)
    write_parquet(frame, out / "matrix.parquet")
    (out / "features.txt").write_text("\n".join(features) + "\n", encoding="utf-8")


def _is_counts(matrix: pd.DataFrame) -> bool:
    values = matrix.to_numpy()
    return bool(np.issubdtype(values.dtype, np.integer))


def _level_counts(levels: pd.Series, recode: Mapping[str, str] | None) -> dict[str, int]:
    """Counts in the order of the card's recode (reference level first), else in alphabetical order."""
    counts = levels.value_counts()
    order = list(dict.fromkeys(recode.values())) if recode else sorted(counts.index)
    return {str(level): int(counts[level]) for level in order if level in counts.index}


def _declared(card: Mapping[str, Any]) -> dict[str, Any]:
    dropped = {"files", "known_results", "size_mb", "n_samples", "n_features", "groups"}
    return {key: value for key, value in card.items() if key not in dropped}


def _counted(samples: pd.DataFrame, raw: Raw, columns: Mapping[str, Any]) -> dict[str, Any]:
    groups = {
        name: _level_counts(samples[name], column.get("recode"))
        for name, column in columns.items()
        if column["type"] == "categorical"
    }
    missing = {name: int(samples[name].isna().sum()) for name in columns}
    return {
        "n_samples": len(samples),
        "n_features": 0 if raw.matrix is None else len(raw.matrix),
        "groups": groups,
        "missing": missing,
    }
