"""The commands `labwright privacy`: masks that keep faces in photos from being recognised (docs/privacy.md)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli_screen import Screen, emit, table

if TYPE_CHECKING:
    from labwright.safety.faces.audit import Seen, Unread
    from labwright.safety.faces.keys import MaskKey
    from labwright.safety.faces.recognisers import GraphRecogniser

privacy_app = typer.Typer(no_args_is_help=True, help="Masks that keep faces in photos from being recognised.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Key = Annotated[Path, typer.Option("--key", help="Key file of the person.")]
Photos = Annotated[list[Path], typer.Argument(help="Photos, or folders of them.")]
Out = Annotated[Path, typer.Option(help="Folder of the results; nothing in it is overwritten.")]


@privacy_app.command("enrol")
def enrol(
    person: Annotated[str, typer.Argument(help="Name of the person; the key keeps a salted hash of it.")],
    photos: Photos,
    out: Annotated[Path, typer.Option(help="Key file to write.")],
    team: Annotated[str, typer.Option(help="Recognisers to learn against: names, or .toml cards of your own.")] = "",
    people: Annotated[
        Path | None, typer.Option(help="Folder of other people, one folder each: the best team is chosen on them.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the photos.", min=1)] = 50,
    budget: Annotated[float, typer.Option(help="Greatest change of a pixel, grey levels.", min=1, max=64)] = 16.0,
    dissimilarity: Annotated[
        float, typer.Option(help="Visible change that costs nothing, (1 - SSIM)/2.", min=0.001, max=0.4)
    ] = 0.03,
    seed: Annotated[int, typer.Option(help="Another one gives another mask, for a new key.")] = 2023,
    as_json: Json = False,
) -> None:
    """Learn one mask for a person from several photos, and write their encrypted key."""
    _ready()
    from labwright.errors import WrongUse
    from labwright.safety.faces.keys import save_key
    from labwright.safety.faces.mask import MaskSettings
    from labwright.safety.faces.person import enrol as learned
    from labwright.safety.faces.person import own_faces
    from labwright.safety.faces.protection import protect

    if out.exists():
        raise WrongUse(f"{out}: is there already; a key is not overwritten, for its photos need it")
    with Screen() as screen:
        recognisers = _team(team.split(","), screen)
        if people is not None:
            recognisers = _chosen(people, recognisers, screen)
        pictures = _pictures(photos)
        phrase = _passphrase(new=True)
        faces = own_faces(pictures, _detector(screen), recognisers)
        # Few photos in large batches give few updates: the mask would not reach its budget.
        settings = MaskSettings(
            budget=budget, epochs=epochs, dissimilarity=dissimilarity, seed=seed, batch=min(4, max(1, len(faces) // 4))
        )
        screen.say(f"{len(faces)} photos, {epochs} epochs, learned against {', '.join(r.name for r in recognisers)}")
        key = learned(
            person,
            faces,
            recognisers,
            settings,
            lambda e: screen.say(f"epoch {e.number}: angle {e.angle:.2f}, SSIM {1 - 2 * e.dissimilarity:.3f}"),
        )
        save_key(key, out, phrase)
    rows = [(f.name, *_effect(f.pixels, f.box, protect(f.pixels, [f.box], key.mask)[0], recognisers)) for f in faces]
    head = ("photo", "SSIM", "PSNR", *(f"to {r.name}" for r in recognisers))
    if as_json:
        emit({"key": str(out), "id": key.id, "photos": [dict(zip(head, row, strict=True)) for row in rows]})
        return
    table(head, [(row[0], *(f"{v:.3f}" for v in row[1:])) for row in rows])
    typer.echo(f"{out}: key {key.id}. Last columns: likeness of each photo to itself under the mask.")
    typer.echo("Keep the key and its passphrase apart from the photos: with them the mask comes off.")


def _effect(pixels: Any, box: Any, made: Any, team: list[GraphRecogniser]) -> list[float]:
    from labwright.safety.faces.protection import compared
    from labwright.safety.faces.recognisers import observer

    quality = compared(pixels[box.rows, box.columns], made[box.rows, box.columns])
    likeness = [float(observer(r)(pixels, box) @ observer(r)(made, box)) for r in team]
    return [round(v, 4) for v in (*quality, *likeness)]


@privacy_app.command("protect")
def protect(
    photos: Photos,
    key: Key,
    out: Out,
    any_face: Annotated[
        bool, typer.Option("--any-face", help="Mask the largest face where the person is not recognised.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put the person's mask on photos, at their full size; each gets a note beside it that restoring needs."""
    _ready()
    from labwright.errors import WrongUse
    from labwright.safety.faces.notes import write_protected
    from labwright.safety.faces.person import faces_of
    from labwright.safety.faces.protection import protect as apply

    done = []
    with Screen() as screen:
        held = _key(key)
        recognisers, detector = _team(held.record.team, screen), _detector(screen)
        for name, pixels in _pictures(photos).items():
            boxes = detector(pixels)
            own = [box for box, _ in faces_of(held, pixels, boxes, recognisers)] or (boxes[:1] if any_face else [])
            if not own:
                what = f"{len(boxes)} faces, none taken for the person's" if boxes else "no face found"
                raise WrongUse(f"{name}: {what}; leave it out, or give --any-face for the largest one")
            made, changes = apply(pixels, own, held.mask, held.record.settings.margin)
            target = write_protected(made, own, held, out, Path(name).stem)
            done += [(str(target), c.ssim, c.psnr, c.cut_off, len(boxes) - len(own)) for c in changes]
    head = ("photo", "SSIM", "PSNR", "cut off", "other faces")
    if as_json:
        emit([dict(zip(head, row, strict=True)) for row in done])
    else:
        table(head, [(row[0], *(f"{v:.3f}" for v in row[1:4]), row[4]) for row in done])


@privacy_app.command("restore")
def restore(photos: Photos, key: Key, out: Out, as_json: Json = False) -> None:
    """Take the mask off protected photos, with the key of the person and the notes beside the photos."""
    _ready()
    from labwright.safety.faces.notes import read_boxes
    from labwright.safety.faces.photos import write_photo
    from labwright.safety.faces.protection import restore as undo

    held = _key(key)
    made = []
    for name, pixels in _pictures(photos).items():
        boxes = read_boxes(Path(name), held, pixels)
        target = out / f"{Path(name).stem}.png"
        write_photo(undo(pixels, boxes, held.mask, held.record.settings.margin), target)
        made.append(str(target))
    if as_json:
        emit(made)
    else:
        for path in made:
            typer.echo(path)


@privacy_app.command("audit")
def audit(
    folder: Annotated[Path, typer.Argument(help="A folder of pictures; with --evaluate a folder of one a person.")],
    key: Annotated[Path | None, typer.Option("--key", help="Key file: which faces are this person's?")] = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Learn and test a mask for each person of the folder; takes hours.")
    ] = False,
    team: Annotated[str, typer.Option(help="Recognisers to learn against, with --evaluate.")] = "",
    unseen: Annotated[str, typer.Option(help="Recognisers that only test, with --evaluate.")] = "faceres-deep,dlib",
    epochs: Annotated[int, typer.Option(help="Passes over the photos, with --evaluate.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List the faces of a folder, and which of them are recognisable; exit code 1 where one is."""
    _ready()
    from dataclasses import asdict

    from labwright.safety.faces.audit import Seen
    from labwright.safety.faces.audit import audit as look

    with Screen() as screen:
        if evaluate:
            _evaluate(folder, _team(team.split(","), screen), unseen, epochs, as_json, screen)
            return
        held = _key(key) if key else None
        recognisers = _team(held.record.team, screen) if held else []
        found = list(look(folder, _detector(screen), held, recognisers))
    if as_json:
        emit([asdict(f) for f in found])
    else:
        table(("picture", "face", "verdict", "likeness"), [_line(f) for f in found])
    bare = [f for f in found if not isinstance(f, Seen) or f.verdict in ("a face", "recognisable")]
    raise typer.Exit(1 if bare else 0)


def _line(found: Seen | Unread) -> tuple[str, str, str, str]:
    from labwright.safety.faces.audit import Unread

    if isinstance(found, Unread):
        return str(found.path), "", "not read", found.reason
    box, each = found.box, {one.recogniser: f"{one.cosine:.2f}" for one in found.likeness}
    for one in found.restored:
        each[one.recogniser] += f" ({one.cosine:.2f} without the mask)"
    place = f"{box.width} x {box.height} at {box.left}, {box.top}"
    return str(found.path), place, found.verdict, ", ".join(f"{n} {v}" for n, v in each.items())


def _evaluate(
    folder: Path, team: list[GraphRecogniser], unseen: str, epochs: int, as_json: bool, screen: Screen
) -> None:
    from labwright.eval.intervals import wilson
    from labwright.safety.faces.evaluation import LEAST_PEOPLE, evaluate, read_people
    from labwright.safety.faces.mask import MaskSettings
    from labwright.safety.faces.recognisers import open_observers

    people = read_people(folder, _detector(screen), screen.say)
    observers = open_observers(unseen.split(",") if unseen else [], screen.download)
    outcomes = list(evaluate(people, team, observers, MaskSettings(epochs=epochs), screen.say))
    rates = []
    for setting, name in sorted({(o.setting, o.recogniser) for o in outcomes}):
        mine = [o for o in outcomes if (o.setting, o.recogniser) == (setting, name)]
        hits, n = sum(o.protected for o in mine), len(mine)
        known = "white box" if name in {r.name for r in team} else "black box"
        rates.append({"setting": setting, "recogniser": name, "box": known, "protected": hits, "photos": n,
                      "interval": wilson(hits, n) if len(people) >= LEAST_PEOPLE else None})  # fmt: skip
    if as_json:
        from dataclasses import asdict

        emit({"people": len(people), "rates": rates, "outcomes": [asdict(o) for o in outcomes]})
        return
    rows = [(o.photo, o.setting, o.recogniser, o.found, f"{o.likeness:.2f}", f"{o.other:.2f}") for o in outcomes]
    table(("photo", "setting", "recogniser", "nearest", "to the person", "to others"), rows)
    table(("setting", "recogniser", "", "protected", "rate"), [_rate(r) for r in rates])
    if len(people) < LEAST_PEOPLE:
        typer.echo(
            f"{len(people)} people are too few for a rate: {LEAST_PEOPLE} with {LEAST_PEOPLE} photos each give one"
        )


def _rate(row: dict[str, Any]) -> tuple[Any, ...]:
    share = row["protected"] / row["photos"]
    low, high = row["interval"] or (None, None)
    rate = "" if low is None else f"{share:.1%} [{low:.1%}, {high:.1%}]"
    return row["setting"], row["recogniser"], row["box"], f"{row['protected']} of {row['photos']}", rate


@privacy_app.command("gate")
def gate(
    images: Annotated[list[Path], typer.Argument(help="Pictures; the legend of one is the .txt file beside it.")],
    out: Annotated[Path, typer.Option(help="Folder that receives what may be seen of them.")],
    config: Annotated[Path | None, typer.Option(help="labwright.toml to use.")] = None,
    as_json: Json = False,
) -> None:
    """Do with pictures what a run does with those that are given to it: refuse them, mask them, or let them through."""
    from labwright.config import load_config
    from labwright.errors import WrongUse
    from labwright.workflows.pictures import given

    with Screen() as screen:
        found = given(images, load_config(config), screen.download)
    out.mkdir(parents=True, exist_ok=True)
    for picture, png in found:
        try:
            with (out / f"{picture.id}.png").open("xb") as file:
                file.write(png)
        except FileExistsError as error:
            raise WrongUse(f"{out / picture.id}.png: is there already, and is not overwritten") from error
    if as_json:
        emit([picture.model_dump(mode="json") for picture, _ in found])
    else:
        table(("picture", "verdict", "faces"), [(p.name, p.verdict, p.faces) for p, _ in found])


# What several commands need.


def _ready() -> None:
    """Say which libraries are missing before anything imports them."""
    from labwright.models.extras import require

    require("faces", "labwright privacy")


def _team(names: Sequence[str], screen: Screen) -> list[GraphRecogniser]:
    from labwright.safety.faces.recognisers import TEAM, open_team

    return open_team([n for n in names if n] or TEAM, screen.download)


def _chosen(people: Path, recognisers: list[GraphRecogniser], screen: Screen) -> list[GraphRecogniser]:
    """Of the recognisers those whose failures on other people differ the most."""
    from labwright.safety.faces.evaluation import read_people
    from labwright.safety.faces.team import named_rightly, rank_teams

    others = read_people(people, _detector(screen), screen.say)
    best = rank_teams(named_rightly(others, recognisers), [r.name for r in recognisers])[0]
    screen.say(f"team {', '.join(best.members)}: diversity {best.diversity:.2f}, least accuracy {best.accuracy:.2f}")
    return [r for r in recognisers if r.name in best.members]


def _detector(screen: Screen) -> Any:
    from labwright.safety.faces.detection import DlibDetector

    return DlibDetector(screen.download)


def _pictures(paths: list[Path]) -> dict[str, Any]:
    """Photos by their path, folders opened.

    Raises:
        WrongUse: one cannot be read, two have one name, or there is none.
    """
    from labwright.errors import WrongUse
    from labwright.safety.faces.photos import photos_of, read_photo

    files = [f for path in paths for f in photos_of(path)]
    stems = [f.stem for f in files]
    twice = sorted({s for s in stems if stems.count(s) > 1})
    if twice:
        raise WrongUse(f"two photos are called {twice[0]!r}; results are named after them, so rename one")
    return {str(f): read_photo(f) for f in files}


def _passphrase(*, new: bool) -> str:
    """From the environment, or asked for without an echo.

    Raises:
        KeyMissing: neither is possible.
    """
    from labwright.config import KEY_PASSPHRASE
    from labwright.errors import KeyMissing

    given = os.environ.get(KEY_PASSPHRASE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise KeyMissing(f"the passphrase of the key: set {KEY_PASSPHRASE}, or type it in a terminal")
    return str(typer.prompt("Passphrase of the key", hide_input=True, confirmation_prompt=new, err=True))


def _key(path: Path) -> MaskKey:
    from labwright.safety.faces.keys import load_key

    return load_key(path, _passphrase(new=False))
