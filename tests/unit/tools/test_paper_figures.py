"""Pictures that come with papers: which file belongs to which legend, in packages, PDFs and replies of Europe PMC."""

from __future__ import annotations

import importlib.util
import io
import random
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from labwright.errors import SourceUnavailable, UnreadableCorpus
from labwright.tools.corpus_files import add_files
from labwright.tools.europe_pmc import EuropePmcSource, service
from labwright.tools.formats import jats_files, pdf_figures
from labwright.tools.jats import articles
from labwright.tools.local_corpus import LocalCorpus
from labwright.tools.origins import NAME, read_origins
from labwright.tools.paper_figures import MOST_FIGURES, MOST_MIB, SUPPLEMENT, HasFigures, by_page, of_package
from labwright.tools.transport import Transport

HERE = Path(__file__)


def neighbour(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ncbi_server = neighbour("ncbi_server", HERE.with_name("ncbi_server.py"))
pdf_bytes = neighbour("pdf_bytes", HERE.parent / "formats" / "pdf_bytes.py")

JATS = """<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>
<article-id pub-id-type="pmcid">PMC5</article-id><title-group><article-title>Hearts of fish</article-title></title-group>
</article-meta></front><body><sec><title>Results</title><p>Hearts beat<inline-graphic xlink:href="sign1"/>.</p>
<fig id="f1"><label>Figure 1</label><caption><p>Survival (n = 12).</p></caption><graphic xlink:href="a-g001"/></fig>
<fig id="f2"><label>Figure 2</label><caption><p>Counts.</p></caption><graphic xlink:href="a-g002.tif"/></fig>
<disp-formula><graphic xlink:href="a-e001.jpg"/></disp-formula></sec></body></article>"""
FILES = ["x/a-g001.gif", "x/a-g001.jpg", "x/a-g002.jpg", "x/a-e001.jpg", "x/sign1.gif", "x/s1.png", "x/table.xlsx"]


def test_legends_go_to_the_files_that_their_figures_name() -> None:
    (article,) = articles(JATS.encode())
    assert [f.graphics for f in article.figures] == [("a-g001",), ("a-g002.tif",)]
    assert article.other_graphics == ("a-e001.jpg", "sign1")
    found = of_package(article, FILES, str.encode)
    assert [(f.name, f.label, f.legend, f.image) for f in found] == [
        ("a-g001.jpg", "Figure 1", "Survival (n = 12).", b"x/a-g001.jpg"),  # the full size, not the thumbnail
        ("a-g002.jpg", "Figure 2", "Counts.", b"x/a-g002.jpg"),
        ("s1.png", SUPPLEMENT, "", b"x/s1.png"),  # no formula, no sign, no table
    ]


def test_what_is_too_large_or_too_much_is_left_out() -> None:
    (article,) = articles(JATS.encode())
    assert [f.name for f in of_package(article, FILES, lambda n: None if "g001" in n else b"x")] == [
        "a-g002.jpg",
        "s1.png",
    ]
    many = [f"s{n}.png" for n in range(99)]
    assert len(of_package(article, many, str.encode)) == MOST_FIGURES


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ([("Fig 1", "One.")], [("Fig 1", "One.")] * 2),
        ([("Fig 1", "One."), ("Fig 2", "Two.")], [("Fig 1", "One."), ("Fig 2", "Two.")]),
        ([("a", ""), ("b", ""), ("c", "")], [("", "")] * 2),
        ([], [("", "")] * 2),
    ],
)
def test_legends_of_a_page_are_told_apart_by_number_or_not_at_all(captions: Any, expected: Any) -> None:
    assert by_page(["x", "y"], captions) == expected


def picture(size: tuple[int, int] = (160, 120), colour: str = "red", form: str = "PNG") -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", size, colour).save(kept, form)
    return kept.getvalue()


def pdf_with_pictures(path: Path, sizes: list[tuple[int, int]]) -> None:
    """A page of text and one of pictures each, as scanners make them, with a legend on the first."""
    from pypdf import PdfReader, PdfWriter

    text = io.BytesIO(pdf_bytes.pdf([["Hearts of fish", "Figure 1. Survival of twelve fish."]]))
    writer = PdfWriter(clone_from=PdfReader(text))
    for size in sizes:
        page = io.BytesIO()
        Image.new("RGB", size, "blue").save(page, "PDF")
        other = PdfReader(page).pages[0]
        writer.pages[0].merge_page(other)
    writer.write(path)


def test_pictures_of_a_pdf_with_the_legend_of_their_page(tmp_path: Path) -> None:
    pdf_with_pictures(tmp_path / "a.pdf", [(300, 200), (30, 200)])
    (found,) = pdf_figures.figures(tmp_path / "a.pdf")  # the narrow one is no figure
    assert (found.label, found.legend) == ("Figure 1", "Survival of twelve fish.")
    assert found.name.startswith("page 1, ")
    assert Image.open(io.BytesIO(found.image)).size == (300, 200)


def test_a_legend_over_several_lines_ends_where_its_sentence_does() -> None:
    page = "\n".join([
        "and the text of the paper goes on as it does over many lines of it,",
        "Figure 2. Counts of reads in twelve hearts of zebrafish larvae with and",
        "without the drug (n = 12); bars are standard errors of the mean of all",
        "of them.",
        "The text of the paper goes on as it does over many lines of the page.",
        "Fig. 3: Another one that is short and stands alone on the whole line.",
    ])  # fmt: skip
    assert pdf_figures.legends(page) == [
        ("Figure 2", "Counts of reads in twelve hearts of zebrafish larvae with and without the drug (n = 12); bars are "
         "standard errors of the mean of all of them."),
        ("Fig. 3", "Another one that is short and stands alone on the whole line."),
    ]  # fmt: skip


def test_a_broken_pdf_has_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 nothing")
    assert pdf_figures.figures(tmp_path / "a.pdf") == []


def never() -> Any:
    raise AssertionError


def test_a_corpus_knows_where_the_pictures_of_its_documents_are(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "one.nxml").write_text(JATS)
    (files / "a-g001.png").write_bytes(b"figure one")
    (files / "other.png").write_bytes(b"of another article")
    with tarfile.open(files / "dump.tar.gz", "w:gz") as tar:
        for name, body in {
            "P1/a.nxml": JATS.encode(),
            "P1/a-g002.jpg": b"two",
            "P1/s.png": b"s",
            "P2/q.png": b"q",
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    add_files(tmp_path / "corpora", "mine", [files])
    corpus = LocalCorpus(tmp_path / "corpora" / "mine", never)
    assert isinstance(corpus, HasFigures)
    dump, one = corpus.papers()
    assert [(f.label, f.image) for f in corpus.figures(one)] == [("Figure 1", b"figure one")]
    assert [(f.label, f.image) for f in corpus.figures(dump)] == [("Figure 2", b"two"), (SUPPLEMENT, b"s")]
    (files / "one.nxml").rename(files / "moved.nxml")
    assert corpus.figures(one) == []


def test_a_document_cannot_name_files_itself(tmp_path: Path) -> None:
    secret = tmp_path / "secret.pdf"
    pdf_with_pictures(secret, [(300, 200)])
    lines = tmp_path / "taken.pdf.jsonl"
    lines.write_text(f'{{"title": "T", "text": "Some text.", "file": "{secret}", "document": 0}}\n')
    add_files(tmp_path / "corpora", "mine", [lines])
    corpus = LocalCorpus(tmp_path / "corpora" / "mine", never)
    assert corpus.figures(corpus.papers()[0]) == []
    assert read_origins(tmp_path / "corpora" / "mine") == {}
    assert not (tmp_path / "corpora" / "mine" / NAME).exists()


def test_an_article_that_is_not_there_has_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "one.nxml").write_text(JATS)
    assert jats_files.figures(tmp_path / "one.nxml", 3) == []


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    with ncbi_server.serving() as server:
        yield server, EuropePmcSource(Transport(service(server.base_url), sleep=lambda seconds: None))


def archive(**members: bytes) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as made:
        for name, body in members.items():
            made.writestr(name.replace("__", ".").replace("_", "-"), body)
    return kept.getvalue()


def open_paper() -> Any:
    from labwright.domain import Paper, PaperIds

    return Paper(id="p", ids=PaperIds(pmcid="PMC5"), title="T", abstract="A.", source="europepmc", kind="full_text")


def test_figures_and_supplement_of_an_open_article(asked: Any) -> None:
    server, source = asked
    huge = bytes(MOST_MIB * 2**20 + 1)  # unpacks to more than a picture may have
    server.answer(JATS).answer(archive(a_g001__jpg=b"one", a_g002__png=huge, s1__png=b"s"))
    assert isinstance(source, HasFigures)
    assert [(f.label, f.image) for f in source.figures(open_paper())] == [("Figure 1", b"one"), (SUPPLEMENT, b"s")]
    assert server.asked[1] == ("supplementaryFiles", {"includeInlineImage": ["true"]})


def test_a_reply_that_is_no_archive(asked: Any) -> None:
    server, source = asked
    server.answer(JATS)
    for _ in range(4):
        server.answer("<html>busy</html>")
    with pytest.raises(SourceUnavailable, match="not a whole ZIP archive"):
        source.figures(open_paper())
    assert source.figures(open_paper().model_copy(update={"kind": "abstract"})) == []


def test_a_package_that_was_cut_off_since_says_so_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "dump.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, body in {"P/a.nxml": JATS.encode(), "P/a-g001.jpg": random.Random(0).randbytes(90_000)}.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    path.write_bytes(path.read_bytes()[:40_000])
    with pytest.raises(UnreadableCorpus, match=r"dump\.tar\.gz: cut off"):
        jats_files.figures(path, 0)
