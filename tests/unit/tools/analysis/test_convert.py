"""Conversion: real levels, honest missing values, no foreign class from a pickle, stable bytes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

from labwright.tools.analysis.convert import clean_samples, convert, write_parquet  # noqa: E402
from labwright.tools.analysis.convert_readers import READERS  # noqa: E402

ARFF = """% comment
@relation toy
@attribute age numeric
@attribute 'grade' {'I','II','unkown'}
@attribute X1007_s_at numeric
@attribute time numeric
@attribute dead {0,1}
@data
50,'I',1.5,10,1
61,'II',2.5,20,0
?,'unkown',3.5,30,1
"""


def _card(**changes: Any) -> dict[str, Any]:
    card = {
        "id": "toy",
        "source": {"reader": "arff", "members": [{"name": "toy.arff"}], "feature_pattern": r"X(.+_at)"},
        "columns": {
            "age": {"type": "numeric"},
            "grade": {"type": "categorical", "recode": {"I": "low", "II": "high"}},
            "days": {"type": "time", "from": "time"},
            "death": {"type": "event", "from": "dead"},
        },
        "survival": {"time": "days", "event": "death"},
    }
    return {**card, **changes}


def _converted(folder: Path, card: dict[str, Any]) -> Path:
    (folder / "toy.arff").write_text(ARFF, encoding="utf-8")
    out = folder / "out"
    out.mkdir(exist_ok=True)
    convert(card, folder, out)
    return out


def test_arff_becomes_the_common_form(tmp_path: Path) -> None:
    out = _converted(tmp_path, _card())
    samples = pd.read_parquet(out / "samples.parquet")
    assert samples.columns.tolist() == ["sample", "age", "grade", "days", "death"]
    assert samples["grade"].tolist()[:2] == ["low", "high"]
    assert samples["grade"].isna().tolist() == [False, False, True]
    assert (out / "features.txt").read_text() == "1007_s_at\n"
    counted = json.loads((out / "card.json").read_text())
    assert counted["groups"] == {"grade": {"low": 1, "high": 1}}
    assert counted["missing"] == {"age": 1, "grade": 1, "days": 0, "death": 0}
    assert (counted["n_samples"], counted["n_features"]) == (3, 1)


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in _converted(tmp_path, _card()).iterdir()}
    assert first == {path.name: path.read_bytes() for path in _converted(tmp_path, _card()).iterdir()}


def test_an_unknown_level_stops_the_conversion() -> None:
    frame = pd.DataFrame({"grade": ["I", "IV"]}, index=["a", "b"])
    with pytest.raises(ValueError, match="IV"):
        clean_samples(frame, {"grade": {"type": "categorical", "recode": {"I": "low"}}})


def test_repeated_sample_names_stop_the_conversion() -> None:
    with pytest.raises(ValueError, match="not unique"):
        clean_samples(pd.DataFrame({"x": [1, 2]}, index=["a", "a"]), {})


def test_an_event_that_is_no_event_stops_the_conversion(tmp_path: Path) -> None:
    card = _card(survival={"time": "death", "event": "days"})
    with pytest.raises(ValueError, match="events of 0 or 1"):
        _converted(tmp_path, card)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran code",))


def test_a_pickle_with_a_foreign_class_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(pickle.UnpicklingError, match="no place in a data frame"):
        READERS["frame"]({"members": [{"name": "x.pickle"}]}, tmp_path)
    assert "ran code" not in capsys.readouterr().out


def test_a_pickled_frame_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"pid": ["a", "b"], "num_G1": [1.0, 2.0], "fac_er": pd.Categorical(["0", "1"])})
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(frame))
    source = {"members": [{"name": "x.pickle"}], "id_column": "pid", "feature_pattern": "num_(.+)"}
    raw = READERS["frame"](source, tmp_path)
    assert raw.matrix is not None
    assert raw.matrix.loc["G1"].tolist() == [1.0, 2.0]
    assert raw.samples.index.tolist() == ["a", "b"]


def test_parquet_carries_no_metadata(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "a.parquet")
    assert pq.read_schema(tmp_path / "a.parquet").metadata is None
