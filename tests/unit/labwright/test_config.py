"""The configuration: flags before variables before the file before defaults, and every wrong key is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labwright.config import DEFAULT_MODEL, Config, cache_dir, load_config
from labwright.errors import ConfigInvalid

ROOT = Path(__file__).parents[3]


def written(folder: Path, text: str) -> Path:
    path = folder / "labwright.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_come_before_variables_before_the_file(tmp_path, monkeypatch):
    path = written(tmp_path, "[budget]\ntokens = 1\nseconds = 10\n[sandbox]\nwall_s = 7\n")
    monkeypatch.setenv("LABWRIGHT_BUDGET_TOKENS", "2")
    monkeypatch.setenv("LABWRIGHT_BUDGET_SECONDS", "20")
    loaded = load_config(path, overrides={("budget", "tokens"): 3, ("budget", "usd"): None})
    assert (loaded.budget.tokens, loaded.budget.seconds, loaded.budget.usd) == (3, 20, None)
    assert loaded.sandbox.wall_s == 7
    assert loaded.sandbox.memory_mib == Config().sandbox.memory_mib


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[budgt]\ntokens = 1\n", "budgt"),
        ("[budget]\ntoken = 1\n", "token"),
        ("[budget]\ntokens = -1\n", "tokens"),
        ('[budget]\ntokens = "many"\n', "tokens"),
        ('[roles]\ndesign = "strong"\n', "strong"),
        ('[roles]\ncook = "embedded"\n', "cook"),
        ('[backends.x]\nkind = "magic"\nmodel = "m"\n', "kind"),
        ("[budget\n", "labwright.toml"),
        ("budget = 3\n", "budget"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_on_one_line(text, says, tmp_path):
    with pytest.raises(ConfigInvalid, match=re.escape(says)) as wrong:
        load_config(written(tmp_path, text)).backend_of("design")
    assert "labwright.toml" in str(wrong.value) or says in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert wrong.value.exit_code == 2


def test_a_file_that_is_named_must_be_there(tmp_path):
    with pytest.raises(ConfigInvalid, match=r"absent\.toml"):
        load_config(tmp_path / "absent.toml")


def test_the_model_of_the_environment_is_that_of_every_role(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load_config(None).backend_of("design")[1].model == DEFAULT_MODEL
    monkeypatch.setenv("LABWRIGHT_MODEL", "smollm2-135m-instruct")
    assert load_config(None).backend_of("design")[1].model == "smollm2-135m-instruct"


def test_the_cache_is_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache"


def test_the_example_of_the_documentation_loads(tmp_path):
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    loaded = load_config(written(tmp_path, example.group(1)))
    assert loaded.backend_of("design")[1].writes_code
    assert loaded.backend_of("reviewer")[1].kind == "embedded"
    assert loaded.literature.sources == ("embedded", "pubmed", "pmc")
