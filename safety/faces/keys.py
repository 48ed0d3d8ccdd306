"""The key of a person: their mask, and what they look like to recognisers, encrypted on disk.

Whoever holds it can take the mask off; whoever loses it can not, and leaving it lying about undoes the protection. A
file holds a header that anyone may read (how the passphrase becomes a key), and the rest under AES-GCM, which also
notices every changed byte. The passphrase is stretched by scrypt (RFC 7914).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from labwright.errors import KeyMissing, WrongUse
from labwright.safety.faces.boxing import SIZE
from labwright.safety.faces.mask import MaskSettings

MAGIC = b"LABWRIGHT-MASK-KEY\n"
VERSION = 1
COST, BLOCK, LANES = 2**15, 8, 1
"""Of scrypt: 32 MiB and about a tenth of a second for each guess."""
MOST_COST = 2**20
"""A file that asks for more is refused before its cost is paid."""
SHORTEST = 8
"""Characters of a passphrase."""


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    cost: int
    block: int
    lanes: int
    salt: str
    nonce: str


class KeyRecord(BaseModel):
    """What a key file holds besides the mask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: str
    """Salted sha256 of the name; the name itself is not kept."""
    salt: str
    created: str
    settings: MaskSettings
    team: tuple[str, ...]
    likeness: dict[str, list[float]]
    """What each recogniser makes of the person without a mask: a unit vector."""


@dataclass(frozen=True, slots=True)
class MaskKey:
    """A mask and its record."""

    mask: Tensor
    """Shape (3, 112, 112), grey levels."""
    record: KeyRecord

    @property
    def id(self) -> str:
        """Short name of this very mask, for the notes beside protected photos."""
        return hashlib.sha256(_kept(self.mask).tobytes()).hexdigest()[:12]

    def of(self, person: str) -> bool:
        """The key was made for this name."""
        return secrets.compare_digest(named(person, self.record.salt), self.record.person)


def named(person: str, salt: str) -> str:
    """What stands for a name in a key."""
    return hashlib.sha256(f"{salt}:{person.strip().casefold()}".encode()).hexdigest()


def make_key(
    mask: Tensor, person: str, settings: MaskSettings, team: tuple[str, ...], likeness: dict[str, list[float]]
) -> MaskKey:
    """A key of a mask that was just learned.

    The mask is kept, and so used from here on, in half precision.
    """
    salt = secrets.token_hex(8)
    record = KeyRecord(
        person=named(person, salt), salt=salt, created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings, team=team, likeness=likeness,
    )  # fmt: skip
    return MaskKey(torch.from_numpy(_kept(mask).astype(np.float32)), record)


def _kept(mask: Tensor) -> np.ndarray[Any, np.dtype[np.float16]]:
    return mask.numpy().astype("<f2")


def save_key(key: MaskKey, path: Path, passphrase: str) -> None:
    """Write an encrypted key that only its owner can read.

    Raises:
        WrongUse: the passphrase is shorter than 8 characters, or there is a file of that name already.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(passphrase) < SHORTEST:
        raise WrongUse(f"a passphrase has at least {SHORTEST} characters")
    header = _Header(
        version=VERSION, cost=COST, block=BLOCK, lanes=LANES, salt=_text(os.urandom(16)), nonce=_text(os.urandom(12))
    )
    head = header.model_dump_json().encode() + b"\n"
    body = json.dumps({"record": key.record.model_dump(mode="json"), "mask": _text(_kept(key.mask).tobytes())})
    sealed = AESGCM(_stretched(passphrase, header)).encrypt(_bytes(header.nonce), body.encode(), MAGIC + head)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise WrongUse(f"{path}: is there already; a key is not overwritten, for its photos need it") from error
    with os.fdopen(handle, "wb") as file:
        file.write(MAGIC + head + sealed)


def load_key(path: Path, passphrase: str) -> MaskKey:
    """Read a key.

    Raises:
        WrongUse: not a key, of another version, cut short, changed, or the passphrase is wrong.
        KeyMissing: there is no such file.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise KeyMissing(f"{path}: no key there; `labwright privacy enrol` makes one") from error
    head, newline, sealed = raw.removeprefix(MAGIC).partition(b"\n")
    if not raw.startswith(MAGIC) or not newline:
        raise WrongUse(f"{path}: not a key of labwright, or cut short")
    header = _header(path, head)
    try:
        body = AESGCM(_stretched(passphrase, header)).decrypt(_bytes(header.nonce), sealed, MAGIC + head + b"\n")
    except (InvalidTag, ValueError) as error:
        raise WrongUse(f"{path}: the passphrase is wrong, or the file was changed or cut short") from error
    held = json.loads(body)
    mask = np.frombuffer(_bytes(held["mask"]), "<f2").astype(np.float32).reshape(3, SIZE, SIZE)
    return MaskKey(torch.from_numpy(mask), KeyRecord.model_validate(held["record"]))


def _header(path: Path, head: bytes) -> _Header:
    try:
        header = _Header.model_validate_json(head)
        sizes = len(_bytes(header.salt)), len(_bytes(header.nonce))
    except (ValidationError, ValueError) as error:
        raise WrongUse(f"{path}: not a key of labwright, or cut short") from error
    costs = (header.block, header.lanes) == (BLOCK, LANES) and 2**14 <= header.cost <= MOST_COST
    if header.version != VERSION or not costs or sizes != (16, 12) or header.cost.bit_count() != 1:
        raise WrongUse(f"{path}: a key of version {header.version} with settings that this labwright does not use")
    return header


def _stretched(passphrase: str, header: _Header) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    kdf = Scrypt(salt=_bytes(header.salt), length=32, n=header.cost, r=header.block, p=header.lanes)
    return kdf.derive(passphrase.encode())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
