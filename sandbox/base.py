"""A base image made from the machine's own Python, for machines that reach no image registry.

The result holds the interpreter, its standard library compiled, pip, the shared libraries they need, the
machine's CA bundle and nothing else: no shell, no setuid file.
"""

from __future__ import annotations

import compileall
import ensurepip
import os
import platform
import py_compile
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from labwright.errors import EngineMissing

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
LIBRARIES = "usr/lib"
DROPPED = ("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip",
           "lib2to3", "__pycache__", "EXTERNALLY-MANAGED", "config-*", "_tkinter*.so", "*.a")  # fmt: skip
# Wheels expect the whole family; the standard library alone does not name it.
GLIBC_FAMILY = ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libresolv.so.2", "libm.so.6",
                "libnss_dns.so.2", "libnss_files.so.2", "libanl.so.1", "libmvec.so.1", "libstdc++.so.6",
                "libgcc_s.so.1", "libz.so.1", "libexpat.so.1")  # fmt: skip
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/:/nonexistent\nnobody:x:65534:65534:nobody:/tmp:/nonexistent\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/ld.so.conf": "/usr/local/lib\n/usr/lib\n",
}
_NEEDED = re.compile(r"^\s*(\S+)(?: => (\S+))? \(0x")


def write_base(root: Path, archive: Path, ca_bundle: Path | None, progress: Callable[[str], None]) -> None:
    """Write the base's file system to `archive`, a tar, using the empty folder `root` to stage it.

    Args:
        root: an empty folder, best on a memory file system.
        archive: the tar to write.
        ca_bundle: CA certificates to put in, else the machine's default bundle.
        progress: told each step.

    Raises:
        EngineMissing: this machine cannot make a base.
    """
    if platform.system() != "Linux":
        raise EngineMissing("a local base image needs Linux; let the engine pull python:3.11-slim")
    progress(f"copying Python {platform.python_version()} into the base image")
    root.chmod(0o755)
    copy_python(root)
    add_pip(root)
    copy_libraries(root)
    write_etc(root, ca_bundle)
    progress("compiling the standard library")
    compileall.compile_dir(
        root / "usr/local/lib" / f"python{VERSION}", quiet=2, workers=0, stripdir=str(root),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    write_tar(root, archive)


def copy_python(root: Path) -> None:
    """Copy the interpreter and its standard library to usr/local."""
    prefix = Path(sys.base_prefix)
    local = root / "usr/local"
    (local / "bin").mkdir(parents=True)
    (local / "lib").mkdir()
    for folder in ("tmp", "in", "out", "work", "proc", "sys", "dev", "var/tmp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    binary = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    shutil.copy2(binary, local / "bin" / f"python{VERSION}")
    for name in ("python3", "python"):
        (local / "bin" / name).symlink_to(f"python{VERSION}")
    source = prefix / "lib" / f"python{VERSION}"
    target = local / "lib" / f"python{VERSION}"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*DROPPED), ignore_dangling_symlinks=True)
    for folder in ("site-packages", "dist-packages"):
        (target / folder).mkdir()


def add_pip(root: Path) -> None:
    """Unpack the pip that comes with the interpreter; no index is asked."""
    bundled = sorted(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
    if not bundled:
        raise EngineMissing("this Python has no bundled pip; install its ensurepip (Debian: python3-venv)")
    library = root / "usr/local/lib" / f"python{VERSION}"
    # Debian's interpreter looks into dist-packages, every other one into site-packages.
    debian = (Path(sys.base_prefix) / "lib" / "python3" / "dist-packages").is_dir()
    with zipfile.ZipFile(bundled[-1]) as wheel:
        # The wheel is part of this machine's own Python, not data from elsewhere.
        wheel.extractall(library / ("dist-packages" if debian else "site-packages"))  # noqa: S202


def needed_by(objects: Iterable[Path]) -> dict[str, Path]:
    """Shared libraries that `ldd` names for the objects: name to file."""
    done = subprocess.run(["ldd", *map(str, objects)], capture_output=True, text=True, check=False)
    found: dict[str, Path] = {}
    for line in done.stdout.splitlines():
        match = _NEEDED.match(line)
        if match:
            path = Path(match[2] or match[1])
            if path.is_file():
                found[path.name] = path
    return found


def copy_libraries(root: Path) -> None:
    """Copy what the interpreter and its extension modules link to, and the glibc family."""
    binary = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    modules = (root / "usr/local/lib" / f"python{VERSION}" / "lib-dynload").glob("*.so")
    found = needed_by([binary, *modules])
    if "libc.so.6" not in found:
        raise EngineMissing("ldd names no libc.so.6: a local base image needs glibc; pull python:3.11-slim")
    for folder in {path.parent for path in found.values() if path.name.startswith(("libc.", "libm."))}:
        for name in GLIBC_FAMILY:
            for place in (folder, Path("/usr") / folder.relative_to("/")):
                if (place / name).is_file():
                    found.setdefault(name, place / name)
    found |= {k: v for k, v in needed_by(found.values()).items() if k not in found}
    (root / LIBRARIES).mkdir(parents=True, exist_ok=True)
    for name, path in found.items():
        if name.startswith("ld-linux"):  # the interpreter's loader is looked up by its full path
            target = root / path.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
        else:
            target = root / LIBRARIES / name
        shutil.copy2(path.resolve(), target)


def write_etc(root: Path, ca_bundle: Path | None) -> None:
    """Write accounts, name service, CA bundle and the loader's cache."""
    for name, text in ACCOUNTS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    bundle = ca_bundle or Path(ssl.get_default_verify_paths().cafile or CA_BUNDLE)
    if bundle.is_file():
        target = root / CA_BUNDLE.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle, target)
    ldconfig = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    if ldconfig is None:
        raise EngineMissing("ldconfig is not on this machine; pull python:3.11-slim instead")
    subprocess.run([ldconfig, "-r", str(root)], check=True, capture_output=True)


def write_tar(root: Path, archive: Path) -> None:
    """Write the tree as a tar owned by root, without any setuid bit or time of this machine."""

    def owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mode &= 0o1777
        info.mtime = 0
        return info

    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".", filter=owned_by_root)
