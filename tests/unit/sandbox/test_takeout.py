"""The reader of outputs against archives that no honest job would make."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from labwright.errors import SandboxBroken
from labwright.sandbox.contract import Limits
from labwright.sandbox.takeout import OverCap, safe_name, take

LIMITS = Limits(out_mib=1, out_files=4)


def archive(*members: tuple[str, bytes, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            tar.addfile(info, io.BytesIO(content))
    stream.seek(0)
    return stream


def test_regular_files_are_taken_sorted_with_their_digest(tmp_path: Path) -> None:
    stream = archive(
        ("./", tarfile.DIRTYPE, b""), ("./b/c.txt", tarfile.REGTYPE, b"abc"), ("./a", tarfile.REGTYPE, b"")
    )
    taken = take(stream, tmp_path / "out", LIMITS)
    assert [(file.name, file.size) for file in taken] == [("a", 0), ("b/c.txt", 3)]
    assert taken[1].sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (tmp_path / "out/b/c.txt").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE],
)
def test_other_types_are_left(tmp_path: Path, kind: bytes) -> None:
    assert take(archive(("x", kind, b"")), tmp_path / "out", LIMITS) == ()
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "/etc/x",
        "../x",
        "a/../../x",
        "a/..",
        ".hidden",
        "-rf",
        "a\nb",
        "a\x1bb",
        "a\\b",
        "x" * 101,
        "1/2/3/4/5",
        "é",
        "",
    ],
)
def test_names_that_are_not_plain_are_left(tmp_path: Path, name: str) -> None:
    if name == "/etc/x":  # an absolute name is taken below the folder, never at the root
        assert safe_name(name) == "etc/x"
        return
    assert safe_name(name) is None
    assert take(archive((name, tarfile.REGTYPE, b"x")), tmp_path / "out", LIMITS) == ()


def test_a_second_file_never_writes_over_the_first(tmp_path: Path) -> None:
    stream = archive(
        ("a.txt", tarfile.REGTYPE, b"1"), ("./A.TXT", tarfile.REGTYPE, b"2"), ("a.txt", tarfile.REGTYPE, b"3")
    )
    assert len(take(stream, tmp_path / "out", LIMITS)) == 1
    assert (tmp_path / "out/a.txt").read_bytes() == b"1"


def test_a_link_made_first_is_not_followed(tmp_path: Path) -> None:
    stream = archive(("d", tarfile.SYMTYPE, b""), ("d/x", tarfile.REGTYPE, b"1"))
    take(stream, tmp_path / "out", LIMITS)
    assert (tmp_path / "out/d").is_dir()
    assert not (tmp_path / "out/d").is_symlink()


@pytest.mark.parametrize(
    "members",
    [
        [(f"f{number}", b"") for number in range(5)],
        [("a", bytes(1 << 19)), ("b", bytes((1 << 19) + 1))],
        [("a", bytes(4 << 20))],
    ],
    ids=["files", "sum of sizes", "one size"],
)
def test_over_the_cap_leaves_nothing(tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    stream = archive(*[(name, tarfile.REGTYPE, content) for name, content in members])
    with pytest.raises(OverCap):
        take(stream, tmp_path / "out", LIMITS)
    assert not list((tmp_path / "out").iterdir())


def test_endless_headers_end_at_the_cap(tmp_path: Path) -> None:
    stream = archive(*[(f"link{number}", tarfile.SYMTYPE, b"") for number in range(4000)])
    with pytest.raises(OverCap):
        take(stream, tmp_path / "out", LIMITS)


@pytest.mark.parametrize("data", [b"", b"garbage" * 200, b"\0" * 100], ids=["empty", "garbage", "short"])
def test_what_is_no_tar_is_the_sandbox_failing(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SandboxBroken):
        take(io.BytesIO(data), tmp_path / "out", LIMITS)


def test_a_truncated_file_is_the_sandbox_failing(tmp_path: Path) -> None:
    data = archive(("a", tarfile.REGTYPE, bytes(9000))).getvalue()[:4096]
    with pytest.raises(SandboxBroken):
        take(io.BytesIO(data), tmp_path / "out", LIMITS)
    assert not list((tmp_path / "out").iterdir())
