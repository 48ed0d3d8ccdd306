"""Remarks of persons on a protocol, kept in the run folder: `comments.json`."""

from __future__ import annotations

import secrets

from pydantic import RootModel

from labwright.domain import Comment, Protocol
from labwright.errors import WrongUse
from labwright.store import RunStore, now

NAME = "comments.json"
MOST_CHARS = 4000
MOST_COMMENTS = 2000


class _Comments(RootModel[tuple[Comment, ...]]):
    """The file: every comment, oldest first."""


def comments(store: RunStore) -> tuple[Comment, ...]:
    """Every comment, oldest first.

    Raises:
        RunFailed: the file cannot be read.
    """
    path = store.folder / NAME
    return store.read(path, _Comments).root if path.is_file() else ()


def add_comment(store: RunStore, text: str, *, part: str = "", step: str = "", by: str = "") -> Comment:
    """Keep a remark on the whole protocol, a part or a step; it is on the disk when this returns.

    Raises:
        WrongUse: the text is empty or too long, or the protocol has no such part or step.
        RunFailed: there is no protocol yet.
    """
    text = text.strip()
    if not 0 < len(text) <= MOST_CHARS:
        raise WrongUse(f"a comment has 1 to {MOST_CHARS} characters")
    with store.changing():
        protocol = store.read(store.folder / "protocol.json", Protocol)
        places = {("", "")}
        places |= {(p.id, name) for p in protocol.parts for name in ("", *(s.id for s in p.steps))}
        if (part, step) not in places:
            raise WrongUse(f"the protocol has no {f'step {step!r} in ' if step else ''}part {part!r}")
        before = comments(store)
        if len(before) >= MOST_COMMENTS:
            raise WrongUse(f"run {store.id} has {MOST_COMMENTS} comments; no more are taken")
        place = {"part": part, "step": step, "version": protocol.version}
        made = Comment(id=secrets.token_hex(6), at=now(), by=by, text=text, **place)
        store.write(store.folder / NAME, _Comments((*before, made)), durable=True)
        return made


def settle_comment(store: RunStore, comment: str, *, by: str = "") -> None:
    """Say that a comment is dealt with; it stays to be read.

    Raises:
        WrongUse: there is no such comment, or it is settled already.
    """
    with store.changing():
        found = comments(store)
        if not any(c.id == comment and not c.settled_at for c in found):
            raise WrongUse(f"run {store.id} has no open comment {comment!r}")
        settled = {"settled_by": by, "settled_at": now()}
        changed = tuple(c.model_copy(update=settled) if c.id == comment else c for c in found)
        store.write(store.folder / NAME, _Comments(changed), durable=True)
