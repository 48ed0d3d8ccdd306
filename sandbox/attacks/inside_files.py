"""Attacks on the host's files, on the inputs and on what is taken out."""

import contextlib
import gzip
import importlib.util
import io
import json
import os
import pickle
import sys
import time
import zipfile
from functools import partial

from labwright.sandbox.attacks.inside_common import all_denied, given, report, tried, writable


def _read(path: str) -> None:
    if os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, "rb") as file:
            file.read(1)


def host_files() -> None:
    """Read files of the host: a secret by its path, accounts, keys, the user's folders."""
    paths = [given()["secret_file"], "/etc/shadow", "/root/.ssh", "/root/.bashrc", "/home", "/var/lib/docker",
             "/proc/1/root/etc/shadow", "/proc/1/cwd/..", "/host", "/mnt", "/media", "/boot"]  # fmt: skip
    found = {}
    for path in paths:
        outcome = tried(partial(_read, path))
        found[path] = "ENOENT" if outcome == "ok" and os.path.isdir(path) and not os.listdir(path) else outcome
    all_denied(found)


def secrets_in_environment() -> None:
    """Print every environment that can be read."""
    texts = [json.dumps(dict(os.environ))]
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/environ", encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
        except OSError:
            continue
    print("\n".join(texts))
    report(True, "the environment is written anew for every container", f"{len(texts)} environments")


def engine_socket() -> None:
    """Find the engine's socket."""
    names = ("docker.sock", "containerd.sock", "podman.sock", "crio.sock")
    found = []
    for folder, folders, files in os.walk("/"):
        if folder.startswith(("/proc", "/sys")):
            folders.clear()
            continue
        found += [f"{folder}/{name}" for name in files if name in names]
    report(not found, "nothing of the host is mounted", f"{len(found)} sockets")


def tamper_inputs() -> None:
    """Change, replace and remove an input."""
    all_denied({
        "write": writable("/in/data.csv"),
        "append": tried(lambda: os.close(os.open("/in/data.csv", os.O_APPEND | os.O_RDWR))),
        "truncate": tried(lambda: os.truncate("/in/data.csv", 0)),
        "unlink": tried(lambda: os.unlink("/in/data.csv")),
        "rename": tried(lambda: os.rename("/in/data.csv", "/in/other.csv")),
        "chmod": tried(lambda: os.chmod("/in/data.csv", 0o777)),
        "create": tried(lambda: os.close(os.open("/in/new", os.O_CREAT | os.O_WRONLY))),
        "proc": writable(f"/proc/self/fd/{os.open('/in/data.csv', os.O_RDONLY)}"),
    })  # fmt: skip


def tamper_code() -> None:
    """Change the script that runs, the interpreter and the packages that check the results."""
    found = importlib.util.find_spec("labwright.tools.analysis")
    module = str(found and found.origin)
    package = os.path.dirname(module)
    all_denied({
        "script": writable("/work/script.py"),
        "interpreter": writable(os.path.realpath(sys.executable)),
        "package": tried(lambda: os.close(os.open(f"{package}/new.py", os.O_CREAT | os.O_WRONLY))),
        "module": writable(module),
        "path file": tried(lambda: os.close(os.open(f"{os.path.dirname(os.__file__)}/x.pth", os.O_CREAT | os.O_WRONLY))),
        "root": tried(lambda: os.mkdir("/new")),
    })  # fmt: skip


def _good() -> None:
    with open("/out/good.txt", "w", encoding="ascii") as file:
        file.write("good")


def symlinks() -> None:
    """Links to files of the host and to folders above, in place of results."""
    _good()
    for name, target in {
        "shadow.csv": "/etc/shadow",
        "up.csv": "../../../../etc/hostname",
        "root": "/",
        "self": ".",
    }.items():
        os.symlink(target, f"/out/{name}")
    report(True, "only regular files are taken", "4 links")


def hardlinks() -> None:
    """Second names for an input and for one's own file."""
    _good()
    outcome = tried(lambda: os.link("/in/data.csv", "/out/input.csv"))
    os.link("/out/good.txt", "/out/second.txt")
    report(outcome in ("EXDEV", "EPERM", "EROFS"), f"link to an input: {outcome}; own links are taken once or left")


def special_files() -> None:
    """A pipe and a socket in place of results: a reader would hang."""
    import socket

    _good()
    pipe = tried(lambda: os.mkfifo("/out/pipe.csv"))
    with socket.socket(socket.AF_UNIX) as link:
        link.bind("/out/socket.csv")
    report(True, f"making a pipe: {pipe}; only regular files are taken", f"{1 + (pipe == 'ok')} special files")


def sparse_files() -> None:
    """Many files that hold nothing and read as gigabytes."""
    size = given()["file_mib"] << 20
    for number in range(40):
        with open(f"/out/{number}.bin", "wb") as file:
            file.truncate(size)
    report(True, "cap on what is taken", f"{40 * size >> 20} MiB apparent")


def too_many_files() -> None:
    """More results than are taken."""
    for number in range(given()["out_files"] + 20):
        with open(f"/out/{number}.txt", "w", encoding="ascii") as file:
            file.write("x")
    report(True, "cap on the number of files", f"{given()['out_files'] + 20} files")


def strange_names() -> None:
    """Names with line breaks, dots, control characters, bytes that are no text, and of 255 bytes."""
    _good()
    names = [b"a\nb.csv", b"..hidden", b"...", b"\x1b[2J.csv", b"\xff\xfe.csv", b"x" * 255, b"-rf", b"a\\b.csv",
             "\u202egnp.csv".encode(), b"con\r.csv", b" .csv", b"~root"]  # fmt: skip
    made = 0
    for name in names:
        with contextlib.suppress(OSError), open(b"/out/" + name, "wb"):
            made += 1
    report(made > 8, "only plain names are taken", f"{made} names")


def deep_folders() -> None:
    """Folders in folders past every path limit."""
    _good()
    os.chdir("/out")
    depth = 0
    while depth < 40 and tried(lambda: os.mkdir("d" * 100)) == "ok":
        os.chdir("d" * 100)
        depth += 1
    with open("deep.txt", "w", encoding="ascii") as file:
        file.write("x")
    report(True, "cap on depth", f"{depth} folders")


def case_twins() -> None:
    """Names that differ by case only: one would overwrite the other on some hosts."""
    for name in ("result.csv", "RESULT.csv", "Result.CSV"):
        with open(f"/out/{name}", "w", encoding="ascii") as file:
            file.write(name)
    report(True, "one of them is taken", "3 names")


def zip_bomb() -> None:
    """Archives that unpack to a hundred times the limit on outputs."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (100 << 20))
    with open("/out/bomb.zip", "wb") as file:
        file.write(content.getvalue())
    with gzip.open("/out/bomb.csv.gz", "wb") as packed:
        for _ in range(100):
            packed.write(b"\0" * (1 << 20))
    report(True, "nothing is unpacked", f"{os.path.getsize('/out/bomb.zip') >> 10} KiB for 100 MiB")


class _Loaded:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def pickles() -> None:
    """Files that run code when they are loaded: a pickle, a path file, a start-up module."""
    mark = given()["trap_file"]
    with open("/out/model.pkl", "wb") as file:
        pickle.dump(_Loaded(mark), file)
    for name in ("x.pth", "sitecustomize.py", "conftest.py"):
        with open(f"/out/{name}", "w", encoding="utf-8") as text:
            text.write(f"import pathlib; pathlib.Path({mark!r}).touch()\n")
    report(True, "nothing that was taken is loaded or run", "4 files")


def _in_background(work: str) -> None:
    if os.fork() == 0:
        os.setsid()
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        os.execv(sys.executable, [sys.executable, "-c", work])
    time.sleep(0.5)


def symlink_race() -> None:
    """A process left behind swaps a result and a link to the host's accounts while results are taken."""
    _good()
    _in_background(
        "import os\n"
        "open('/out/file','w').write('own'); os.symlink('/etc/passwd', '/out/link')\n"
        "while True:\n"
        "    os.rename('/out/file', '/out/swap'); os.rename('/out/swap', '/out/file')\n"
        "    os.rename('/out/link', '/out/good.csv'); os.rename('/out/good.csv', '/out/link')\n"
    )
    report(True, "the container is frozen before anything is taken")


def growing_file() -> None:
    """A process left behind makes a result grow while it is taken."""
    _good()
    _in_background(
        "f = open('/out/grow.bin', 'ab', 0)\nwhile True:\n    f.write(b'x' * 512); f.seek(0); f.truncate(1)\n"
    )
    report(True, "the container is frozen before anything is taken")


def hidden_reads() -> None:
    """Read an input in a process that is left behind, after the script ended."""
    _in_background("import time; time.sleep(0.1); open('/in/data.csv').read()")
    report(True, "reads are counted until the container is gone")
