"""What `labwright doctor` looks at."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labwright.config import SandboxConfig


def findings(sandbox: SandboxConfig) -> list[dict[str, Any]]:
    """One entry for each part: its state (ok, missing, absent), and what supplies it.

    Args:
        sandbox: `[sandbox]` of the configuration.
    """
    return [_sandbox(sandbox), *_models(), *_extras(), _data(), _disk(), *_keys()]


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
