"""The configuration: flags before variables before the file before defaults, and every wrong key is named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from labwright.config import DEFAULT_MODEL, ENVIRONMENT, Config, cache_dir, load_config
from labwright.errors import ConfigInvalid
from labwright.sandbox.address import candidates
from labwright.workflows.literature_sources import eutils_config

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.split("```toml\n")[1].split("```")[0]
VARIABLES = {
    "LABWRIGHT_MODEL": "other",
    "LABWRIGHT_BUDGET_TOKENS": 11,
    "LABWRIGHT_BUDGET_USD": 0.5,
    "LABWRIGHT_BUDGET_SECONDS": 12.5,
    "LABWRIGHT_SANDBOX_BACKEND": "bubblewrap",
    "LABWRIGHT_SANDBOX_PYTHON": "/opt/analysis/bin/python",
    "LABWRIGHT_SANDBOX_WALL_S": 13.5,
    "LABWRIGHT_SANDBOX_MEMORY_MIB": 1234,
    "LABWRIGHT_SANDBOX_RUNTIME": "runsc",
}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)


def written(folder: Path, text: str) -> Path:
    path = folder / "labwright.toml"
    path.write_text(text, encoding="utf-8")
    return path


def documented() -> set[str]:
    """Variables of the page's table; `_USD` after `LABWRIGHT_BUDGET_TOKENS` is `LABWRIGHT_BUDGET_USD`."""
    names: set[str] = set()
    for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE):
        first, *others = re.findall(r"`(\w+)`", row)
        section = "_".join(first.split("_")[:2])
        names |= {first, *(f"{section}{n}" if n.startswith("_") else n for n in others)}
    return names


def test_flags_come_before_variables_before_the_file_before_defaults(tmp_path, monkeypatch):
    path = written(tmp_path, "[budget]\ntokens = 1\nseconds = 10\n[sandbox]\nwall_s = 7\n")
    monkeypatch.setenv("LABWRIGHT_BUDGET_TOKENS", "2")
    monkeypatch.setenv("LABWRIGHT_BUDGET_SECONDS", "20")
    loaded = load_config(path, overrides={("budget", "tokens"): 3, ("budget", "usd"): None})
    assert (loaded.budget.tokens, loaded.budget.seconds, loaded.budget.usd) == (3, 20, None)
    assert loaded.sandbox.wall_s == 7
    assert loaded.sandbox.memory_mib == Config().sandbox.memory_mib


def test_the_file_of_the_working_folder_comes_before_the_users(tmp_path, monkeypatch):
    (tmp_path / "user" / "labwright").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    assert load_config() == Config()
    written(tmp_path / "user" / "labwright", "[budget]\ntokens = 5\n")
    assert load_config().budget.tokens == 5
    written(tmp_path, "[budget]\nusd = 6\n")
    assert (load_config().budget.tokens, load_config().budget.usd) == (None, 6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[budgt]\ntokens = 1\n", "budgt: Extra"),
        ("[budget]\ntoken = 1\n", "budget.token: Extra"),
        ('[backends.x]\nkind = "remote"\nmodle = "m"\n', "backends.x.modle: Extra"),
        ("[budget]\ntokens = -1\n", "budget.tokens: "),
        ("[budget]\nusd = 0\n", "budget.usd: "),
        ("[budget]\nusd = nan\n", "budget.usd: "),
        ("[budget]\ntokens = 1.5\n", "budget.tokens: "),
        ('[budget]\ntokens = "many"\n', "budget.tokens: "),
        ("[budget]\nseconds = [1]\n", "budget.seconds: "),
        ('[roles]\ndesign = "strong"\n', "not defined: strong"),
        ('[roles]\ncook = "embedded"\n', "roles.cook"),
        ('[backends.x]\nkind = "magic"\nmodel = "m"\n', "backends.x.kind: "),
        ('[sandbox]\nbackend = "none"\n', "sandbox.backend: "),
        ("[budget\n", "not a TOML file"),
        ("budget = 3\n", "budget: "),
    ],
)
def test_what_is_wrong_is_named_with_its_file_on_one_line(text, says, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(ConfigInvalid) as wrong:
        load_config(path)
    assert str(wrong.value).startswith(f"{path}: ")
    assert says in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert wrong.value.exit_code == 2


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    with pytest.raises(ConfigInvalid, match=r"budget\.tokens: .*; sandbox\.wall: .*; spare: "):
        load_config(written(tmp_path, "spare = 1\n[budget]\ntokens = -1\n[sandbox]\nwall = 3\n"))


def test_a_wrong_variable_is_named(tmp_path):
    with pytest.raises(ConfigInvalid, match=r"toml, LABWRIGHT_BUDGET_TOKENS: budget\.tokens: "):
        load_config(written(tmp_path, ""), environment={"LABWRIGHT_BUDGET_TOKENS": "many"})


@pytest.mark.parametrize(
    ("variable", "text"), [("LABWRIGHT_MODEL", "backends = 3"), ("LABWRIGHT_BUDGET_USD", "budget = 3")]
)
def test_a_variable_does_not_hide_a_wrong_file(variable, text, tmp_path):
    with pytest.raises(ConfigInvalid, match="valid dictionary"):
        load_config(written(tmp_path, text), environment={variable: "1"})


def test_a_file_that_is_named_must_be_there(tmp_path):
    with pytest.raises(ConfigInvalid, match=r"absent\.toml: no such"):
        load_config(tmp_path / "absent.toml")


def test_the_model_of_the_environment_is_that_of_every_embedded_backend(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config().backend_of("design")[1].model == DEFAULT_MODEL
    monkeypatch.setenv("LABWRIGHT_MODEL", "other")
    assert load_config().backend_of("design")[1].model == "other"
    loaded = load_config(written(tmp_path, EXAMPLE))
    assert [loaded.backend_of(role)[1].model for role in ("design", "reviewer")] == ["gpt-4o", "other"]


def test_the_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "given"))
    assert cache_dir() == tmp_path / "given"
    monkeypatch.setenv("LABWRIGHT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_dir() == tmp_path / "user" / "labwright"


def test_the_example_of_the_documentation_loads_whole(tmp_path):
    shown = tomllib.loads(EXAMPLE)
    loaded = load_config(written(tmp_path, EXAMPLE)).model_dump(mode="json")
    assert set(shown) == set(Config.model_fields)
    for section, keys in shown.items():
        for key, value in keys.items():
            kept = loaded[section][key]
            assert kept.items() >= value.items() if isinstance(value, dict) else kept == value, f"{section}.{key}"


@pytest.mark.parametrize(("variable", "value"), VARIABLES.items())
def test_a_documented_variable_is_honoured(variable, value, tmp_path):
    loaded = load_config(written(tmp_path, EXAMPLE), environment={variable: str(value)}).model_dump()
    for key in ENVIRONMENT[variable]:
        loaded = loaded[key]
    assert loaded == value


def test_no_variable_is_undocumented_and_none_is_documented_in_vain(monkeypatch):
    others = {"LABWRIGHT_CACHE", "NCBI_EMAIL", "NCBI_API_KEY", "DOCKER_HOST"}
    assert documented() == set(ENVIRONMENT) | others
    assert set(VARIABLES) == set(ENVIRONMENT)
    monkeypatch.setenv("NCBI_EMAIL", "a@b.c")
    monkeypatch.setenv("NCBI_API_KEY", "key")
    assert (eutils_config().email, eutils_config().api_key) == ("a@b.c", "key")
    assert [a.url for a in candidates({"DOCKER_HOST": "tcp://10.0.0.1:2375"})] == ["tcp://10.0.0.1:2375"]
