"""Tables of a user, on the command line and as an upload, to an analysis in the sandbox that finds what was planted."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from fastapi import UploadFile
from typer.testing import CliRunner

from labwright.cli import app
from labwright.config import cache_dir
from labwright.errors import WrongUse
from labwright.sandbox.contract import Job
from labwright.web.uploads import keep_uploads
from labwright.workflows.data import allowed_cards, data_folder, verified

pytestmark = pytest.mark.docker
CARD = """\
id: our-cells
title: Cells with and without a drug
description: Expression of sixty genes in cells with and without a drug.
organism: Homo sapiens
assay: RNA-seq, log2
samples: samples.csv
matrix: expression.tsv
columns:
  treatment: {type: categorical, description: Treatment, levels: [none, drug]}
"""
N = 16


def tables() -> dict[str, bytes]:
    """Gene G0 is three log units higher under the drug."""
    names = [f"c{i}" for i in range(N)]
    samples = ["name,treatment", *(f"{n},{'drug' if i % 2 else 'none'}" for i, n in enumerate(names))]
    rows = ["\t".join(["gene", *names])]
    for g in range(60):
        values = [f"{6 + (i * 7 + g * 3) % 5 / 10 + (3 * (i % 2) if g == 0 else 0):.3f}" for i in range(N)]
        rows.append("\t".join([f"G{g}", *values]))
    return {
        "card.yaml": CARD.encode(),
        "samples.csv": "\n".join(samples).encode(),
        "expression.tsv": "\n".join(rows).encode(),
    }


@pytest.fixture(autouse=True)
def _own_cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cards and data of the test's own, in the engine of this machine."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "engine").symlink_to(cache_dir() / "engine")
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))


def labwright(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_tables_are_imported_analysed_and_removed(sandbox, tmp_path: Path) -> None:
    for name, content in tables().items():
        (tmp_path / name).write_bytes(content)
    card = json.loads(labwright("datasets", "import", tmp_path / "card.yaml", "--json"))
    assert (card["n_samples"], card["n_features"], card["groups"]) == (N, 60, {"treatment": {"none": 8, "drug": 8}})
    assert verified("our-cells", sandbox.run)[0]
    folder = data_folder("our-cells", sandbox.run)
    script = (
        "from pathlib import Path\nfrom labwright.tools.analysis import open_study, differential_expression\n"
        "study = open_study(Path('/in/own'), Path('/out'))\n"
        "differential_expression(study, group_column='treatment', reference='none', test='drug')\n"
    )
    result = sandbox.run(Job(script=script, inputs={"own": folder}), tmp_path / "out")
    assert result.ok, result.stderr
    first = (tmp_path / "out" / "differential_expression.csv").read_text().splitlines()[1]
    assert first.startswith("G0,")
    labwright("datasets", "remove", "our-cells")
    assert "our-cells" not in allowed_cards(())


def uploads(**changed: bytes) -> list[UploadFile]:
    files = {**tables(), **{name.replace("__", "."): content for name, content in changed.items()}}
    return [UploadFile(io.BytesIO(content), filename=name) for name, content in files.items()]


def test_uploaded_tables_are_for_the_run_that_names_them(sandbox) -> None:
    kept = keep_uploads(uploads(), 2**20)
    (name,) = kept.datasets
    assert name.startswith("our-cells-")
    assert name not in allowed_cards(())
    assert list(allowed_cards(kept.datasets)) == [name]
    assert verified(name, sandbox.run)[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"samples__csv": b"name,treatment\nc0,drug\n\xff\xfe"}, r"samples\.csv is no table"),
        ({"samples__csv": b"name,treatment\nz,drug\n"}, r"expression\.tsv has no column for 1 samples"),
        (
            {"card__yaml": CARD.replace("samples.csv", "other.csv").encode()},
            r"other\.csv: no such file; card\.yaml names it",
        ),
        ({"note__md": b"# Nothing", "note__pdf": b"%PDF-1.4 broken"}, r"note\.pdf"),
    ],
)
def test_an_upload_that_is_refused_leaves_nothing_behind(
    sandbox, tmp_path: Path, changed: dict[str, bytes], message: str
) -> None:
    with pytest.raises(WrongUse, match=message):
        keep_uploads(uploads(**changed), 2**20)
    assert not list((tmp_path / "cache").glob("cards/*"))
    assert not list((tmp_path / "cache").glob("datasets/our-cells*/*"))
