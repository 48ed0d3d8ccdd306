"""Tables of the user as a data set: the card that describes them, what is kept, who may use it."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import yaml

from labwright.errors import ConfigInvalid, NoUsableData, RunFailed, WrongUse
from labwright.eval.protocol_markdown import read_markdown
from labwright.eval.protocol_quality import code_scores
from labwright.eval.protocol_reading import Reading
from labwright.sandbox.contract import Job, Result
from labwright.tools.catalogue import catalogue
from labwright.tools.catalogue.fetch import fetching
from labwright.tools.own_card import read_card
from labwright.workflows.added_data import import_tables, remove
from labwright.workflows.data import allowed_cards, verified

CARD: dict[str, Any] = {
    "id": "our-cohort",
    "title": "Our cohort of breast tumours",
    "description": "Expression and relapse of twelve patients.",
    "organism": "Homo sapiens",
    "assay": "RNA-seq",
    "samples": "samples.csv",
    "matrix": "expression.tsv",
    "columns": {
        "er": {"type": "categorical", "description": "Receptor", "levels": ["negative", "positive"]},
        "age": {"type": "numeric", "description": "Age", "unit": "years"},
        "days": {"type": "time", "description": "To relapse", "unit": "days"},
        "relapse": {"type": "event", "description": "Relapse", "from": "rel", "events": {"no": 0, "yes": 1}},
    },
    "survival": {"time": "days", "event": "relapse", "unit": "days", "endpoint": "relapse"},
}
NAMES = [f"p{n}" for n in range(12)]


def in_process(job: Job, out: Path, **more: Any) -> Result:
    """The conversion, without a sandbox: the tables are the test's own."""
    import json

    from labwright.tools.analysis.convert import convert

    out.mkdir(parents=True, exist_ok=True)
    folder = next(iter(job.inputs.values())).parent
    said = ""
    try:
        convert(json.loads(job.inputs["source_card.json"].read_text()), folder, out)
    except ValueError as error:
        said = f"ValueError: {error}"
    ended = {"stdout": "", "outputs": (), "inputs_read": (), "duration_s": 0.1, "total_s": 0.1, "peak_memory_mib": None}
    return Result(cause="exit", exit_code=int(bool(said)), stderr=said, image_id="", **ended)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        f"{n},{'positive' if i % 2 else 'negative'},{40 + i},{100 * i},{'yes' if i % 3 else 'no'}"
        for i, n in enumerate(NAMES)
    ]
    (tmp_path / "samples.csv").write_text("\n".join(["id,er,age,days,rel", *rows]) + "\n")
    genes = [f"G{g}\t" + "\t".join(str((g * i) % 7) for i in range(12)) for g in range(30)]
    (tmp_path / "expression.tsv").write_text("\n".join(["gene\t" + "\t".join(NAMES), *genes]) + "\n")
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(CARD))
    return tmp_path


def card_with(folder: Path, **change: Any) -> Path:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in {**CARD, **change}.items() if v is not None}))
    return path


def test_tables_become_a_data_set_that_is_counted_and_verified(folder: Path) -> None:
    card = import_tables(folder / "card.yaml", in_process)
    assert (card["id"], card["kind"], card["n_samples"], card["n_features"]) == (
        "our-cohort",
        "expression_survival",
        12,
        30,
    )
    assert card["groups"] == {"er": {"negative": 6, "positive": 6}}
    assert catalogue.card("our-cohort")["title"] == CARD["title"]
    ok, said = verified("our-cohort", in_process)
    assert ok
    assert "12 samples, 30 features and 1 groupings counted in the data of samples.csv (sha256 " in said
    assert "given by the user" in said
    assert "our-cohort" in allowed_cards(())
    remove("our-cohort")
    assert "our-cohort" not in allowed_cards(())
    assert not list((folder / "cache").glob("*/our-cohort*"))


def test_a_protocol_on_an_imported_data_set_is_not_told_that_it_does_not_exist(folder: Path) -> None:
    reading = read_markdown("# P\n## 1 A\n### 1.1 Compare\n- data: our-cohort\n- tool: survdiff\n")
    assert _unknown(reading) == ["our-cohort"]
    import_tables(folder / "card.yaml", in_process)
    assert _unknown(reading) == []


def _unknown(reading: Reading) -> list[str]:
    missed = next(s for s in code_scores(reading) if s.metric == "correctness").missed
    return [m.what.split()[3] for m in missed if m.check == "data set exists"]


def test_two_imports_of_one_name_do_not_meet(folder: Path) -> None:
    converting = Event()

    def job(*given: Any, **more: Any) -> Result:
        converting.set()
        return in_process(*given, **more)

    other = Thread(target=import_tables, args=(folder / "card.yaml", job))
    with fetching():  # as another import or a run that converts holds it
        other.start()
        assert not converting.wait(1)
        assert not (folder / "cache" / "raw" / "our-cohort").exists()
    other.join(30)
    assert "our-cohort" in allowed_cards(())


def test_a_data_set_that_must_be_named_is_found_by_nobody_else(folder: Path) -> None:
    import_tables(folder / "card.yaml", in_process, name="mine-x1", named_only=True)
    assert "mine-x1" not in allowed_cards(())
    assert list(allowed_cards(("mine-x1",))) == ["mine-x1"]
    with pytest.raises(ConfigInvalid, match="our-cohort"):
        allowed_cards(("our-cohort",))


def test_an_import_replaces_what_it_imported_before_and_nothing_else(folder: Path) -> None:
    import_tables(folder / "card.yaml", in_process)
    assert import_tables(card_with(folder, matrix=None), in_process)["kind"] == "clinical_survival"
    assert catalogue.card("our-cohort")["n_features"] == 0
    with pytest.raises(WrongUse, match="gbsg2 is a data set of labwright already"):
        import_tables(folder / "card.yaml", in_process, name="gbsg2")
    with pytest.raises(NoUsableData, match="gbsg2 is part of labwright"):
        remove("gbsg2")


def test_tables_that_are_not_as_the_card_says(folder: Path) -> None:
    (folder / "samples.csv").write_text((folder / "samples.csv").read_text().replace("negative", "neg"))
    path = card_with(folder, columns={**CARD["columns"], "er": {**CARD["columns"]["er"], "levels": {"n": "x"}}})
    with pytest.raises(RunFailed, match=r"levels .* are not in the card's recode"):
        import_tables(path, in_process)
    assert "our-cohort" not in allowed_cards(())
    assert not list((folder / "cache").glob("*/our-cohort*"))
    (folder / "expression.tsv").unlink()
    with pytest.raises(WrongUse, match=r"expression\.tsv: no such file; card\.yaml names it"):
        import_tables(folder / "card.yaml", in_process)


def test_a_failed_import_leaves_what_was_imported_before(folder: Path) -> None:
    import_tables(folder / "card.yaml", in_process)
    kept = {p: p.read_bytes() for p in (folder / "cache" / "raw" / "our-cohort").iterdir()}
    (folder / "samples.csv").write_text("id,er\np0,negative\np0,negative\n")
    with pytest.raises(RunFailed, match="stand twice: p0"):
        import_tables(folder / "card.yaml", in_process)
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert verified("our-cohort", in_process)[0]


@pytest.mark.parametrize("name", ["../up", "Big", "x", "a" * 61, "a/b"])
def test_names_of_data_sets(folder: Path, name: str) -> None:
    with pytest.raises(WrongUse, match=r"--name .*: lower-case letters"):
        import_tables(folder / "card.yaml", in_process, name=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "../up"}, "id: String should match"),
        ({"samples": "/etc/passwd"}, "samples: String should match"),
        ({"samples": "samples.xlsx"}, "samples.xlsx: tables end in .csv"),
        ({"columns": {}}, "columns: "),
        ({"columns": {"er": {"type": "colour", "description": "x"}}}, "columns.er.type: "),
        (
            {"columns": {"er": {"type": "numeric", "description": "x", "levels": ["a"]}}, "survival": None},
            "levels belong to",
        ),
        ({"survival": {"time": "age", "event": "relapse"}}, "survival.time: 'age' is no column of type time"),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"title": None}, "title: Field required"),
    ],
)
def test_cards_that_are_none(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongUse) as caught:
        read_card(card_with(folder, **change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "&a [*a]", "\xff"])
def test_texts_that_are_no_cards(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.yaml").write_bytes(text.encode("latin1"))
    with pytest.raises(WrongUse, match=r"card\.yaml: (not readable YAML|no data card)"):
        read_card(tmp_path / "card.yaml")


def test_the_card_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "own-data.md").read_text()
    (tmp_path / "card.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    card = read_card(tmp_path / "card.yaml")
    assert card.columns["relapse"].described()["recode"] == {"no": 0, "yes": 1}
    assert card.columns["er"].described()["recode"] == {"neg": "negative", "pos": "positive"}
    assert (card.kind, card.single_cell) == ("expression_survival", False)


def test_kinds_follow_from_what_there_is(folder: Path) -> None:
    for change, kind in (
        ({}, "expression_survival"),
        ({"survival": None}, "expression"),
        ({"scale": "counts"}, "rnaseq_counts"),
        ({"single_cell": True}, "single_cell"),
        ({"matrix": None}, "clinical_survival"),
        ({"matrix": None, "survival": None}, "clinical"),
    ):
        assert read_card(card_with(folder, **change)).kind == kind
