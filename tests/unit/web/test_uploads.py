"""Files that are uploaded: documents are kept with their pictures, pictures go through the gate in another process."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fastapi import UploadFile
from PIL import Image

from labwright.domain import Paper
from labwright.errors import WrongUse
from labwright.tools.corpus_files import add_files
from labwright.tools.local_corpus import LocalCorpus
from labwright.web import uploads
from labwright.web.uploads import keep_uploads
from labwright.workflows.literature_sources import corpora_dir

CONFIG = '[backends.eyes]\nkind = "scripted"\nscript = "x"\n[figures]\nbackend = "eyes"\nfaces = "{faces}"\n'


def png(colour: str = "white") -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (200, 120), colour).save(kept, "PNG")
    return kept.getvalue()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "labwright.toml"
    path.write_text(CONFIG.format(faces="allow"))
    return path


def upload(name: str, content: bytes) -> UploadFile:
    return UploadFile(io.BytesIO(content), filename=name)


def test_pictures_with_their_legends(config: Path) -> None:
    files = [upload("km_curve.png", png()), upload("b.PNG", png("red")), upload("b.txt", b"A volcano plot, n = 4.")]
    kept = keep_uploads(files, 2**20, config)
    assert kept.corpus == ""
    assert [(p.name, p.legend, p.verdict) for p, _ in kept.pictures] == [
        ("km_curve.png", "km curve", "passed"),
        ("b.png", "A volcano plot, n = 4.", "passed"),
    ]
    assert Image.open(io.BytesIO(kept.pictures[1][1])).getpixel((0, 0)) == (255, 0, 0)


def test_a_refused_picture_leaves_nothing_behind(config: Path) -> None:
    files = [upload("note.md", b"# A note\n\nOn yeast and its growth.\n"), upload("broken.png", b"no picture")]
    with pytest.raises(WrongUse, match=r"cannot be read: broken\.png: unreadable: not a picture"):
        keep_uploads(files, 2**20, config)
    assert not corpora_dir().exists()


def test_without_a_model_that_sees_a_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labwright.toml").write_text("")
    with pytest.raises(WrongUse, match="no model would look at it"):
        keep_uploads([upload("a.png", png())], 2**20, tmp_path / "labwright.toml")


def test_pictures_of_an_uploaded_pdf_are_there_when_the_run_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from pypdf import PdfReader, PdfWriter

    drawn = io.BytesIO()
    Image.new("RGB", (300, 200), "blue").save(drawn, "PDF")
    text = Path(__file__).parents[1] / "tools" / "formats" / "pdf_bytes.py"
    made: dict = {}
    exec(compile(text.read_text(), str(text), "exec"), made)
    lines = [
        "Expression of genes in hearts of fish",
        "Hearts of twelve fish were compared with those of controls in all.",
    ]
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(made["pdf"]([lines]))))
    writer.pages[0].merge_page(PdfReader(drawn).pages[0])
    whole = io.BytesIO()
    writer.write(whole)
    # Added as the command does, but for the index, which would have to fetch its encoder.
    monkeypatch.setattr(uploads, "_add", lambda name, paths: add_files(corpora_dir(), name, paths))
    kept = keep_uploads([upload("fish.pdf", whole.getvalue())], 2**20)
    corpus = LocalCorpus(corpora_dir() / kept.corpus, lambda: pytest.fail("not searched"))
    (paper,) = corpus.papers()
    assert isinstance(paper, Paper)
    assert len(corpus.figures(paper)) == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"data.csv": b"a,b\n1,2\n"}, r"'data\.csv' comes without a data card"),
        ({"card.yaml": b"id: x", "data.csv": b"a,b\n1,2\n"}, r"^card\.yaml: no data card: "),
        ({"card.yml": b"a: ["}, r"^card\.yml: not readable YAML"),
        ({"data.csv.gz": b"plain text"}, r"'data\.csv\.gz' is no CSV\.GZ file"),
        ({"data.tar.gz": b"\x1f\x8b"}, r"files of \.pdf"),
    ],
)
def test_tables_come_with_a_card(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        keep_uploads([upload(name, content) for name, content in files.items()], 2**20)


def test_what_somebody_uploaded_is_offered_to_nobody_else(client) -> None:
    for name in ("upload-0123456789", "mine"):
        (corpora_dir() / name).mkdir(parents=True)
    page = client.get("/new").text
    assert 'value="mine"' in page
    assert "upload-0123456789" not in page
