"""From configuration to ensembles: single members, and a `kind = "topla"` table checked against what was trained."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.config import BackendConfig, Config
from labwright.errors import ConfigInvalid
from labwright.models.topla.recipe import Recipe, model_of, read_recipe
from labwright.models.weights import Progress, silent

if TYPE_CHECKING:
    from labwright.models.ask import Session
    from labwright.models.topla.summary import Summary
    from labwright.models.topla.weighted import Weighted
    from labwright.workflows.backends import Backend


@contextmanager
def member_session(config: Config, name: str, progress: Progress = silent) -> Iterator[Session]:
    """A backend that is asked as a member, known by its model; nothing that it says is kept but by whoever asks.

    Args:
        config: where the backend is named.
        name: of the backend.
        progress: shows a download.

    Raises:
        LabwrightError: it cannot be opened.
    """
    from labwright.models.ask import Session
    from labwright.models.calls import CallLog
    from labwright.workflows.backends import OpenBackends

    backend = OpenBackends(config, progress).alone(name)
    with (
        closing(backend),
        tempfile.TemporaryDirectory() as scratch,
        closing(CallLog(Path(scratch) / "c.sqlite")) as log,
    ):
        model = model_of(backend.facts)
        yield Session(role="judge", backend=model, chat=backend.chat, log=log, lease=backend.lease)


def open_ensemble(name: str, config: BackendConfig, open_member: Callable[[str], Backend]) -> Backend:
    """Make an ensemble ready; its members are opened, and closed, by whoever opens them all.

    Args:
        name: of its table.
        config: its table.
        open_member: gives the backend of a name.

    Raises:
        ModelMissing: a folder holds no ensemble or summary model, or it was trained for other members.
        HashMismatch: a network is not the one that was saved.
        ConfigInvalid: the table cannot be an ensemble.
    """
    from labwright.models.topla.chat import EnsembleChat
    from labwright.models.topla.members import Member
    from labwright.workflows.backends import Backend

    folder = Path(config.model).expanduser() if config.model else None
    recipe = read_recipe(folder) if folder is not None else None
    names = recipe.members if recipe is not None else config.members
    if len(names) < 2:
        raise ConfigInvalid(f"[backends.{name}]: name two or more members, or the folder of a trained ensemble")
    if config.fuser and config.fuser not in names:
        raise ConfigInvalid(f"[backends.{name}]: fuser {config.fuser} is no member; members are {', '.join(names)}")
    if recipe is not None and config.members:
        recipe.require_names(config.members, f"[backends.{name}]")
    members = tuple(open_member(n) for n in names)
    network = _network(recipe, folder, members) if recipe is not None and folder is not None else None
    chat = EnsembleChat(
        members=[Member(m.name, m.chat, m.computes_here, m.prices) for m in members],
        weights=recipe.weights if recipe is not None else {},
        fuser=config.fuser,
        timeout_s=config.member_timeout_s,
        trained=network,
        labels=recipe.labels if recipe is not None else (),
        scalings=recipe.scalings if recipe is not None else {},
        summary=_summary(config, names),
    )
    return Backend(name, config, chat, _facts(config, members, recipe), lambda: None, members)


def _summary(config: BackendConfig, names: Sequence[str]) -> Summary | None:
    if not config.summary:
        return None
    from labwright.models.extras import require

    require("local", "a summary model")
    from labwright.models.topla.summary import load_summary

    return load_summary(Path(config.summary).expanduser(), members=names)


def _network(recipe: Recipe, folder: Path, members: Sequence[Backend]) -> Weighted | None:
    """The trained network, where it joins the answers."""
    recipe.require({m.name: model_of(m.facts) for m in members}, str(folder))
    if recipe.joining != "trained network":
        return None
    from labwright.models.extras import require
    from labwright.models.topla.saved import load

    require("local", "an ensemble with a trained network")
    return load(folder, members=recipe.members)


def _summary_facts(config: BackendConfig) -> dict[str, Any] | None:
    from labwright.models.checkpoints import fingerprint

    if not config.summary:
        return None
    return {"model": Path(config.summary).name, "sha256": fingerprint(Path(config.summary).expanduser())}


def _facts(config: BackendConfig, members: Sequence[Backend], recipe: Recipe | None) -> dict[str, Any]:
    """What the record says of an ensemble: its members with all that is known of each, and where it came from."""
    facts = {
        "kind": "topla",
        "members": {m.name: m.facts for m in members},
        "fuser": config.fuser,
        "trained": recipe.model_dump(mode="json") if recipe is not None else None,
        "summary": _summary_facts(config),
    }
    # Calls are cached by the model's name: whatever changes an answer changes it.
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    called = Path(config.model).name if config.model else "+".join(m.name for m in members)
    return {**facts, "model": f"{called}@{digest}"}
