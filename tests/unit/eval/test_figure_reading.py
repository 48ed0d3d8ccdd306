"""Figures with known content, and a tiny model that learns to read them; the real one is measured by the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_vision
from PIL import Image

from labwright.agents.figures import ASKED
from labwright.eval.suites import figure_reading as reading
from labwright.eval.suites.figure_plots import KINDS, TEST, VALIDATION, Plot, Table, draw_plot, make_plots, read_table
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.vision_figures import figures_of


def dataset(folder: Path, seed: int = 0, n: int = 90) -> Path:
    """A converted data set: two groups, of which the second is larger, older and dies later."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    arm = np.array(["control", "treated"])[rng.integers(0, 2, n)]
    age = rng.normal(50, 10, n) + 15 * (arm == "treated")
    columns = {
        "sample": [f"s{i}" for i in range(n)],
        "arm": [None if i == 0 else str(a) for i, a in enumerate(arm)],
        "age": age,
        "weight": age + rng.normal(0, 3, n),
        "days": rng.exponential(100, n) * (1 + 4 * (arm == "treated")),
        "death": (rng.random(n) < 0.7).astype(float),
    }
    parquet.write_table(pa.table(columns), folder / "samples.parquet")
    features = {"feature": ["A1", "B2"], **{f"s{i}": rng.normal(0, 1, 2) for i in range(n)}}
    parquet.write_table(pa.table(features), folder / "matrix.parquet")
    card = {"id": folder.name, "survival": {"time": "days", "event": "death", "unit": "days"}}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Table:
    return read_table(dataset(tmp_path_factory.mktemp("sets") / "trial"))


@pytest.fixture(scope="module")
def plots(table: Table) -> list[tuple[Plot, bytes]]:
    return [draw_plot(table, n) for n in range(40)]


def test_a_table_holds_what_can_be_drawn(table: Table) -> None:
    assert set(table.numbers) == {"age", "weight", "A1 expression", "B2 expression"}
    assert set(table.labels) == {"arm"}
    assert table.survival.unit == "days"
    assert "" in table.labels["arm"]  # a missing label is no group


def test_what_a_figure_shows_follows_from_the_data(plots: list[tuple[Plot, bytes]]) -> None:
    assert {p.kind for p, _ in plots} == set(KINDS)
    for plot, _ in plots:
        if plot.kind == "scatter plot" and {plot.x, plot.y} == {"age", "weight"}:
            assert plot.direction == "rises"
        if plot.kind in ("box plot", "bar chart") and plot.y in ("age", "weight"):
            assert (plot.groups, plot.direction) == (("control", "treated"), "rises")
        if plot.kind == "survival curves":
            assert (plot.x, plot.y, plot.direction) == ("time (days)", "share without death", "rises")
        if plot.kind == "histogram":
            assert (plot.groups, plot.direction, plot.y) == (("all",), "neither", "number of samples")
        assert 12 <= plot.n <= 90


def test_the_same_number_is_the_same_figure(table: Table, plots: list[tuple[Plot, bytes]]) -> None:
    for number in (0, 7):
        assert draw_plot(table, number) == plots[number]
    assert len({image for _, image in plots}) == len(plots)


def test_every_question_has_its_answer_among_distinct_options(plots: list[tuple[Plot, bytes]]) -> None:
    for plot, _ in plots:
        fields = plot.fields()
        assert [f.name for f in fields] == list(ASKED)
        for field in fields:
            assert plot.truth()[field.name] in field.options
            assert 2 <= len(set(field.options)) == len(field.options) <= 6
        assert [f.options for f in fields] == [f.options for f in plot.fields()]


def test_a_legend_tells_some_of_it_and_seldom_the_direction(plots: list[tuple[Plot, bytes]]) -> None:
    told = [p for p, _ in plots if "The measure" in p.legend]
    assert len(told) < len(plots) / 4
    assert all(p.direction in p.legend for p in told)
    assert 0 < sum(f"n = {p.n}" in p.legend for p, _ in plots) < len(plots)


def test_figures_are_drawn_once(tmp_path: Path, table: Table) -> None:
    first = make_plots([table], 3, tmp_path)
    (tmp_path / "trial-1.png").unlink()
    kept = (tmp_path / "trial-0.png").stat().st_mtime_ns
    assert make_plots([table], 3, tmp_path) == first
    assert (tmp_path / "trial-1.png").is_file()
    assert (tmp_path / "trial-0.png").stat().st_mtime_ns == kept
    with Image.open(tmp_path / "trial-2.png") as image:
        assert min(image.size) >= 400


def test_no_data_set_is_in_two_parts() -> None:
    named = {part: set(found) for part, found in reading.parts().items()}
    assert named["test"] == set(TEST)
    assert named["validation"] == set(VALIDATION)
    assert len(named["train"]) >= 10
    assert not named["train"] & (named["test"] | named["validation"])


def test_guessing_is_the_usual_answer_or_one_of_the_options(plots: list[tuple[Plot, bytes]]) -> None:
    shown = [p for p, _ in plots]
    usual = reading.usual_answers(shown)
    assert usual["groups"] in ("1", "2")

    class Blind:
        def invoke(self, messages, **options):
            from langchain_core.messages import AIMessage

            listed = messages[-1].content[-1]["text"].splitlines()
            first = next(line.split(" ", 1) for line in listed if line.startswith(("- ", "A. ")))
            said = first[1] if first[0] == "-" else "A"
            top = [{"token": said, "logprob": 0.0, "bytes": None,
                    "top_logprobs": [{"token": said, "logprob": 0.0, "bytes": None}]}]  # fmt: skip
            return AIMessage(said, response_metadata={"logprobs": {"content": top}})

    for plot in shown[:3]:
        (reading._figures()).mkdir(parents=True, exist_ok=True)
        (reading._figures() / f"{plot.id}.png").write_bytes(b"")
        found = reading.read(Blind(), plot, usual)
        for field in plot.fields():
            assert found[field.name]["image"] == field.options[0]
            listed = usual[field.name] in field.options
            right = plot.truth()[field.name]
            assert found[field.name]["guess"] == (
                float(usual[field.name] == right) if listed else round(1 / len(field.options), 4)
            )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))


def test_the_whole_way_from_data_to_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {
        part: [dataset(tmp_path / "sets" / part, seed)] for seed, part in enumerate(("train", "validation", "test"))
    }
    monkeypatch.setattr(reading, "folders", lambda: sets)
    rows, said = Rows(tmp_path / "r.jsonl"), []
    size = reading.Size(train=24, validation=2, test=3, epochs=1)
    made = tiny_vision.save(tmp_path / "model")
    reading.measure(rows, said.append, size, made=made)
    training = next(r for r in rows.all() if r["kind"] == "figure_training")
    assert (training["figures"], training["steps"]) == (24, 3)  # each is described, and asked about
    figures = {f["name"]: f for f in figures_of(rows.all(), "raw")}
    assert set(figures) == {"figure_field_acc", "figure_legend_acc", "figure_majority_acc"}
    assert all(f["n"] == 3 and 0 <= f["value"] <= 1 for f in figures.values())
    assert "direction" in figures["figure_field_acc"]["note"]
    before = rows.all()
    reading.measure(rows, said.append, size, made=made)
    assert rows.all() == before


def test_the_model_of_a_quick_run_is_not_taken_by_a_full_one(tmp_path: Path) -> None:
    places = [dataset(tmp_path / "sets" / "trial")]
    made = tmp_path / "model"
    few, more = (reading.drawn("training", places, each, print) for each in (2, 3))
    quick = reading._lesson(made, few, reading.Size(epochs=0.1))
    assert quick == reading._lesson(made, few, reading.Size(epochs=0.1))
    assert (
        len({quick, reading._lesson(made, more, reading.Size(epochs=0.1)), reading._lesson(made, few, reading.Size())})
        == 3
    )
