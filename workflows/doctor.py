"""What `labwright doctor` looks at, and what a run of a configuration would stop at."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labwright.config import BackendConfig, Config, SandboxConfig


def findings(sandbox: SandboxConfig) -> list[dict[str, Any]]:
    """One entry for each part: its state (ok, missing, absent), and what supplies it.

    Args:
        sandbox: `[sandbox]` of the configuration.
    """
    return [_sandbox(sandbox), *_models(), *_extras(), _data(), _disk(), *_keys()]


def lacking(config: Config, workflow: str) -> list[dict[str, Any]]:
    """What a run would stop at (state missing) or fetch first (absent), and the command that supplies it.

    Args:
        config: of the run.
        workflow: `rules_only` needs no model.
    """
    from labwright.models.weights import is_present

    found = [_sandbox(config.sandbox)]
    if not is_present("all-minilm-l6-v2"):
        found.append(
            _entry("sentence encoder", "absent", "it is fetched first; or `labwright models pull all-minilm-l6-v2`")
        )
    if workflow != "rules_only":
        from labwright.config import ROLES

        backends = dict(config.backend_of(role) for role in ROLES)
        if config.figures.backend:
            backends[config.figures.backend] = config.table_of(config.figures.backend)
        found += [entry for name, table in backends.items() for entry in _backend(name, table)]
    found += _eyes(config)
    return [entry for entry in found if entry["state"] != "ok"]


def _eyes(config: Config) -> list[dict[str, Any]]:
    """What pictures from outside need before the model that reads figures may see them."""
    from labwright.models.extras import absent_of

    if not config.figures.backend or config.figures.faces == "allow" or not absent_of("faces"):
        return []
    told = "pictures from outside are refused, for faces cannot be looked for; pip install 'labwright[faces]'"
    return [_entry("faces in pictures", "absent", told)]


def _backend(name: str, table: BackendConfig) -> list[dict[str, Any]]:
    part = f"model of backend {name}"
    if table.kind == "remote":
        if not table.model:
            return [_entry(part, "missing", f"[backends.{name}] needs `model = ...` in labwright.toml")]
        if table.api_key_env and not os.environ.get(table.api_key_env, "").strip():
            return [_entry(part, "missing", f"export {table.api_key_env}=KEY where labwright is started")]
        return []
    if table.kind == "embedded":
        return _model_file(part, table.model)
    if table.kind == "scripted":
        return [] if Path(table.script).is_file() else [_entry(part, "missing", f"{table.script}: no such file")]
    from labwright.models.extras import absent_of

    lacks = absent_of("local")
    found = [_entry(part, "missing", "pip install 'labwright[local]'")] if lacks else []
    there = Path(table.model).expanduser().exists()
    return found if there else [*found, _entry(part, "missing", f"{table.model or '(none named)'}: no such checkpoint")]


def _model_file(part: str, model: str) -> list[dict[str, Any]]:
    from labwright.models.weights import is_present, manifest

    if model in manifest():
        told = f"it is fetched first; or `labwright models pull {model}`"
        return [] if is_present(model) else [_entry(part, "absent", told)]
    if Path(model).expanduser().is_file():
        return []
    return [_entry(part, "missing", f"{model}: neither a file nor a name of `labwright models list`")]


def _entry(part: str, state: str, detail: str) -> dict[str, Any]:
    return {"part": part, "state": state, "detail": detail}


def _sandbox(chosen: SandboxConfig) -> dict[str, Any]:
    from labwright.errors import LabwrightError
    from labwright.sandbox.connect import connect

    try:
        policy = connect(chosen).policy()
    except LabwrightError as error:
        return _entry("sandbox", "missing", str(error))
    engine = policy["engine"]
    return _entry("sandbox", "ok", f"{policy['isolation']}, {engine['kind']} {engine['version']}, probe passed")


def _models() -> list[dict[str, Any]]:
    from labwright.config import DEFAULT_MODEL
    from labwright.models.embedded import running_servers
    from labwright.models.weights import is_present, manifest

    entries = []
    for name in manifest():
        needed = name in (DEFAULT_MODEL, "all-minilm-l6-v2")
        state = "ok" if is_present(name) else ("missing" if needed else "absent")
        entries.append(_entry(f"model {name}", state, "" if state == "ok" else f"labwright models pull {name}"))
    for server in running_servers():
        entries.append(_entry("model server", "ok", f"{server['model']} on port {server['port']}, pid {server['pid']}"))
    return entries


def _extras() -> list[dict[str, Any]]:
    from labwright.models.extras import EXTRAS, absent_of

    return [
        _entry(
            f"extra {extra}",
            "absent" if absent_of(extra) else "ok",
            f"pip install 'labwright[{extra}]'" * bool(absent_of(extra)),
        )
        for extra in EXTRAS
    ]


def _data() -> dict[str, Any]:
    from labwright.tools.catalogue.catalogue import dataset_folder, load_cards

    here = [c["id"] for c in load_cards() if dataset_folder(c["id"]).is_dir()]
    return _entry(
        "data sets", "ok", f"{len(here)} of {len(load_cards())} on this machine; others are fetched when used"
    )


def _disk() -> dict[str, Any]:
    from labwright.config import cache_dir

    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 2**30
    return _entry("disk", "ok" if free > 6 else "missing", f"{free:.0f} GiB free for {folder}; 6 are needed")


def _keys() -> list[dict[str, Any]]:
    return [
        _entry(name, "ok" if os.environ.get(name) else "absent", use)
        for name, use in (
            ("NCBI_EMAIL", "mail for PubMed and GEO"),
            ("NCBI_API_KEY", "10 requests a second instead of 3"),
        )
    ]
