"""One reader per source format; each gives samples, matrix and extra tables. Runs inside the sandbox only.

Pickles are read with an unpickler that knows data frames and arrays only; any other class stops it.
"""

from __future__ import annotations

import csv
import gzip
import lzma
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labwright.tools.analysis.convert_geo import read_series_matrix
from labwright.tools.analysis.convert_raw import Raw
from labwright.tools.analysis.convert_tables import read_tables

_PICKLE_MODULES = ("numpy", "numpy.core", "numpy._core", "pandas.core", "pandas._libs")
_PICKLE_CLASSES = frozenset(
    {
        "Categorical", "CategoricalDtype", "DataFrame", "BlockManager", "Index", "Int32Dtype", "IntegerArray",
        "RangeIndex", "__pyx_unpickle_NDArrayBacked", "_frombuffer", "_new_Index", "_reconstruct",
        "_unpickle_block", "dtype", "ndarray", "slice",
    }
)  # fmt: skip


class _FrameUnpickler(pickle.Unpickler):
    """Reads data frames; refuses everything else a pickle could name."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a class, if it is one a data frame is made of."""
        known_module = module == "builtins" or module.startswith(_PICKLE_MODULES)
        if name not in _PICKLE_CLASSES or not known_module:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a data frame")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _frame(path: Path) -> pd.DataFrame:
    content = path.read_bytes()
    if content[:6] == b"\xfd7zXZ\x00":
        content = lzma.decompress(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        frame = _FrameUnpickler(BytesIO(content)).load()
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"{path.name} holds no data frame")
    return frame


def _member(source: Mapping[str, Any], folder: Path, number: int = 0) -> Path:
    return folder / str(source["members"][number]["name"])


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """Name unnamed patients p001, p002, ... in file order."""
    width = len(str(len(frame)))
    return frame.set_axis([f"p{i + 1:0{width}d}" for i in range(len(frame))], axis=0)


def read_arff(source: Mapping[str, Any], folder: Path) -> Raw:
    """Attribute-relation file; columns matching `feature_pattern` form the matrix (prefix stripped)."""
    names: list[str] = []
    rows: list[list[str]] = []
    in_data = False
    for line in _member(source, folder).read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        if in_data:
            rows.append(next(csv.reader([text], quotechar="'", skipinitialspace=True)))
        elif text.lower().startswith("@attribute"):
            names.append(text.split(None, 2)[1].strip("'\""))
        else:
            in_data = text.lower().startswith("@data")
    return _split_features(_numbered(pd.DataFrame(rows, columns=names)), source)


def _split_features(frame: pd.DataFrame, source: Mapping[str, Any]) -> Raw:
    pattern = source.get("feature_pattern")
    if not pattern:
        return Raw(frame)
    found = {name: re.fullmatch(pattern, name) for name in frame.columns}
    features = {name: match.group(1) for name, match in found.items() if match}
    matrix = frame[list(features)].apply(pd.to_numeric).T
    matrix.index = pd.Index(list(features.values()))
    return Raw(frame.drop(columns=list(features)), matrix)


def read_frame(source: Mapping[str, Any], folder: Path) -> Raw:
    """A pickled data frame; `id_column` names the samples, `row_groups` the parts it was joined from, in order."""
    frame = _frame(_member(source, folder))
    column = source.get("id_column")
    for name, sizes in source.get("row_groups", {}).items():
        frame[name] = [level for level, size in sizes.items() for _ in range(size)]
    named = frame.set_index(frame[column].astype(str)) if column else _numbered(frame)
    return _split_features(named, source)


def read_colon(source: Mapping[str, Any], folder: Path) -> Raw:
    """The colon trial: two rows a patient (1 recurrence, 2 death) become one."""
    frame = _frame(_member(source, folder))
    frame["id"] = frame["id"].astype(int)
    first = frame[frame["etype"] == 1].set_index("id")
    death = frame[frame["etype"] == 2].set_index("id")
    first = first.rename(columns={"time": "recurrence_days", "status": "recurrence"})
    joined = first.join(death[["time", "status"]].set_axis(["death_days", "death"], axis=1))
    return Raw(joined.set_axis([f"p{number:03d}" for number in joined.index], axis=0))


def read_pbc(source: Mapping[str, Any], folder: Path) -> Raw:
    """The Mayo cirrhosis trial: status 2 is death; transplant counts as censoring."""
    frame = _numbered(_frame(_member(source, folder)))
    frame["death"] = (frame["status"].astype(int) == 2).astype(int)
    return Raw(frame)


def read_h5ad(source: Mapping[str, Any], folder: Path) -> Raw:
    """Annotated matrix; `layer` picks raw values, `transform` the scale."""
    import anndata

    data = anndata.read_h5ad(_member(source, folder))
    table = data.raw if source.get("layer") == "raw" else data
    values = table.X.toarray() if hasattr(table.X, "toarray") else np.asarray(table.X)
    if source.get("transform") == "log2_tpm_over_10":
        # Processors differ in the last bits of a logarithm; the file is pinned by its hash, so they are rounded away.
        values = np.round(np.log2(values.astype(np.float64) / 10.0 + 1.0), 6)
    if source.get("transform") == "counts":
        values = np.rint(values).astype(np.int64)
    obs = data.obs.copy()
    obs.index = obs.index.astype(str)
    matrix = pd.DataFrame(values.T, index=[str(name) for name in table.var_names], columns=obs.index)
    return Raw(obs, matrix)


def read_airway(source: Mapping[str, Any], folder: Path) -> Raw:
    """Counts by Ensembl id; symbols from a GENCODE table, the most counted id of a symbol bears it."""
    raw = read_h5ad(source, folder)
    if raw.matrix is None:
        raise ValueError("the airway file holds no matrix")
    ids = raw.matrix.index
    with _member(source, folder, 1).open(encoding="utf-8", newline="") as file:
        symbols = {row[0].split(".")[0]: row[1] for row in csv.reader(file) if len(row) == 2}
    order = raw.matrix.sum(axis=1).sort_values(ascending=False, kind="stable").index
    owner: dict[str, str] = {}
    for ensembl in order:
        owner.setdefault(symbols.get(ensembl, ensembl) or ensembl, ensembl)
    name_of = {ensembl: symbol for symbol, ensembl in owner.items()}
    raw.matrix.index = pd.Index([name_of.get(ensembl, ensembl) for ensembl in ids])
    raw.extra["features.parquet"] = pd.DataFrame({"feature": list(raw.matrix.index), "ensembl_id": list(ids)})
    return raw


def read_gdsc(source: Mapping[str, Any], folder: Path) -> Raw:
    """Log IC50, genomic features and the drug names that the package ships."""
    response, genome = (
        pd.read_csv(BytesIO(gzip.decompress(_member(source, folder, number).read_bytes())), index_col=0)
        for number in (0, 1)
    )
    genome = genome.loc[genome.index.isin(response.index)]
    response = response.loc[genome.index]
    names = pd.read_csv(_member(source, folder, 2)).set_index("DRUG_ID")["DRUG_NAME"]
    matrix = response.T
    matrix.index = pd.Index([_drug_name(str(column), names) for column in matrix.index])
    lines = [f"COSMIC_{cell}" for cell in genome.index]
    matrix.columns = pd.Index(lines)
    samples = genome[["TISSUE_FACTOR", "MSI_FACTOR"]].set_axis(lines, axis=0)
    altered = genome.drop(columns=["TISSUE_FACTOR", "MSI_FACTOR"]).T.astype("int8")
    altered.columns = pd.Index(lines)
    altered.insert(0, "alteration", [str(name) for name in altered.index])
    return Raw(samples, matrix, {"alterations.parquet": altered})


def _drug_name(column: str, names: pd.Series) -> str:
    number = column.split("_")[1]
    return f"{names[column]} (drug {number})" if column in names.index else f"drug {number}"


READERS: dict[str, Callable[[Mapping[str, Any], Path], Raw]] = {
    "airway": read_airway,
    "arff": read_arff,
    "colon": read_colon,
    "frame": read_frame,
    "gdsc": read_gdsc,
    "h5ad": read_h5ad,
    "pbc": read_pbc,
    "series_matrix": read_series_matrix,
    "tables": read_tables,
}
"""Reader by the name a card gives."""
