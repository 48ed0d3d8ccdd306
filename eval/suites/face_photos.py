"""Photos of faces that packages carry: one person three times, nine others once. They are fetched, and never passed on."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from labwright.config import cache_dir
from labwright.errors import HashMismatch, SourceUnavailable
from labwright.packages import fetch_wheel, open_member, sha256_of
from labwright.safety.faces.detection import Detector
from labwright.safety.faces.photos import Photo, read_photo

SOURCE = ("face_recognition", "1.3.0", "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec")
WHEELS = (
    ("scikit-image", "0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
     ("skimage/data/astronaut.png",)),
    ("insightface", "2.1", "dcd58ee79d99d689572477315f3149353afd65a36dc575f597cbb217a7bde399",
     ("insightface/data/images/Tom_Hanks_54745.png", "insightface/data/images/t1.jpg")),
)  # fmt: skip
PERSON = ("obama.jpg", "obama2.jpg", "obama3.jpg")
"""The one person with several photos; two more files are parts of the first photo and are left out."""
STRANGERS = ("biden.jpg", "astronaut.png", "Tom_Hanks_54745.png", "t1.jpg")
"""The last one shows six people."""


def photos(detector: Detector) -> tuple[list[Photo], dict[str, list[Photo]]]:
    """Photos of the person, and of everybody else by a name.

    Raises:
        SourceUnavailable: a package cannot be fetched.
        HashMismatch: a package is not the one that was pinned.
    """
    folder = cache_dir() / "bench" / "faces"
    folder.mkdir(parents=True, exist_ok=True)
    if not all((folder / name).is_file() for name in (*PERSON, *STRANGERS)):
        _unpack(folder)
    own = [_largest(folder / name, detector) for name in PERSON]
    others: dict[str, list[Photo]] = {}
    for name in STRANGERS:
        pixels = read_photo(folder / name)
        for number, box in enumerate(detector(pixels), 1):
            who = f"{Path(name).stem} {number}"
            others[who] = [Photo(who, pixels, box)]
    return own, others


def _largest(path: Path, detector: Detector) -> Photo:
    pixels = read_photo(path)
    return Photo(path.name, pixels, detector(pixels)[0])


def _unpack(folder: Path) -> None:
    archives = folder / "archives"
    for package, version, sha256, members in WHEELS:
        wheel = fetch_wheel(package, version, sha256, archives)
        for member in members:
            with open_member(wheel, member) as stream:
                (folder / Path(member).name).write_bytes(stream.read())
    _from_source(folder, archives)


def _from_source(folder: Path, archives: Path) -> None:
    """The photos that only a source archive holds; pip runs the setup script of exactly this archive to name it."""
    package, version, sha256 = SOURCE
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--no-binary={package}"]
    command += ["--dest", str(archives), f"{package}=={version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archive = archives / f"{package}-{version}.tar.gz"
    if done.returncode != 0 or not archive.is_file():
        raise SourceUnavailable(f"{package}=={version} cannot be fetched: {done.stderr.strip()[-200:]}")
    if sha256_of(archive) != sha256:
        raise HashMismatch(f"{package}=={version}: the package index serves a file with another sha256")
    with tarfile.open(archive) as tar:
        names: Mapping[str, str] = {Path(m).name: m for m in tar.getnames() if "/test_images/" in m}
        for name in (*PERSON, STRANGERS[0]):
            stream = tar.extractfile(names[name])
            assert stream is not None  # noqa: S101  (a file of a pinned archive)
            (folder / name).write_bytes(stream.read())
