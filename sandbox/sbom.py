"""The software bill of materials of the image, made from what is really in it and kept beside the probes.

One document for each image, in CycloneDX JSON. A run's record holds its digest, so that the packages behind a
result can be looked up long after the image is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from labwright.errors import SandboxBroken
from labwright.sandbox.contract import Job, Limits
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.staging import private_folder

LIMITS = Limits(wall_s=300.0, memory_mib=512, pids=16, cpus=1.0, out_mib=16, out_files=4, file_mib=16)
_PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A document and its digest."""

    path: Path
    """Where it is."""
    sha256: str
    """Hex digest of the file."""


def bill_of(sandbox: DockerSandbox, folder: Path) -> Bill:
    """The bill of the sandbox's image: from `folder`, or made anew by one job.

    Args:
        sandbox: names the image and runs the job.
        folder: keeps the documents, one an image.

    Raises:
        SandboxBroken: the job could not be run, or did not end well.
    """
    path = folder / f"{sandbox.image.id.removeprefix('sha256:')}.json"
    kept = _kept(path, sandbox.image.id)
    if kept is None:
        kept = _made(sandbox)
        _write(path, kept)
    return Bill(path=path, sha256=hashlib.sha256(kept).hexdigest())


def recipe() -> str:
    """Digest of the code that makes a bill: one that other code made is made again."""
    package = resources.files("labwright.sandbox")
    sources = [(package / name).read_bytes() for name in ("sbom_script.py", "components.py")]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:16]


def pinned_versions() -> dict[str, str]:
    """Version of each distribution in the image's lock."""
    lock = (resources.files("labwright.sandbox") / "requirements.txt").read_text(encoding="utf-8")
    return dict(_PIN.findall(lock))


def _kept(path: Path, image_id: str) -> bytes | None:
    """The document when it is whole, about this image and made by this code."""
    try:
        content = path.read_bytes()
        about = json.loads(content)["metadata"]["component"]
        said = {entry["name"]: entry["value"] for entry in about["properties"]}
        right = about["bom-ref"] == image_id and said["labwright:recipe"] == recipe()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if right else None


def _made(sandbox: DockerSandbox) -> bytes:
    from labwright.sandbox.components import document

    script = (resources.files("labwright.sandbox") / "sbom_script.py").read_text(encoding="utf-8")
    with private_folder(sandbox.staging) as folder:
        result = sandbox.run(Job(script=script, limits=LIMITS, run_id="sbom"), folder / "out")
        if not result.ok:
            raise SandboxBroken(f"listing the image's parts failed ({result.cause}): {result.stderr.strip()[-300:]}")
        facts = json.loads((folder / "out" / "components.json").read_text(encoding="utf-8"))
    facts["recipe"] = recipe()
    version = metadata.version("labwright")
    return document(facts, sandbox.image, version=version, pinned=pinned_versions()).encode()


def _write(path: Path, content: bytes) -> None:
    """Put the document in place whole: another process may read it at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".sbom-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(name, path)
