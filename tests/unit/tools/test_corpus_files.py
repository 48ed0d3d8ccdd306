"""Files of every format into a corpus and references out of it."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest
from fakes import hashed_encoder
from typer.testing import CliRunner

from labwright.cli import app
from labwright.domain import Paper
from labwright.errors import UnreadableCorpus, WrongUse
from labwright.tools.corpus_files import add_files, export
from labwright.tools.full_text import obtain
from labwright.tools.index_store import Embedder, LiteratureIndex
from labwright.tools.local_corpus import LocalCorpus


def never() -> LiteratureIndex:
    raise AssertionError


spec = importlib.util.spec_from_file_location("pdf_bytes", Path(__file__).parent / "formats" / "pdf_bytes.py")
assert spec is not None
assert spec.loader is not None
pdf_bytes = sys.modules["pdf_bytes"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pdf_bytes)

JATS = (
    "<article><front><article-meta><article-id pub-id-type='pmcid'>PMC{n}</article-id><article-id pub-id-type='doi'>"
    "10.1/{n}</article-id><title-group><article-title>Study {n} of zebrafish hearts</article-title></title-group>"
    "<contrib-group><contrib contrib-type='author'><name><surname>Doe</surname><given-names>J</given-names></name>"
    "</contrib></contrib-group><abstract><p>Hearts of {n} fish were seen.</p></abstract></article-meta></front>"
    "<body><sec><title>Methods</title><p>We counted {n} hearts in larvae.</p></sec></body></article>"
)
BIB = "@article{a, title={With an abstract}, abstract={Mice were studied.}, doi={10.1/a}, year=2020}\n@article{b, title={Without one}, doi={10.1/b}}\n"
LINES = [
    "Kidneys of mice under a diet",
    "Kidneys were weighed after a diet of twelve weeks and compared with those of controls.",
]


def package(path: Path, **members: bytes) -> Path:
    """A package of the open access subset; `__` in a name stands for the dot."""
    with tarfile.open(path, "w:gz") as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(f"PMC1/{name.replace('__', '.')}")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """One file of each format."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "one.nxml").write_text(JATS.format(n=1))
    package(folder / "dump.tar.gz", a__nxml=JATS.format(n=2).encode(), b__xml=JATS.format(n=3).encode(), p__pdf=b"%PDF")
    (folder / "mine.pdf").write_bytes(pdf_bytes.pdf([LINES]))
    (folder / "refs.bib").write_text(BIB)
    (folder / "refs.ris").write_text("TY  - JOUR\nTI  - From RIS\nAB  - Rats were studied.\nER  - \n")
    (folder / "refs.json").write_text(json.dumps([{"id": "c", "title": "From CSL", "abstract": "Flies were studied."}]))
    (folder / "note.md").write_text("# A note\n\nSomething noted about yeast.\n")
    return folder


TITLES = [
    "A note", "From CSL", "From RIS", LINES[0], "Study 1 of zebrafish hearts", "Study 2 of zebrafish hearts",
    "Study 3 of zebrafish hearts", "With an abstract", "Without one",
]  # fmt: skip


def test_every_format_comes_in_and_is_found(tmp_path: Path, files: Path) -> None:
    added = add_files(tmp_path / "corpora", "mine", sorted(files.iterdir()))
    assert (len(added.files), added.documents) == (7, 8)
    corpus = LocalCorpus(
        tmp_path / "corpora" / "mine",
        lambda: LiteratureIndex(tmp_path / "index", Embedder(name="hashed", encode=hashed_encoder)),
    )
    assert sorted(paper.title for paper in corpus.papers()) == TITLES
    assert corpus.search("counted 3 hearts in larvae", 1)[0].ids.pmcid == "PMC3"
    kinds = {paper.title: paper.kind for paper in corpus.papers()}
    assert (kinds["Study 1 of zebrafish hearts"], kinds["With an abstract"], kinds[LINES[0]]) == (
        "full_text",
        "abstract",
        "user",
    )
    (paper,) = [p for p in corpus.papers() if p.ids.pmcid == "PMC1"]
    assert (paper.authors, paper.abstract) == (("Doe, J",), "Hearts of 1 fish were seen.")
    assert obtain(corpus, paper) == (paper, corpus.text(paper))
    assert "We counted 1 hearts" in corpus.text(paper)


def test_a_folder_comes_in_as_one_file_and_again_in_its_place(tmp_path: Path, files: Path) -> None:
    """The PDF beside JATS files is their copy; a second time nothing is doubled."""
    for _ in range(2):
        added = add_files(tmp_path / "corpora", "mine", [files])
    assert [path.name for path in added.files] == ["files.jsonl"]
    papers = LocalCorpus(tmp_path / "corpora" / "mine", never).papers()
    assert sorted(paper.title for paper in papers) == [t for t in TITLES if t != LINES[0]]


def test_papers_without_full_text_are_listed_for_the_user(tmp_path: Path, files: Path) -> None:
    added = add_files(tmp_path / "corpora", "mine", [files / "refs.bib", files / "one.nxml"])
    assert [(w.title, w.doi) for w in added.wanted] == [("With an abstract", "10.1/a"), ("Without one", "10.1/b")]
    assert all("no open full text" in w.why for w in added.wanted)


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("a.nxml", JATS.format(n=1)[:200].encode(), "not whole JATS"),
        ("a.xml", b"<feed><entry/></feed>", "no JATS article in it"),
        ("a.tar.gz", b"no gzip", "a.tar.gz"),
        ("a.pdf", b"%PDF-1.4", "not a whole PDF"),
        ("a.bib", b"", "no document in it"),
        ("a.docx", b"PK", "not one of .jsonl"),
    ],
)
def test_a_refused_file_leaves_the_corpus_as_it_was(
    tmp_path: Path, files: Path, name: str, body: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(UnreadableCorpus, match=why) as caught:
        add_files(tmp_path / "corpora", "mine", [files / "one.nxml", tmp_path / name])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "corpora").exists()


def test_a_cut_off_package_is_refused(tmp_path: Path) -> None:
    whole = package(tmp_path / "p.tar.gz", a__nxml=JATS.format(n=2).encode() * 1, b__nxml=bytes(range(256)) * 4000)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(UnreadableCorpus, match=r"p\.tar\.gz"):
        add_files(tmp_path / "corpora", "mine", [whole])


def test_names_of_sources_are_taken(tmp_path: Path, files: Path) -> None:
    with pytest.raises(WrongUse, match="europepmc"):
        add_files(tmp_path / "corpora", "europepmc", [files / "one.nxml"])
    with pytest.raises(UnreadableCorpus, match="No such file"):
        add_files(tmp_path / "corpora", "mine", [tmp_path / "none.bib"])


@pytest.mark.parametrize("form", ["bibtex", "ris", "csl"])
def test_a_corpus_goes_out_and_comes_back_as_another(tmp_path: Path, files: Path, form: str) -> None:
    add_files(tmp_path / "corpora", "mine", [files / "one.nxml", files / "dump.tar.gz", files / "refs.bib"])
    out = tmp_path / {"bibtex": "out.bib", "ris": "out.ris", "csl": "out.json"}[form]
    out.write_text(export(tmp_path / "corpora", "mine", form), encoding="utf-8")
    add_files(tmp_path / "corpora", "copy", [out])

    def facts(name: str) -> list[tuple[object, ...]]:
        papers: list[Paper] = LocalCorpus(tmp_path / "corpora" / name, never).papers()
        return sorted((p.title, p.authors, p.ids.doi, p.ids.pmcid, p.year or 0, p.abstract) for p in papers)

    assert len(facts("mine")) == 5
    assert facts("copy") == facts("mine")


def test_the_commands(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    run = CliRunner()
    added = run.invoke(app, ["corpus", "add", "mine", str(files / "refs.bib"), "--json"])
    assert json.loads(added.stdout)["wanted"][1]["doi"] == "10.1/b"
    shown = run.invoke(app, ["corpus", "add", "mine", str(files / "refs.bib")])
    assert "2 papers without full text" in shown.stdout
    table = tmp_path / "retraction_watch.csv"
    table.write_text(
        "Record ID,OriginalPaperDOI,OriginalPaperPubMedID,RetractionNature,RetractionDate,Reason\n"
        "1,10.1/A,0,Retraction,1/2/2021 0:00,+Fraud;\n"
    )
    assert "1 notices, the newest of 2021-01-02" in run.invoke(app, ["corpus", "retractions", str(table)]).stdout
    exported = run.invoke(app, ["corpus", "export", "mine", "--format", "bibtex"]).stdout
    assert "Retraction: RETRACTED (Retraction Watch (newest notice 2021-01-02)" in exported
    assert "Retraction: none known (Retraction Watch" in exported
    run.invoke(app, ["corpus", "export", "embedded", "--format", "csl", "--out", str(tmp_path / "e.json")])
    assert len(json.loads((tmp_path / "e.json").read_text())) >= 54


def test_a_line_cannot_vouch_for_its_own_standing_nor_pass_for_a_summary_of_ours(tmp_path: Path) -> None:
    line = {
        "title": "T",
        "text": "Body of it.",
        "kind": "summary",
        "retraction": {"status": "none", "source": "me"},
        "authors": ["Doe, J"],
    }
    odd = {"title": "U", "text": "Another body.", "authors": 7, "mesh": {"a": 1}, "kind": ["x"]}
    (tmp_path / "x.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(odd) + "\n")
    add_files(tmp_path / "corpora", "mine", [tmp_path / "x.jsonl"])
    first, second = LocalCorpus(tmp_path / "corpora" / "mine", never).papers()
    assert (first.kind, first.retraction.status, first.authors) == ("user", "unknown", ("Doe, J",))
    assert (second.kind, second.authors, second.mesh) == ("user", (), ())
