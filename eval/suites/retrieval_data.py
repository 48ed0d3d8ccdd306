"""The test collections of `labwright bench retrieval`, read from LABWRIGHT_TEST_DATA and never copied in.

SciFact (Wadden et al. 2020; abstracts ODC-By 1.0, claims CC BY 4.0): its 300 validation claims with their 339 cited
abstracts are BEIR's test queries. MEDLARS: 1,033 abstracts, 30 queries.
"""

from __future__ import annotations

import ast
import csv
import io
import os
import re
import tokenize
import zipfile
from dataclasses import dataclass
from pathlib import Path

from labwright.errors import SomethingMissing
from labwright.tools.index_records import IndexedDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query and the ids of the documents that are relevant to it."""

    id: str
    text: str
    relevant: tuple[str, ...]
    evidence: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    """Document id, SUPPORT or CONTRADICT, and the indices of the sentences that say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstract:
    """One abstract of SciFact."""

    id: str
    title: str
    sentences: tuple[str, ...]

    def document(self) -> IndexedDocument:
        """As the index takes it; every sentence is a line, as the collection cuts them."""
        return IndexedDocument(id=self.id, title=self.title, text="\n".join(self.sentences), type="abstract")


def data_dir() -> Path:
    """Folder of the test data.

    Raises:
        SomethingMissing: it is not there.
    """
    folder = Path(os.environ.get("LABWRIGHT_TEST_DATA", "../shared/data"))
    if not (folder / "retrieval" / "scifact" / "scifact.zip").is_file():
        raise SomethingMissing(f"{folder / 'retrieval'}: no test collections; set LABWRIGHT_TEST_DATA to their folder")
    return folder


def scifact_abstracts() -> list[Abstract]:
    """The 5,183 abstracts."""
    return [
        Abstract(id=row["doc_id"], title=row["title"], sentences=tuple(_printed(row["abstract"])))
        for row in _csv("corpus_train.csv")
    ]


def scifact_claims(split: str) -> list[Query]:
    """Claims of the split "train" (809) or "validation" (300) with the abstracts that they cite."""
    held = {abstract["doc_id"] for abstract in _csv("corpus_train.csv")}
    claims: dict[str, dict[str, str]] = {}
    evidence: dict[str, list[tuple[str, str, tuple[int, ...]]]] = {}
    for row in _csv(f"claims_{split}.csv"):
        claims[row["id"]] = row
        if row["evidence_doc_id"]:
            where = tuple(int(n) for n in re.findall(r"\d+", row["evidence_sentences"]))
            evidence.setdefault(row["id"], []).append((row["evidence_doc_id"], row["evidence_label"], where))
    return [
        Query(
            id=name,
            text=row["claim"],
            relevant=tuple(d for d in dict.fromkeys(re.findall(r"\d+", row["cited_doc_ids"])) if d in held),
            evidence=tuple(evidence.get(name, ())),
        )
        for name, row in claims.items()
    ]


def medlars() -> tuple[list[IndexedDocument], list[Query]]:
    """The 1,033 abstracts, which have no title, and the 30 queries."""
    folder = data_dir() / "retrieval" / "med"
    documents = [IndexedDocument(id=name, text=text) for name, text in _records(folder / "MED.ALL") if text]
    relevant: dict[str, list[str]] = {}
    for line in (folder / "MED.REL").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[3] == "1":
            relevant.setdefault(fields[0], []).append(fields[2])
    queries = [Query(id=n, text=t, relevant=tuple(relevant.get(n, ()))) for n, t in _records(folder / "MED.QRY")]
    return documents, queries


def _records(path: Path) -> list[tuple[str, str]]:
    blocks = re.split(r"^\.I ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    parts = [block.split("\n.W", 1) for block in blocks]
    return [(part[0].strip(), " ".join(part[1].split()) if len(part) > 1 else "") for part in parts]


def _csv(name: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(data_dir() / "retrieval" / "scifact" / "scifact.zip") as archive:
        return list(csv.DictReader(io.StringIO(archive.read(name).decode("utf-8"))))


def _printed(array: str) -> list[str]:
    # A printed numpy array: string literals without commas, which a parser would join into one.
    tokens = tokenize.generate_tokens(io.StringIO(array).readline)
    return [str(ast.literal_eval(token.string)) for token in tokens if token.type == tokenize.STRING]
