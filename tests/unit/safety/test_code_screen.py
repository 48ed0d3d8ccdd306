"""The look at generated code before the sandbox: what it finds, and by name what only the sandbox stops.

Every script here is text; none is ever run.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from labwright.safety.code_screen import LITERALS, NETWORK, RANDOM, CodeFinding, screen_code
from labwright.tools import analysis
from labwright.tools.analysis.contracts import OPERATORS

HONEST = """\
import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

table = pd.read_parquet("/in/gse7390/expression.parquet")
rng = np.random.default_rng(7)
order = rng.permutation(len(table))
summary = pd.DataFrame({"gene": table.columns, "mean": table.mean()})
summary.to_csv("summary.csv", index=False)
"""


def rules(script: str) -> list[str]:
    return [finding.rule for finding in screen_code(script)]


def test_an_honest_script_has_no_finding() -> None:
    assert screen_code(HONEST) == []


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_the_operators_of_the_project_have_no_finding(name: str) -> None:
    sources = [p.read_text(encoding="utf-8") for p in Path(analysis.__file__).parent.glob("*.py")]
    source = next(s for s in sources if f"def {name}(" in s)
    assert screen_code(source) == []


@pytest.mark.parametrize(
    "line",
    [
        *[f"import {name}" for name in sorted(NETWORK)],
        "import requests as r",
        "import urllib.request",
        "from urllib.request import urlopen as read_csv",
        "from httpx import *",
        "def load():\n    from requests import get\n    return get",
        "try:\n    import requests\nexcept ImportError:\n    requests = None",
        "if False:\n    import aiohttp",
        "f = lambda: 0; import ftplib",
    ],
)
def test_an_import_of_the_network_is_found_wherever_it_stands(line: str) -> None:
    assert rules(line) == ["network"]


@pytest.mark.parametrize("line", ["import requests_cache", "import mysocket", "requests = 1", "# import requests"])
def test_names_that_only_look_like_the_network_are_not(line: str) -> None:
    assert rules(line) == []


@pytest.mark.parametrize(
    "line",
    [
        *[f"x = np.random.{name}(size=9)" for name in sorted(RANDOM)],
        "x = rng.normal(0, 1, 9)",
        "np.random.default_rng(0).normal()",
        "(n := np.random).normal()",
        "x = [np.random.rand() for _ in range(9)]",
        "def f():\n    def g():\n        return rng.uniform()\n    return g",
        "@rng.normal()\ndef f(): ...",
        "def f(x=np.random.rand()): ...",
        "f'{rng.normal():.2f}'",
        "X, y = make_classification()",
        "x = getattr(np, 'random').normal()",
        "x = __import__('numpy').random.normal()",
        "x = np\\\n.random\\\n.normal()",
        "x = rng.\uff4e\uff4frmal()",  # wide letters, which the parser reads as "normal"
    ],
)
def test_random_data_is_found_wherever_it_is_drawn(line: str) -> None:
    assert rules(line) == ["made_up_data"]


@pytest.mark.parametrize("line", ["make_pipeline(a, b)", "make_scorer(f)", "make_column_transformer((a, b))"])
def test_builders_of_scikit_learn_are_not_data(line: str) -> None:
    assert rules(line) == []


@pytest.mark.parametrize("frame", ["pd.DataFrame", "DataFrame", "pd.Series", "anndata.AnnData"])
def test_a_typed_in_table_is_found_at_the_limit_and_not_below(frame: str) -> None:
    assert rules(f"{frame}({list(range(LITERALS - 1))})") == []
    assert rules(f"{frame}({list(range(LITERALS))})") == ["made_up_data"]
    assert rules(f"{frame}([-1.0, {', '.join('+2' for _ in range(LITERALS - 1))}])") == ["made_up_data"]
    nested = {"gene": ["a", "b", "c"], "p": [[1], (2,), {3}], "q": [4, 5, 6], "r": (7, 8, 9)}
    assert rules(f"{frame}({nested})") == ["made_up_data"]


def test_a_computed_table_with_many_columns_is_not_typed_in() -> None:
    columns = ", ".join(f"'c{i}': result['c{i}'].round(3)" for i in range(20))
    assert rules(f"pd.DataFrame({{{columns}}})") == []


@pytest.mark.parametrize(
    "text", ["path/to/data.csv", "PATH/TO/x", "/your_data/x", "your_file", "<file name>", "example.csv", "/your/x"]
)
def test_a_placeholder_path_is_found_also_inside_an_f_string(text: str) -> None:
    assert rules(f"open({text!r})") == ["placeholder"]
    assert rules(f"x = 1; open(f'{{x}}{text}')") == ["placeholder"]


@pytest.mark.parametrize(
    "line",
    [
        "open('/etc/passwd', 'w')",
        "open('/in/data.csv', mode='a')",
        "open('/work/script.py', 'r+')",
        "table.to_csv('/data/result.csv')",
        "plt.savefig(fname='/home/me/figure.png')",
        "np.savetxt('../result.txt', x)",
        "table.to_csv('figures/../../x.csv')",
        "Path('/srv/x').write_text('y')",
        "os.makedirs('/results')",
        "json.dump(x, open('/root/x.json', 'w'))",
    ],
)
def test_a_write_outside_the_output_folder_is_found(line: str) -> None:
    assert rules(line) == ["outside_write"]


@pytest.mark.parametrize(
    "line",
    [
        "open('/in/data.csv')",
        "open('/in/data.csv', 'rb')",
        "open('result.csv', 'w')",
        "open('/out/result.csv', 'w')",
        "table.to_csv('figures/result.csv')",
        "table.to_csv('/out/figures/../result.csv')",
        "plt.savefig('/tmp/figure.png')",
        "pd.read_csv('/in/data.csv')",
        "table.to_csv(path)",
        "Path('result.txt').write_text('/etc is a folder')",
    ],
)
def test_reads_and_writes_in_the_output_folder_are_not(line: str) -> None:
    assert rules(line) == []


def test_findings_are_in_the_order_of_lines_and_say_what_and_where() -> None:
    script = "def f():\n    return rng.normal()\nimport socket\nopen('path/to/x')\n"
    assert screen_code(script) == [
        CodeFinding("made_up_data", 2, "normal draws random values"),
        CodeFinding("network", 3, "imports socket"),
        CodeFinding("placeholder", 4, "placeholder path 'path/to/x'"),
    ]


@pytest.mark.parametrize(
    "script",
    [
        "def f(:",
        "x = 'open",
        "import socket\nprint 1",
        "x = 1\0",
        "x = '\ud800'",
        "(" * 5000 + ")" * 5000,
        "-" * 20_000 + "1",
        "1" + "+1" * 20_000,
        "a" + ".a" * 20_000,
        "a" + "()" * 20_000,
        "lambda:" * 5000 + "1",
        "\n".join(" " * i + "if 1:" for i in range(120)),
    ],
    ids=lambda script: ascii(script[:20]),
)
def test_what_cannot_be_parsed_is_one_finding_never_an_exception(script: str) -> None:
    assert rules(script) == ["syntax"]


def test_an_empty_script_and_a_megabyte_are_screened() -> None:
    assert screen_code("") == []
    assert rules("x = '" + "<a" * 500_000 + "'\nimport socket") == ["network"]
    assert rules("# " + "x" * 1_000_000 + "\nimport socket") == ["network"]


@pytest.mark.parametrize(
    "script",
    [
        "import importlib\nimportlib.import_module('requests')",
        "__import__('socket')",
        "__builtins__.__dict__['__imp' + 'ort__']('socket')",
        "exec('import socket')",
        "eval(bytes.fromhex('6f73').decode())",
        "import os\nos.system('curl http://198.51.100.1')",
        "import http.client",
        "import pandas as pd\npd.read_csv('http://198.51.100.1/x.csv')",
        "while True: pass",
        "import os\nwhile True: os.fork()",
        "import pickle\npickle.load(open('/in/x', 'rb'))",
        "import sys; sys.modules['os'].kill(1, 9)",
    ],
)
def test_what_only_the_sandbox_stops(script: str) -> None:
    """Known gaps, kept here so that nobody takes the screen for a boundary: these are valid and pass unseen."""
    ast.parse(script)
    assert screen_code(script) == []


@pytest.mark.parametrize(
    "script",
    [
        "from numpy.random import normal\nnormal()",
        "from numpy.random import normal as mean\nmean()",
        "getattr(rng, 'nor' + 'mal')()",
        "rng.integers(9)",
        "scipy.stats.norm.rvs(size=9)",
        "pd.DataFrame(data=[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])",
        "values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]\npd.DataFrame(values)",
        "pd.read_csv(io.StringIO('a,b\\n1,2\\n3,4'))",
    ],
)
def test_made_up_data_that_only_the_checks_of_the_outputs_find(script: str) -> None:
    """Known gaps: level 3 needs outputs that are recomputed from the data, which such numbers are not."""
    assert screen_code(script) == []


@pytest.mark.parametrize("script", ["scipy.special.gamma(5.0)", f"pd.DataFrame(t[{[f'c{i}' for i in range(12)]}])"])
def test_known_false_alarms(script: str) -> None:
    """A special function named like a distribution; a selection of a dozen columns by name."""
    assert rules(script) == ["made_up_data"]
