"""Configuration: command-line flags before `LABWRIGHT_*` before labwright.toml (working folder, then user's).

Read once, at the edge of the process; below that, values travel as arguments. Keys are never read from a
file: a backend names the environment variable that holds its key.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labwright.errors import ConfigInvalid

Role = Literal["search", "literature", "design", "programming", "reviewer", "judge"]
ROLES: tuple[Role, ...] = ("search", "literature", "design", "programming", "reviewer", "judge")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BackendConfig(_Section):
    """One `[backends.NAME]` table."""

    kind: Literal["embedded", "remote", "local", "h3fusion", "topla", "steered", "scripted"]
    """What stands behind the name."""
    model: str = ""
    """Model id: for embedded a name of `labwright models list` or a path to a GGUF file; for local and h3fusion a
    checkpoint folder, and for local also an adapter folder, a GGUF file or a name of `labwright models list`; for topla
    the folder of a trained ensemble, empty for members of equal weight; for steered the folder of a vision-language
    model."""
    vectors: str = ""
    """Folder of shift vectors of the model, for steered."""
    level: Literal["dataset", "sample"] = "dataset"
    """Steer by the vectors, or by the shift of each prompt, for steered."""
    alpha: float | None = Field(None, ge=0, le=2)
    """Strength, for steered; None takes the one that `labwright models steer evaluate` chose."""
    adapter: str = ""
    """Folder of a LoRA adapter over `model`, for local."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights in memory, for local, h3fusion and steered."""
    base_url: str = ""
    """Address of an OpenAI-compatible server, for remote."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key, for remote; empty means no key."""
    context_tokens: int = Field(8192, ge=1024)
    """Context window, tokens."""
    writes_code: bool = False
    """The model writes free Python; otherwise it fills operator parameters and code renders the script."""
    usd_per_million_prompt: float = Field(0.0, ge=0)
    """Price of a million prompt tokens, US dollars."""
    usd_per_million_generated: float = Field(0.0, ge=0)
    """Price of a million generated tokens, US dollars."""
    members: tuple[str, ...] = ()
    """Names of other backends, for topla; empty for those that the trained ensemble names."""
    fuser: str = ""
    """Member that writes open answers from the drafts of all, for topla; empty for the one of the greatest weight."""
    summary: str = ""
    """Folder of a trained summary model that writes open answers in free text, for topla; empty for none."""
    member_timeout_s: float = Field(600.0, gt=0)
    """Seconds that a member has for an answer before it is left out, for topla."""
    script: str = ""
    """Path of a JSON-lines file of replies, for scripted."""


LOCAL_KINDS = ("local", "h3fusion", "steered")
"""Kinds whose model is loaded into this process."""


class BudgetConfig(_Section):
    """`[budget]`: a run that reaches one of these stops with a partial report and exit code 3."""

    tokens: int | None = Field(None, gt=0)
    """Prompt tokens evaluated plus tokens generated."""
    usd: float | None = Field(None, gt=0)
    """Money, US dollars."""
    seconds: float | None = Field(None, gt=0)
    """Wall-clock seconds of one invocation."""


class AllowanceConfig(_Section):
    """`[allowance]`: a run that has used one of these asks no model any more, and rules decide the rest.

    Unlike a budget it does not stop the run; a call in progress is finished. Workflows are compared at equal ones.
    """

    prompt_tokens: int | None = Field(None, gt=0)
    """Prompt tokens evaluated."""
    generated_tokens: int | None = Field(None, gt=0)
    """Tokens generated."""


class SandboxConfig(_Section):
    """`[sandbox]`: where analyses run, and the limits of one job."""

    backend: Literal["docker", "bubblewrap"] = "docker"
    """What isolates a job; bubblewrap covers less and is never used unless named here."""
    python: str = ""
    """For bubblewrap: a Python that has sandbox/requirements.txt; empty for the one that runs labwright."""

    wall_s: float = Field(300.0, gt=0)
    """Wall-clock limit, seconds."""
    memory_mib: int = Field(3072, ge=256)
    """Memory limit, MiB."""
    runtime: str = ""
    """OCI runtime by its name in the engine, such as runsc; empty means the engine's default."""
    warm: int | None = Field(None, ge=0, le=16)
    """Containers that wait with the analysis stack imported; None means 2, and 0 on two cores or fewer, where filling
    them would hold up the model."""


class LiteratureConfig(_Section):
    """`[literature]`: where papers come from and how many are read."""

    sources: tuple[str, ...] = ("embedded",)
    """Any of embedded, pubmed, pmc, europepmc, and the names of added corpora."""
    geo: bool = False
    """Also list the series that GEO holds on the objective (see `labwright datasets verify`)."""
    candidates: int = Field(8, ge=1, le=200)
    """Most papers scored per round."""
    rounds: int = Field(2, ge=1, le=5)
    """Most rounds of queries."""
    keep: int = Field(3, ge=1, le=50)
    """Papers to read in full."""
    helpfulness: float = Field(2.8, ge=1, le=5)
    """A paper is kept at this expected helpfulness (1-5) or above."""
    max_download_mib: int = Field(512, ge=1)
    """Largest data file that is fetched, MiB; a data set with a larger one is not verified."""


class DataConfig(_Section):
    """`[data]`: which data sets a run may use."""

    allowed: tuple[str, ...] = ()
    """Ids of `labwright datasets list`; empty allows all."""


class IndexConfig(_Section):
    """`[index]`: the literature index on disk."""

    embedder: Literal["embedded", "sentence-transformers", "openai"] = "embedded"
    """What makes vectors: the embedded encoder, a sentence-transformers model, or an OpenAI-compatible server."""
    model: str = ""
    """Model id, for the latter two."""
    base_url: str = ""
    """Address of the server, for openai."""
    api_key_env: str = ""
    """Name of the environment variable that holds the server's key; empty means no key."""
    chroma_url: str = ""
    """Address of a Chroma server for the vectors, such as http://localhost:8000; empty keeps them in files."""


class FiguresConfig(_Section):
    """`[figures]`: figures read by a model that sees; without a backend none is."""

    backend: str = ""
    """Name of a steered backend, or of a remote one whose model takes images."""
    reviewed: bool = False
    """Tell the reviewer what was read; only for a model that was measured above guessing and above the legend."""
    papers: int = Field(6, ge=0, le=24)
    """Most pictures of each paper that are looked at; 0 leaves those of papers alone."""
    faces: Literal["refuse", "protect", "allow"] = "refuse"
    """Of pictures from outside that show a face: leave them out, put the masks of `keys` on, or look for no faces."""
    keys: tuple[str, ...] = ()
    """Key files of `labwright privacy enrol`, for protect; LABWRIGHT_KEY_PASSPHRASE opens them."""


class ReviewConfig(_Section):
    """`[review]`: the reviewer's loop."""

    rewrites: int = Field(1, ge=0, le=5)
    """Most rewrites of a stage."""
    accept: float = Field(3.2, ge=1, le=5)
    """Mean score (1-5) at which a candidate is accepted without another rewrite."""


class Config(_Section):
    """All of labwright.toml."""

    backends: dict[str, BackendConfig] = Field(default_factory=dict)
    roles: dict[Role, str] = Field(default_factory=dict)
    budget: BudgetConfig = BudgetConfig()
    allowance: AllowanceConfig = AllowanceConfig()
    sandbox: SandboxConfig = SandboxConfig()
    literature: LiteratureConfig = LiteratureConfig()
    data: DataConfig = DataConfig()
    index: IndexConfig = IndexConfig()
    review: ReviewConfig = ReviewConfig()
    figures: FiguresConfig = FiguresConfig()

    def backend_of(self, role: Role) -> tuple[str, BackendConfig]:
        """Name and table of the backend that plays `role`; the embedded model where none is named."""
        name = self.roles.get(role) or next(iter(self.backends), DEFAULT_BACKEND)
        return name, self.table_of(name)

    def table_of(self, name: str) -> BackendConfig:
        """Table of a backend; `embedded` is there without one.

        Raises:
            ConfigInvalid: no backend has that name.
        """
        if name in self.backends:
            return self.backends[name]
        if name == DEFAULT_BACKEND:
            return BackendConfig(kind="embedded", model=DEFAULT_MODEL)
        raise ConfigInvalid(f"no backend is called {name}; there are {', '.join(self.backends) or DEFAULT_BACKEND}")


KEY_PASSPHRASE = "LABWRIGHT_KEY_PASSPHRASE"  # noqa: S105  (the name of a variable)
"""Environment variable that opens the keys of `labwright privacy`."""
DEFAULT_BACKEND = "embedded"
DEFAULT_MODEL = "qwen2.5-coder-1.5b-instruct"
ENVIRONMENT = {
    "LABWRIGHT_MODEL": ("backends", DEFAULT_BACKEND, "model"),
    "LABWRIGHT_BUDGET_TOKENS": ("budget", "tokens"),
    "LABWRIGHT_BUDGET_USD": ("budget", "usd"),
    "LABWRIGHT_BUDGET_SECONDS": ("budget", "seconds"),
    "LABWRIGHT_SANDBOX_BACKEND": ("sandbox", "backend"),
    "LABWRIGHT_SANDBOX_PYTHON": ("sandbox", "python"),
    "LABWRIGHT_SANDBOX_WALL_S": ("sandbox", "wall_s"),
    "LABWRIGHT_SANDBOX_MEMORY_MIB": ("sandbox", "memory_mib"),
    "LABWRIGHT_SANDBOX_RUNTIME": ("sandbox", "runtime"),
}


def cache_dir() -> Path:
    """Folder of models, data sets and engine files: `LABWRIGHT_CACHE`, else the user's cache folder."""
    given = os.environ.get("LABWRIGHT_CACHE")
    if given:
        return Path(given).expanduser().resolve()
    from platformdirs import user_cache_path

    return user_cache_path("labwright")


def config_paths(given: Path | None) -> list[Path]:
    """Files that are looked at, first match first."""
    if given is not None:
        return [given]
    from platformdirs import user_config_path

    return [Path("labwright.toml"), user_config_path("labwright") / "labwright.toml"]


def load_config(
    given: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[tuple[str, ...], Any] | None = None,
) -> Config:
    """Read file, environment and flags, the later over the earlier.

    Args:
        given: the file named by `--config`; must exist when given.
        environment: normally `os.environ`.
        overrides: values of command-line flags by their path in the file.

    Raises:
        ConfigInvalid: the file is missing, is not TOML, or holds unknown or wrong keys (all are listed).
    """
    environment = os.environ if environment is None else environment
    path = next((p for p in config_paths(given) if p.is_file()), None)
    if path is None and given is not None:
        raise ConfigInvalid(f"{given}: no such configuration file; check the path of --config")
    table = _read(path) if path is not None else {}
    flags = {place: value for place, value in (overrides or {}).items() if value is not None}
    said = [str(path)] * (path is not None) + [v for v in ENVIRONMENT if environment.get(v)] + ["flags"] * bool(flags)
    for variable, place in ENVIRONMENT.items():
        if environment.get(variable):
            for where in _embedded(table) if place[0] == "backends" else (place,):
                _put(table, where, environment[variable])
    for place, value in flags.items():
        _put(table, place, value)
    return _validated(table, ", ".join(said))


def _validated(table: dict[str, Any], source: str) -> Config:
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigInvalid(f"{source}: {wrong}; see docs/configuration.md") from error
    defined = {*config.backends, DEFAULT_BACKEND}
    unknown = sorted(set(config.roles.values()) - defined)
    if unknown:
        raise ConfigInvalid(f"{source}: roles name backends that are not defined: {', '.join(unknown)}")
    if wrong := _wrong_eyes(config):
        raise ConfigInvalid(f"{source}: [figures] {wrong}; see docs/configuration.md")
    for name, backend in config.backends.items():
        if wrong := _wrong_members(backend, config):
            raise ConfigInvalid(f"{source}: [backends.{name}] {wrong}; see docs/ensembles.md")
    return config


SEEING = ("steered", "remote", "scripted")
"""Kinds whose models may take images."""


def _wrong_eyes(config: Config) -> str:
    """What is wrong with the backend that reads figures, in words; empty when nothing is."""
    name = config.figures.backend
    if bool(config.figures.keys) != (config.figures.faces == "protect"):
        return 'keys and faces = "protect" need each other'
    if not name:
        return "reviewed needs a backend" if config.figures.reviewed else ""
    if name not in config.backends:
        return f"backend: no backend is called {name}"
    kind = config.backends[name].kind
    return (
        ""
        if kind in SEEING
        else f"backend: {name} is of kind {kind}, which takes no images; one of {', '.join(SEEING)}"
    )


def _wrong_members(backend: BackendConfig, config: Config) -> str:
    """What is wrong with an ensemble's members, in words; empty when nothing is."""
    members = backend.members
    if backend.kind != "topla":
        of_topla = members or backend.fuser or backend.summary
        return "has members, a fuser or a summary, which only topla takes" if of_topla else ""
    if len(set(members)) < len(members) or len(members) == 1:
        return "members: name two or more distinct backends"
    if not members and not backend.model:
        return "needs `members = [...]`, or `model = ...`, the folder of a trained ensemble"
    if unknown := sorted({*members} - {*config.backends, DEFAULT_BACKEND}):
        return f"members are not defined: {', '.join(unknown)}"
    if nested := [m for m in members if m in config.backends and config.backends[m].kind == "topla"]:
        return f"members are ensembles themselves: {', '.join(nested)}"
    if members and backend.fuser and backend.fuser not in members:
        return f"fuser {backend.fuser} is no member"
    return ""


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: not a TOML file: {error}") from error


def _embedded(table: dict[str, Any]) -> list[tuple[str, ...]]:
    """Places of the model of every embedded backend, and of the one that stands in where none is named."""
    backends = table.setdefault("backends", {})
    if not isinstance(backends, dict):
        return []  # validation says what is wrong with it
    backends.setdefault(DEFAULT_BACKEND, {"kind": "embedded"})
    embedded = [n for n, b in backends.items() if isinstance(b, dict) and b.get("kind") == "embedded"]
    return [("backends", name, "model") for name in embedded]


def _put(table: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    for key in place[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return  # validation says what is wrong with it
    table[place[-1]] = value
