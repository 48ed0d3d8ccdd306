"""User PDFs: running text with pages, and refusal of what has no text."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from labwright.errors import UnreadableCorpus
from labwright.tools.evidence import is_verbatim, locate, sentences
from labwright.tools.formats.pdf import document, page_of, read

spec = importlib.util.spec_from_file_location("pdf_bytes", Path(__file__).with_name("pdf_bytes.py"))
assert spec is not None
assert spec.loader is not None
pdf_bytes = sys.modules["pdf_bytes"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pdf_bytes)

ONE = [
    "Journal of Cells 2020, page 1",
    "Expression of IL-6 in airway smooth muscle",
    "doi: 10.1234/jc.2020.5. Received in May.",
    "Introduction",
    "Dexamethasone lowers the expression of interleukin in airway smooth mus-",
    "cle cells of patients, and the response to IL-",
    "6 was measured in twelve donors whose cells were grown for three days be-",
]
TWO = [
    "Journal of Cells 2020, page 2",
    "fore treatment with 100 nM of the drug (or vehicle) in two replicates each.",
    "Differences were tested by a paired t test.",
    "Methods",
    "Reads were aligned with one program and counted with another, as described.",
]
THREE = [
    "Journal of Cells 2020, page 3",
    "Counts were compared by a negative binomial model with the donor as covariate.",
]


def made(folder: Path, pages: list[list[str]], title: str = "") -> Path:
    path = folder / "paper.pdf"
    path.write_bytes(pdf_bytes.pdf(pages, title))
    return path


def test_a_pdf_becomes_running_text_with_pages(tmp_path: Path) -> None:
    [(paper, text)] = read(made(tmp_path, [ONE, TWO, THREE]), "mine")
    assert (paper.title, paper.ids.doi) == ("Expression of IL-6 in airway smooth muscle", "10.1234/jc.2020.5")
    assert (paper.source, paper.kind) == ("mine", "user")
    assert "airway smooth muscle cells of patients, and the response to IL-6 was measured" in text
    assert "page 2" not in text
    assert "\n\nMethods\n\nReads were aligned" in text
    quote = locate("p", text, "grown for three days before treatment with 100 nM")
    assert (page_of(text, quote.start), page_of(text, quote.end)) == (1, 2)
    assert page_of(text, text.index("Counts were")) == 3
    assert all(is_verbatim(q, text) for q in sentences("p", text))
    assert "Differences were tested by a paired t test." in [q.text for q in sentences("p", text)]


def test_the_title_of_the_metadata_comes_first_unless_it_is_a_file_name(tmp_path: Path) -> None:
    [(paper, text)] = read(made(tmp_path, [ONE], "Interleukin in the airway: a trial"), "mine")
    assert paper.title == "Interleukin in the airway: a trial"
    assert text.startswith(paper.title + "\n\n")
    [(paper, _)] = read(made(tmp_path, [ONE], "Microsoft Word - draft v2.docx"), "mine")
    assert paper.title == "Journal of Cells 2020, page 1"


@pytest.mark.parametrize("pages", [[[]], [["Scanned 2020-01-02"], [], []]], ids=["empty", "stamped"])
def test_a_scan_is_refused_with_what_mends_it(tmp_path: Path, pages: list[list[str]]) -> None:
    path = made(tmp_path, pages)
    with pytest.raises(
        UnreadableCorpus, match=r"paper.pdf: a scan without a text layer .*ocrmypdf paper.pdf"
    ) as caught:
        read(path, "mine")
    assert "\n" not in str(caught.value)


def test_what_is_no_pdf_or_is_locked_is_refused(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    whole = made(tmp_path, [ONE, TWO])
    writer = PdfWriter(PdfReader(whole))
    writer.encrypt("secret", algorithm="RC4-128")
    locked = tmp_path / "locked.pdf"
    writer.write(locked)
    with pytest.raises(UnreadableCorpus, match=r"locked.pdf: needs a password"):
        read(locked, "mine")
    for name, body in {"a.pdf": b"", "b.pdf": b"hello", "c.pdf": whole.read_bytes()[:300]}.items():
        (tmp_path / name).write_bytes(body)
        with pytest.raises(UnreadableCorpus, match=name):
            read(tmp_path / name, "mine")
    with pytest.raises(UnreadableCorpus, match="No such file"):
        read(tmp_path / "none.pdf", "mine")


def test_hyphens_are_dropped_only_between_small_letters() -> None:
    assert document(["The non-\nsmall cells of TP-\n53 and beta-\n2 in IL-\n6 mice"]) == (
        "The nonsmall cells of TP-53 and beta-2 in IL-6 mice\n"
    )


def test_ligatures_and_soft_hyphens_are_spelled_out() -> None:
    assert document(["The e\ufb00ect was signi\ufb01cant and coe\ufb03\u00adcient."]) == (
        "The effect was significant and coefficient.\n"
    )
