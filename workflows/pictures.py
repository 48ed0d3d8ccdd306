"""Pictures from outside in a run: what came with the objective and with the papers, let through the gate and kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from labwright.config import KEY_PASSPHRASE, Config, FiguresConfig
from labwright.domain import Paper, Picture
from labwright.errors import KeyMissing, LabwrightError, WrongUse
from labwright.models.extras import absent_of
from labwright.models.weights import Progress
from labwright.safety.picture_gate import Gate, Looked, closed_gate, open_gate
from labwright.store import RunStore
from labwright.tools.paper_figures import MOST_MIB, HasFigures, PaperFigure
from labwright.workflows.literature_sources import NETWORK
from labwright.workflows.materials import Materials
from labwright.workflows.untrusted import keep_passages

FOLDER, NAME = "pictures", "pictures.json"
GIVEN = "_given.json"
"""Pictures that came with the objective; `NAME` holds them too, once they were read."""
MOST_GIVEN = 24
LIST = TypeAdapter(list[Picture])


def gate_of(figures: FiguresConfig, progress: Progress) -> Gate:
    """The gate that a configuration asks for; without the libraries that find faces, one that nothing passes.

    Args:
        figures: `[figures]`.
        progress: shows a download of the detectors, which are loaded for the first picture.

    Raises:
        KeyMissing, WrongUse: a key cannot be opened.
    """
    if figures.faces == "allow":
        return open_gate
    if absent := absent_of("faces"):
        lacking = ", ".join(absent)
        return closed_gate(f"faces cannot be looked for without {lacking}: pip install 'labwright[faces]'")
    from labwright.safety.faces.detection import DlibDetector
    from labwright.safety.faces.gate import face_gate
    from labwright.safety.faces.keys import load_key
    from labwright.safety.faces.recognisers import open_team

    phrase = os.environ.get(KEY_PASSPHRASE, "")
    if figures.keys and not phrase:
        raise KeyMissing(f'[figures] faces = "protect" needs the passphrase of the keys in {KEY_PASSPHRASE}')
    keys = [load_key(Path(path).expanduser(), phrase) for path in figures.keys]

    @cache
    def opened() -> Gate:
        return face_gate(DlibDetector(progress), [(key, open_team(key.record.team, progress)) for key in keys])

    return lambda image: opened()(image)


def given(paths: Sequence[Path], config: Config, progress: Progress) -> list[tuple[Picture, bytes]]:
    """The pictures that come with an objective, with what may be seen of each. None is left out silently.

    Args:
        paths: files; a text of the same name ending in .txt is the legend, else the name stands for it.
        config: names the model that reads them, and what is done with faces.
        progress: as for `gate_of`.

    Raises:
        WrongUse: no model would read them, there are too many, or one cannot be read or shows a face.
        SomethingMissing: faces cannot be looked for.
    """
    if not paths:
        return []
    if not config.figures.backend:
        raise WrongUse("--image: no model would look at it; name one in [figures] backend of labwright.toml")
    if len(paths) > MOST_GIVEN:
        raise WrongUse(f"--image: {len(paths)} pictures, at most {MOST_GIVEN}")
    gate = gate_of(config.figures, progress)
    found = []
    for number, path in enumerate(paths, start=1):
        figure = _read(path)
        looked = gate(figure.image)
        if looked.png is None:
            raise WrongUse(f"{path}: {looked.verdict}: {looked.reason}")
        found.append((_picture(f"given-{number}", "", figure, looked), looked.png))
    return found


def _read(path: Path) -> PaperFigure:
    try:
        if path.stat().st_size > MOST_MIB * 2**20:
            raise WrongUse(f"{path}: larger than {MOST_MIB} MiB; scale it down")
        beside = path.with_suffix(".txt")
        legend = beside.read_text(encoding="utf-8") if beside.is_file() else path.stem.replace("_", " ")
        return PaperFigure(path.name, "", " ".join(legend.split()), path.read_bytes())
    except OSError as error:
        raise WrongUse(f"{path}: {error.strerror}; check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise WrongUse(f"{path.with_suffix('.txt')}: not UTF-8; the legend of {path.name} is a plain text") from error


def keep_given(store: RunStore, pictures: Sequence[tuple[Picture, bytes]]) -> None:
    """Write the pictures that came with the objective into a run folder."""
    for picture, png in pictures:
        store.write_bytes(path_of(store, picture), png, durable=True)
    if pictures:
        listed = [picture.model_dump(mode="json") for picture, _ in pictures]
        store.write(store.folder / FOLDER / GIVEN, listed, durable=True)


def given_in(store: RunStore) -> list[Picture]:
    """The pictures that came with a run's objective."""
    path = store.folder / FOLDER / GIVEN
    return LIST.validate_json(path.read_bytes()) if path.is_file() else []


def pictures_in(store: RunStore) -> list[Picture]:
    """All pictures of a run as they were read; empty before that."""
    path = store.folder / NAME
    return LIST.validate_json(path.read_bytes()) if path.is_file() else []


def path_of(store: RunStore, picture: Picture) -> Path:
    """Where what may be seen of a picture is kept."""
    return store.path(FOLDER, f"{picture.id}.png")


def of_paper(m: Materials, paper: Paper) -> list[Picture]:
    """The pictures of a paper that its source holds, each through the gate; what passes is kept in the run folder."""
    source = next((s for s in m.sources if s.name == paper.source), None)
    if not isinstance(source, HasFigures) or not m.config.figures.papers:
        return []
    try:
        with m.log.spending("", "network" if paper.source in NETWORK else "retrieval"):
            found = source.figures(paper)
    except LabwrightError as error:
        m.log.note(f"{paper.id}: its pictures were not read: {error}")
        return []
    if len(found) > m.config.figures.papers:
        m.log.note(f"{paper.id}: {m.config.figures.papers} of its {len(found)} pictures were looked at")
    pictures = []
    for number, figure in enumerate(found[: m.config.figures.papers], start=1):
        looked = _through(m.gate, figure.image)
        picture = _picture(f"{paper.id}-{number}", paper.id, figure, looked)
        if looked.png is not None:
            m.store.write_bytes(path_of(m.store, picture), looked.png)
        keep_passages(m, picture.id, {"label": picture.label, "legend": picture.legend})
        pictures.append(picture)
    return pictures


def _through(gate: Gate, image: bytes) -> Looked:
    """A picture that the gate cannot judge is refused: it is not looked at for want of a detector."""
    try:
        return gate(image)
    except LabwrightError as error:
        return Looked("refused", None, f"faces cannot be looked for: {error}", None)


def _picture(name: str, origin: str, figure: PaperFigure, looked: Looked) -> Picture:
    return Picture(
        id=name,
        origin=origin,
        name=figure.name,
        label=figure.label,
        legend=figure.legend,
        sha256=hashlib.sha256(figure.image).hexdigest(),
        verdict=looked.verdict,
        faces=looked.faces,
        reason=looked.reason,
    )
