"""Ordinary research text, on which the screen of untrusted text should stay silent; read from LABWRIGHT_TEST_DATA.

SciFact (5,183 abstracts) and MEDLARS (1,033) were looked at while the screen was made; PubMedQA (500) was not.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import tokenize
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from labwright.errors import SomethingMissing

FOLDER = "LABWRIGHT_TEST_DATA"


def data_folder() -> Path:
    """Folder of the test data.

    Raises:
        SomethingMissing: it is not there.
    """
    folder = Path(os.environ.get(FOLDER, "../shared/data"))
    if not (folder / "retrieval" / "scifact" / "scifact.zip").is_file():
        raise SomethingMissing(f"{folder}: no test collections; set {FOLDER} to their folder")
    return folder


def scifact() -> list[tuple[str, str]]:
    """Id and text (title, a line, abstract) of the abstracts of SciFact."""
    with zipfile.ZipFile(data_folder() / "retrieval" / "scifact" / "scifact.zip") as archive:
        rows = csv.DictReader(io.StringIO(archive.read("corpus_train.csv").decode("utf-8")))
        return [(row["doc_id"], f"{row['title']}\n{' '.join(_printed(row['abstract']))}") for row in rows]


def medlars() -> list[tuple[str, str]]:
    """Id and text of the abstracts of MEDLARS."""
    text = (data_folder() / "retrieval" / "med" / "MED.ALL").read_text(encoding="utf-8")
    blocks = [block.split("\n.W", 1) for block in re.split(r"^\.I ", text, flags=re.MULTILINE)[1:]]
    return [(b[0].strip(), " ".join(b[1].split())) for b in blocks if len(b) > 1 and b[1].strip()]


def pubmedqa() -> list[tuple[str, str]]:
    """Id and abstract of the labelled questions of PubMedQA."""
    raw = json.loads((data_folder() / "pubmedqa" / "pqal_train.json").read_text(encoding="utf-8"))
    items = raw.items() if isinstance(raw, dict) else ((str(n), item) for n, item in enumerate(raw))
    return [(str(name), _context(item)) for name, item in items]


def _context(item: Mapping[str, object]) -> str:
    found = item.get("CONTEXTS") or item.get("context") or item.get("contexts")
    if isinstance(found, Mapping):
        found = found.get("contexts")
    return " ".join(map(str, found)) if isinstance(found, list) else str(found)


COLLECTIONS: Mapping[str, Callable[[], list[tuple[str, str]]]] = {
    "scifact": scifact,
    "medlars": medlars,
    "pubmedqa": pubmedqa,
}
"""Collection to its reader."""


def _printed(array: str) -> list[str]:
    # A printed numpy array: string literals without commas, which a parser would join into one.
    tokens = tokenize.generate_tokens(io.StringIO(array).readline)
    return [str(ast.literal_eval(token.string)) for token in tokens if token.type == tokenize.STRING]
