"""A GEO series from a local server to an analysis in the sandbox: the catalogue's shape, and a planted difference found."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from labwright.errors import NoUsableData
from labwright.sandbox.contract import Job
from labwright.tools.catalogue import catalogue
from labwright.workflows.data import data_folder, verified
from labwright.workflows.geo_series import add_series

pytestmark = pytest.mark.docker
UNIT = Path(__file__).parents[1] / "unit"


def module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    made = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


server = module(UNIT / "tools" / "ncbi_server.py")
said = module(UNIT / "workflows" / "test_data.py")
N = 16


def matrix() -> bytes:
    """Feature p0 is three log units higher under the drug."""
    names = [f"GSM{i}" for i in range(N)]
    drug = [i % 2 for i in range(N)]
    head = (
        ["!Sample_geo_accession", *names],
        ["!Sample_characteristics_ch1", *(f"treatment: {'drug' if d else 'none'}" for d in drug)],
    )
    rows = [["ID_REF", *names]]
    rows += [
        [f"p{j}", *(f"{6 + (i * 7 + j * 3) % 5 / 10 + (3 * d if j == 0 else 0):.3f}" for i, d in enumerate(drug))]
        for j in range(60)
    ]
    text = "\n".join(
        "\t".join(row) for row in (*head, ["!series_matrix_table_begin"], *rows, ["!series_matrix_table_end"])
    )
    return gzip.compress(text.encode() + b"\n")


@pytest.fixture
def geo(monkeypatch, tmp_path):
    with server.serving() as fake:
        for name in ("NCBI", "GEO_PAGES", "GEO_FILES"):
            monkeypatch.setenv(f"LABWRIGHT_{name}_URL", fake.base_url)
        monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
        yield fake


def test_a_series_is_added_and_analysed(geo, sandbox, tmp_path):
    said.geo_answers(geo, size=len(matrix()))
    geo.answer(matrix())
    card = add_series("GSE777777", sandbox.run, 8)
    assert (card["n_samples"], card["n_features"]) == (N, 60)
    assert card["groups"] == {"treatment": {"drug": 8, "none": 8}}
    assert catalogue.card("gse777777")["files"] == card["files"]
    ok, line = verified("gse777777", sandbox.run)
    assert ok
    assert "16 samples, 60 features" in line
    folder = data_folder("GSE777777", sandbox.run)
    script = (
        "from pathlib import Path\nfrom labwright.tools.analysis import open_study, differential_expression\n"
        "study = open_study(Path('/in/gse777777'), Path('/out'))\n"
        "differential_expression(study, group_column='treatment', reference='none', test='drug')\n"
    )
    out = tmp_path / "out"
    result = sandbox.run(Job(script=script, inputs={"gse777777": folder}), out)
    assert result.ok, result.stderr
    tables = "".join(path.read_text() for path in out.glob("*.csv"))
    assert tables.splitlines()[1].startswith("p0,") or "\np0," in tables
    findings = json.loads(next(out.glob("*.json")).read_text())
    assert findings


def test_a_series_that_is_catalogued_or_not_verified_is_not_added(geo, sandbox):
    with pytest.raises(NoUsableData, match="GSE52778 is in the catalogue already, as airway"):
        add_series("GSE52778", sandbox.run, 8)
    said.geo_answers(geo, n=15)
    with pytest.raises(NoUsableData, match=r"GSE777777 cannot be used: .*15 sample records, not 16"):
        add_series("GSE777777", sandbox.run, 8)
    assert catalogue.added_cards() == ()
