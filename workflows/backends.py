"""From configuration to chat models: the one place that knows which backend kind is which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.config import LOCAL_KINDS, ROLES, BackendConfig, Config, Role
from labwright.errors import ConfigInvalid
from labwright.lease import compute_lease
from labwright.models import weights
from labwright.models.ask import Prices, Session
from labwright.models.calls import CallLog
from labwright.models.checkpoints import stage_of
from labwright.models.embedded import EmbeddedServer
from labwright.models.remote import openai_chat, remote_chat
from labwright.models.scripted import load_script

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

REPEAT_PENALTY = 1.1
"""Small models fall into loops without one."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One chat model that is ready to be asked."""

    name: str
    config: BackendConfig
    chat: BaseChatModel
    facts: dict[str, Any]
    """What the record says of it: kind, model, file hash, address."""
    close: Callable[[], None]
    members: tuple[Backend, ...] = ()
    """Of an ensemble."""

    @property
    def computes_here(self) -> bool:
        """It generates on this machine's cores, or a part of it does."""
        own = self.config.kind in ("embedded", *LOCAL_KINDS) or bool(self.config.summary)
        return own or any(m.computes_here for m in self.members)

    @property
    def lease(self) -> Callable[[], AbstractContextManager[None]]:
        """Local generation takes the machine's compute lease; a remote model does not."""
        return compute_lease if self.computes_here else nullcontext

    @property
    def prices(self) -> Prices:
        """Of its tokens."""
        return Prices(self.config.usd_per_million_prompt, self.config.usd_per_million_generated)


def open_backend(name: str, config: BackendConfig, progress: weights.Progress = weights.silent) -> Backend:
    """Make one backend ready; the embedded one fetches its file and starts its server when needed.

    An ensemble needs its members' tables too: see `OpenBackends`.

    Raises:
        ModelMissing, HashMismatch, KeyMissing, ConfigInvalid: as named.
        SomethingMissing: a local one without the extra that it needs.
    """
    if config.kind in LOCAL_KINDS:
        return _open_local(name, config)
    if config.kind == "embedded":
        server = EmbeddedServer(config.model, context_tokens=config.context_tokens, progress=progress)
        extra = {"repeat_penalty": REPEAT_PENALTY, "repeat_last_n": 256, "cache_prompt": True}
        chat = openai_chat(server.base_url, server.model.stem, server.key, extra_body=extra)
        facts = {"kind": "embedded", "model": server.model.name, "sha256": weights.fingerprint(server.model)}
        return Backend(name, config, chat, {**facts, **stage_of(server.model)}, server.close)
    if config.kind == "remote":
        facts = {"kind": "remote", "model": config.model, "base_url": config.base_url}
        return Backend(name, config, remote_chat(name, config), facts, lambda: None)
    return Backend(
        name,
        config,
        load_script(Path(config.script)),
        {"kind": "scripted", "model": config.script},
        lambda: None,
    )


def _open_local(name: str, config: BackendConfig) -> Backend:
    from labwright.models.checkpoints import load_checkpoint
    from labwright.models.local import local_chat

    if not config.model:
        raise ConfigInvalid(f"[backends.{name}]: a {config.kind} backend needs `model = ...`")
    if config.kind == "steered":
        return _open_steered(name, config)
    checkpoint = load_checkpoint(config.model, dtype=config.dtype, adapter=config.adapter)
    if config.kind == "h3fusion" and "experts" not in checkpoint.facts:
        raise ConfigInvalid(f'[backends.{name}]: {config.model} is no mixture of experts; use kind = "local"')
    chat = local_chat(checkpoint, context_tokens=config.context_tokens, repetition_penalty=REPEAT_PENALTY)
    return Backend(name, config, chat, {"kind": config.kind, **checkpoint.facts}, lambda: None)


def _open_steered(name: str, config: BackendConfig) -> Backend:
    from labwright.models.vision import load_vision
    from labwright.safety.steering.chat import steered_chat

    if not config.vectors:
        raise ConfigInvalid(f"[backends.{name}]: a steered backend needs `vectors = ...`, a folder of shift vectors")
    checkpoint = load_vision(config.model, dtype=config.dtype)
    chat, steering = steered_chat(
        checkpoint, Path(config.vectors).expanduser(), level=config.level, alpha=config.alpha,
        context_tokens=config.context_tokens,
    )  # fmt: skip
    return Backend(name, config, chat, {"kind": "steered", **checkpoint.facts, "steering": steering}, lambda: None)


class OpenBackends:
    """Backends by name; each is opened once, whoever asks for it: a role, an ensemble, or both."""

    def __init__(self, config: Config, progress: weights.Progress = weights.silent) -> None:
        self._config = config
        self._progress = progress
        self._opened: dict[str, Backend] = {}

    def open(self, name: str) -> Backend:
        """The backend of that name.

        Raises:
            ConfigInvalid: there is none.
            LabwrightError: as `open_backend` names them.
        """
        if name not in self._opened:
            table = self._config.table_of(name)
            if table.kind == "topla":
                from labwright.workflows.ensembles import open_ensemble

                self._opened[name] = open_ensemble(name, table, self.open)
            else:
                self._opened[name] = open_backend(name, table, self._progress)
        return self._opened[name]

    def close(self) -> None:
        """Let go of every backend."""
        for backend in self._opened.values():
            backend.close()

    def alone(self, name: str) -> Backend:
        """One backend that closes everything that was opened for it, also when opening fails."""
        try:
            return replace(self.open(name), close=self.close)
        except BaseException:
            self.close()
            raise


class Backends:
    """The backends of a run, one for each name that a role uses."""

    def __init__(
        self, config: Config, progress: weights.Progress = weights.silent, roles: Sequence[Role] = ROLES
    ) -> None:
        """Open those of the roles; those already open are closed when one fails."""
        self.by_role: dict[Role, Backend] = {}
        self.eyes: Backend | None = None
        self._open = OpenBackends(config, progress)
        try:
            for role in roles:
                self.by_role[role] = self._open.open(config.backend_of(role)[0])
            self.eyes = self._open.open(config.figures.backend) if config.figures.backend else None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of every backend."""
        self._open.close()

    def session(self, role: Role, log: CallLog, seed: int) -> Session:
        """A role's session within a run."""
        return _session(role, self.by_role[role], log, seed)

    def eyes_session(self, log: CallLog, seed: int) -> Session | None:
        """The session of the model that reads figures; None where none is configured."""
        return None if self.eyes is None else _session("figures", self.eyes, log, seed)

    def facts(self) -> Mapping[str, dict[str, Any]]:
        """Role to what the record says of its backend."""
        seen = {} if self.eyes is None else {"figures": {"name": self.eyes.name, **self.eyes.facts}}
        return {role: {"name": b.name, **b.facts} for role, b in self.by_role.items()} | seen


def _session(role: str, backend: Backend, log: CallLog, seed: int) -> Session:
    return Session(
        role=role,
        backend=f"{backend.name}:{backend.facts['model']}",
        chat=backend.chat,
        log=log,
        seed=seed,
        lease=backend.lease,
        prices=backend.prices,
        writes_code=backend.config.writes_code,
    )
