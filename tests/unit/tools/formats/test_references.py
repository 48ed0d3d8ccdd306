"""BibTeX, RIS and CSL-JSON: what goes out comes back, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labwright.domain import Paper, PaperIds, Retraction
from labwright.errors import UnreadableCorpus
from labwright.tools.formats import bibtex, csl, ris

FORMATS = {"bibtex": (bibtex, "x.bib"), "ris": (ris, "x.ris"), "csl": (csl, "x.json")}
KEPT = ("title", "authors", "abstract", "year", "journal", "ids", "mesh")
PAPER = Paper(
    id="doe2020",
    ids=PaperIds(pmid="12345", pmcid="PMC77", doi="10.1/a_b(c)<d>"),
    title="TNF-α & IL-6: 5% of {cells} cost $3 -- see #1_x^2 ~ \\n",
    authors=("Müller, J. P.", "van der Berg, Anna", "The Cancer and Leukemia Group", "O'Neil-Ångström, K"),
    abstract='We saw ≥ 12 "mice" (p < 0.05); `it\' was 3--4 ± 1. 中文 too.',
    year=2020,
    journal="Journal of Cells & Genes",
    source="mine",
    mesh=("Mice", "Tumor Necrosis Factor-alpha", "Cells, Cultured"),
    kind="abstract",
)


def round_trip(form: str, papers: list[Paper], folder: Path) -> list[Paper]:
    module, name = FORMATS[form]
    (folder / name).write_text(module.write(papers), encoding="utf-8")
    return [paper for paper, _ in module.read(folder / name, "mine")]


@pytest.mark.parametrize("form", FORMATS)
def test_what_goes_out_comes_back(form: str, tmp_path: Path) -> None:
    bare = Paper(id="b", title="Only a title", abstract="", source="mine", mesh=("Cells, Cultured",))
    first, second = round_trip(form, [PAPER, bare], tmp_path)
    for field in KEPT:
        assert getattr(first, field) == getattr(PAPER, field), field
        assert getattr(second, field) == getattr(bare, field), field
    again = round_trip(form, [first, second], tmp_path)
    assert again == [first, second]


letters = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters="\u02c6"), min_size=1, max_size=12
)
phrases = st.lists(letters, min_size=1, max_size=6).map(" ".join)


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=phrases, abstract=phrases)
def test_any_text_comes_back(form: str, tmp_path: Path, title: str, abstract: str) -> None:
    sent = PAPER.model_copy(update={"title": title, "abstract": abstract})
    (back,) = round_trip(form, [sent], tmp_path)
    assert (back.title, back.abstract) == (title, abstract)


@pytest.mark.parametrize("form", FORMATS)
def test_every_citation_states_its_standing(form: str, tmp_path: Path) -> None:
    said = Retraction(status="retracted", checked_at="2026-01-02", source="PubMed", detail="2019-01-01: Fraud")
    module, _ = FORMATS[form]
    text = module.write([PAPER, PAPER.model_copy(update={"id": "b", "retraction": said, "retrieved_on": "2026-01-02"})])
    assert "Retraction: not checked" in text
    assert "Retraction: RETRACTED (PubMed, 2026-01-02): 2019-01-01: Fraud; record of 2026-01-02" in text


@pytest.mark.parametrize("form", FORMATS)
def test_a_summary_of_ours_is_not_passed_off_as_the_abstract(form: str) -> None:
    module, _ = FORMATS[form]
    assert "mice" not in module.write([PAPER.model_copy(update={"kind": "summary"})])


def test_bibtex_of_others_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.bib"
    path.write_text(
        '@string{nat = "Nature"}\n@comment{none}\n'
        r"@Article{Key:1, TITLE = {{On {TP53}} and $\beta$-cells: na{\"\i}ve \& \emph{new}}, journal = nat,"
        "\n date = {2019-05-01}, author = {Garc{\\'i}a, J. and {World Health Organization} and Jane van Doe},\n"
        " keywords = {a, b}, note = {x}}\n@book{k2, title = {A book}, year = 1999}\n",
        encoding="utf-8",
    )
    first, second = [paper for paper, _ in bibtex.read(path, "mine")]
    assert first.title == "On TP53 and $\\beta$-cells: naïve & new"
    assert first.authors == ("García, J.", "World Health Organization", "van Doe, Jane")
    assert (first.journal, first.year, first.mesh) == ("Nature", 2019, ("a", "b"))
    assert (second.title, second.year) == ("A book", 1999)


def test_ris_of_others_is_read(tmp_path: Path) -> None:
    """The spellings of PubMed, EndNote and Zotero; \\r\\n and a byte order mark."""
    path = tmp_path / "x.ris"
    text = (
        "\ufeffTY  - JOUR\nT1  - On TP53\nA1  - Doe, J\nY1  - 2019/05//\nJF  - Cells\nN2  - Long\nAN  - 123\n"
        "C2  - PMC5\nDO  - 10.1/x\nKW  - a\nKW  - b\nER  - \n\n"
        "TY  - JOUR\nTI  - Two\nAU  - Roe, K\nPY  - 2001\nT2  - Genes\nER  - \n"
    )
    path.write_text(text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    first, second = [paper for paper, _ in ris.read(path, "mine")]
    assert (first.title, first.authors, first.year, first.journal) == ("On TP53", ("Doe, J",), 2019, "Cells")
    assert (first.ids.pmid, first.ids.pmcid, first.ids.doi) == ("123", "PMC5", "10.1/x")
    assert (first.abstract, first.mesh) == ("Long", ("a", "b"))
    assert (second.title, second.year, second.journal) == ("Two", 2001, "Genes")


def test_csl_of_others_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    items = [
        {"id": 7, "title": "A\n b", "issued": {"raw": "May 2003"}, "author": [{"family": "Berg", "non-dropping-particle": "van", "given": "A"}, {"literal": "WHO"}]},
        {"title": "B", "issued": {"date-parts": [["2001", 5]]}, "PMID": 12},
    ]  # fmt: skip
    path.write_text(json.dumps(items))
    first, second = [paper for paper, _ in csl.read(path, "mine")]
    assert (first.title, first.year, first.authors) == ("A b", 2003, ("van Berg, A", "WHO"))
    assert (second.year, second.ids.pmid) == (2001, "12")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.bib", "@article{a, title={x}}\n@article{a, title={y}}\n", r"x.bib:2: Duplicate entry key 'a'; mend or"),
        ("x.bib", "@article{a, title={x}}\n\n@article{b, title={y\n", r"x.bib:3: .*; mend or remove the entry"),
        ("x.ris", "TY  - JOUR\nTI  - x\n", r"1 entries begin \(TY\) but 0 are whole"),
        ("x.ris", "TY  - JOUR\nAU  - x\nER  - \n", r"entry 1: no title"),
        ("x.json", "[{", "not JSON"),
        ("x.json", "{}", "not a list of CSL items"),
        ("x.json", '[{"title": "a"}, {"id": "b"}]', "item 2: no title"),
        ("x.json", '["a"]', "item 1: no title"),
        ("x.bib", "\ufffd".encode().decode() + "@article{a, title={\udcff}}", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, name: str, text: str, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    module = {".bib": bibtex, ".ris": ris, ".json": csl}[path.suffix]
    with pytest.raises(UnreadableCorpus, match=why) as caught:
        module.read(path, "mine")
    assert "\n" not in str(caught.value)
