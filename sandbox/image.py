"""The image that analyses run in: found by the hash of all that goes into it, built when absent.

Nothing is pulled or built at run time: :func:`find` only looks. :func:`build` is the one place that touches a
package index or a registry.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound

from labwright.errors import EngineMissing
from labwright.sandbox import base as local_base

REPOSITORY = "labwright-sandbox"
BASE_REPOSITORY = "labwright-base"
LABEL = "org.labwright.image"
REGISTRY_BASE = "python:3.11-slim"
PULL_LIMIT_S = 90.0
KEEP_S = 86_400.0
BaseChoice = Literal["auto", "registry", "local"]
Progress = Callable[[str], None]
PIP_KEYS = {"index-url": "PIP_INDEX_URL", "trusted-host": "PIP_TRUSTED_HOST",
            "timeout": "PIP_DEFAULT_TIMEOUT", "cert": "PIP_CERT"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """An image that can run jobs."""

    id: str
    """Content id, what jobs are run by."""
    tag: str
    """Repository and tag; the tag is the hash of what went in."""
    size_mib: float
    """Size on the engine's disk, MiB."""
    base: str
    """Image it was built from."""


def sources() -> Iterator[tuple[str, Traversable]]:
    """What the image is built from: path in the build folder, and the installed file."""
    package = resources.files("labwright.sandbox")
    for name in ("Dockerfile", "requirements.txt", "supervisor.py", "preload.py"):
        yield name, package / name
    for module in ("labwright", "labwright.tools"):
        yield f"src/{module.replace('.', '/')}/__init__.py", resources.files(module) / "__init__.py"
    yield from _python_files(resources.files("labwright.tools.analysis"), "src/labwright/tools/analysis")


def _python_files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _python_files(entry, f"{prefix}/{entry.name}")
        elif entry.is_file() and not entry.name.endswith((".pyc", ".md")):
            yield f"{prefix}/{entry.name}", entry


def content_tag() -> str:
    """Hash of the recipe, the base's recipe, the Python version and labwright's part, 16 hex digits."""
    digest = hashlib.sha256(local_base.VERSION.encode())
    base_recipe = resources.files("labwright.sandbox") / "base.py"
    for name, file in [*sources(), ("base.py", base_recipe)]:
        content = file.read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def find(client: docker.DockerClient, tag: str = "") -> ImageInfo | None:
    """The image of this version of labwright, or None when it is still to be built."""
    tag = tag or f"{REPOSITORY}:{content_tag()}"
    try:
        image = client.images.get(tag)
    except ImageNotFound:
        return None
    base = (image.labels or {}).get(LABEL, "")
    return ImageInfo(id=str(image.id), tag=tag, size_mib=round(image.attrs["Size"] / 2**20, 1), base=base)


def build(client: docker.DockerClient, progress: Progress, *, base: BaseChoice = "auto") -> ImageInfo:
    """Build the image unless it is there, and remove older ones of ours.

    Args:
        client: a client of the engine.
        progress: told each step, one line.
        base: "registry" pulls, "local" makes the base from this machine's Python, "auto" pulls and falls
            back to a local base.

    Raises:
        EngineMissing: the build failed.
    """
    tag = f"{REPOSITORY}:{content_tag()}"
    found = find(client, tag)
    if found is None:
        base_image = choose_base(client, progress, base)
        with tempfile.TemporaryDirectory(prefix="labwright-build-") as folder:
            _stage(Path(folder))
            _docker_build(client, Path(folder), (base_image, tag), progress)
        found = find(client, tag)
    if found is None:
        raise EngineMissing("the image was built but cannot be found; run `labwright sandbox build` again")
    prune(client, found)
    return found


def _stage(folder: Path) -> None:
    for name, file in sources():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


def choose_base(client: docker.DockerClient, progress: Progress, choice: BaseChoice) -> str:
    """Name of a base image that the engine holds, pulled or made when needed.

    Raises:
        EngineMissing: none can be had.
    """
    local_tag = f"{BASE_REPOSITORY}:{_base_tag()}"
    names = {"auto": (REGISTRY_BASE, local_tag), "registry": (REGISTRY_BASE,), "local": (local_tag,)}[choice]
    for name in names:
        if _has(client, name):
            return name
    if choice != "local" and _pull(client, progress):
        return REGISTRY_BASE
    if choice == "registry":
        raise EngineMissing(f"{REGISTRY_BASE} cannot be pulled; use `labwright sandbox build --base local`")
    _make_base(client, local_tag, progress)
    return local_tag


def _has(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _pull(client: docker.DockerClient, progress: Progress) -> bool:
    """Pull the registry base; False when it fails or takes too long."""
    progress(f"pulling {REGISTRY_BASE}")
    outcome: list[str] = []

    def work() -> None:
        try:
            client.images.pull(REGISTRY_BASE)
        except (DockerException, OSError) as error:
            outcome.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PULL_LIMIT_S)
    if thread.is_alive() or outcome:
        progress("no registry could be reached; making a base from this machine's Python")
        return False
    return True


def _base_tag() -> str:
    recipe = (resources.files("labwright.sandbox") / "base.py").read_bytes()
    return hashlib.sha256(recipe + sys.version.encode()).hexdigest()[:16]


def _make_base(client: docker.DockerClient, tag: str, progress: Progress) -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    bundle = pip_settings().get("PIP_CERT")
    with tempfile.TemporaryDirectory(prefix="labwright-base-", dir=memory) as scratch:
        root, archive = Path(scratch) / "root", Path(scratch) / "base.tar"
        root.mkdir()
        local_base.write_base(root, archive, Path(bundle) if bundle else None, progress)
        shutil.rmtree(root)
        repository, name = tag.split(":")
        changes = ["ENV PATH=/usr/local/bin:/usr/bin", f"LABEL {LABEL}=base"]
        answer = client.api.import_image_from_file(str(archive), repository=repository, tag=name, changes=changes)
    if "error" in str(answer):
        raise EngineMissing(f"the engine refused the base image: {str(answer).strip()[-300:]}")


def pip_settings(environment: Mapping[str, str] | None = None, files: list[Path] | None = None) -> dict[str, str]:
    """The package index that this machine's pip is configured for, as pip's environment variables.

    Only what can be used inside a build: an index, not a folder of this machine.
    """
    environment = os.environ if environment is None else environment
    if files is None:
        home = Path.home()
        files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
        files += [Path(environment["PIP_CONFIG_FILE"])] if environment.get("PIP_CONFIG_FILE") else []
    settings: dict[str, str] = {}
    for path in files:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path, encoding="utf-8")
        for key, variable in PIP_KEYS.items():
            for section in ("global", "install"):
                if parser.has_option(section, key):
                    settings[variable] = parser.get(section, key)
    settings |= {name: environment[name] for name in PIP_KEYS.values() if environment.get(name)}
    return {key: value for key, value in settings.items() if not value.startswith("file:")}


def _docker_build(client: docker.DockerClient, folder: Path, names: tuple[str, str], progress: Progress) -> None:
    """Build `folder`; `names` are the base's and the result's."""
    base_image, tag = names
    arguments = {"BASE_IMAGE": base_image} | pip_settings()
    if base_image == REGISTRY_BASE:
        arguments.pop("PIP_CERT", None)
    elif "PIP_CERT" in arguments:
        arguments["PIP_CERT"] = local_base.CA_BUNDLE
    stream = client.api.build(
        path=str(folder), tag=tag, buildargs=arguments, network_mode="host",
        labels={LABEL: base_image}, rm=True, forcerm=True, decode=True,
    )  # fmt: skip
    try:
        tail = _follow(stream, progress)
    except (APIError, BuildError) as error:
        raise EngineMissing(f"the engine refused the build: {error}") from error
    if tail:
        raise EngineMissing(f"building the sandbox image failed: {tail}")


def _follow(stream: Iterator[dict[str, Any]], progress: Progress) -> str:
    """Report the steps; the error's text when the build failed, else nothing."""
    last: list[str] = []
    for event in stream:
        line = str(event.get("stream", "")).strip()
        if line.startswith("Step "):
            progress(line[:100])
        elif line:
            last = [*last[-4:], line]
        if "error" in event:
            return " | ".join([*last, str(event["error"])])[-800:]
    return ""


def _age_s(created: str) -> float:
    """Seconds since a time as the engine writes it, nanoseconds cut."""
    made = datetime.fromisoformat(created[:19]).replace(tzinfo=UTC)
    return (datetime.now(UTC) - made).total_seconds()


def prune(client: docker.DockerClient, keep: ImageInfo) -> None:
    """Remove old images of ours other than `keep` and its base.

    One made within the last day stays: a run that started on it may be between two jobs.
    """
    for image in client.images.list(filters={"label": LABEL}):
        if _age_s(str(image.attrs["Created"])) < KEEP_S:
            continue
        ours = [tag for tag in image.tags if tag.startswith((f"{REPOSITORY}:", f"{BASE_REPOSITORY}:"))]
        for tag in ours:
            if tag not in (keep.tag, keep.base):
                try:
                    client.images.remove(tag)
                except APIError:
                    continue
