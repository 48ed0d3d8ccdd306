"""A small model that sees, made of parts that install from packages, taught to read figures and measured on other data sets.

The tower is EfficientNet-Lite0, the language model SmolLM2-135M after harmless alignment; the connector is trained whole, the language model by
adapters, on some five thousand figures: what each shows in words, and one question about it. Every test figure is asked all
six questions, with the image and its legend, and with the legend alone.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.agents.figures import Field, figure_prompt
from labwright.config import cache_dir
from labwright.eval.suites.figure_plots import (
    TEST,
    VALIDATION,
    Plot,
    draw_plot,
    make_plots,
    pictures_sha256,
    read_table,
)
from labwright.eval.suites.rows import Rows
from labwright.models.ask import label_mass
from labwright.models.prompt_file import Material

if TYPE_CHECKING:
    from labwright.models.training.seeing import SeenExample
    from labwright.models.vision import VisionChat

Say = Callable[[str], None]
TRAIN_EACH, VALIDATION_EACH, TEST_EACH = 420, 30, 50
ALIGNED = "harmless"
"""Which of the alignments of the benchmark of fusions is given eyes."""
FENCE = "figure"
DESCRIBE = "What does this figure show?"
DIRECTION_SAID = {"rises": "rises", "falls": "falls", "neither": "neither rises nor falls"}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is drawn and learned."""

    train: int = TRAIN_EACH
    validation: int = VALIDATION_EACH
    test: int = TEST_EACH
    epochs: float = 1.0


def parts() -> dict[str, list[str]]:
    """Data sets by what they are for."""
    from labwright.tools.catalogue.catalogue import load_cards

    found: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for card in load_cards():
        part = "test" if card["id"] in TEST else "validation" if card["id"] in VALIDATION else "train"
        found[part].append(str(card["id"]))
    return found


def folders() -> dict[str, list[Path]]:
    """The same, fetched and converted where they are not on this machine.

    Raises:
        EngineMissing, SourceUnavailable, HashMismatch, RunFailed: one has to be converted and cannot be.
    """
    from labwright.config import load_config
    from labwright.sandbox.connect import connect
    from labwright.workflows.data import data_folder

    run_job = cache(lambda: connect(load_config().sandbox).run)  # no engine is needed where all are converted
    return {
        part: [data_folder(name, lambda job, out: run_job()(job, out)) for name in names]
        for part, names in parts().items()
    }


def drawn(part: str, places: Sequence[Path], each: int, say: Say) -> list[Plot]:
    """The figures of a part; drawn once a machine."""
    tables = []
    for place in places:
        table = read_table(place)
        try:
            draw_plot(table, 0)
        except ValueError:  # a data set with nothing to draw
            continue
        tables.append(table)
    say(f"{each} figures of each of {len(tables)} data sets, for {part}")
    return make_plots(tables, each, _figures())


def _figures() -> Path:
    return cache_dir() / "bench" / "vision" / "figures"


def path_of(plot: Plot) -> Path:
    """File of a figure that was drawn."""
    return _figures() / f"{plot.id}.png"


def picture(name: str) -> Any:
    """The figure of an example, RGB; an example is named `PLOT:FIELD`."""
    from PIL import Image

    return Image.open(_figures() / f"{name.split(':')[0]}.png").convert("RGB")


def example(plot: Plot, field: Field) -> SeenExample:
    """One question about one figure, and the label of the right option."""
    from labwright.models.training.seeing import SeenExample

    asked = figure_prompt(Material(plot.legend, FENCE), field)
    right = field.labels[field.options.index(plot.truth()[field.name])]
    return SeenExample(f"{plot.id}:{field.name}", asked.system, asked.user, right)


def described(plot: Plot) -> SeenExample:
    """What can be seen of one figure, in a sentence: a connector learns from every word of it."""
    from labwright.models.training.seeing import SeenExample

    groups = f"{len(plot.groups)} group{'s' if len(plot.groups) > 1 else ''}"
    said = f"{plot.kind}, {groups}; the measure {DIRECTION_SAID[plot.direction]}"
    return SeenExample(f"{plot.id}:described", "", DESCRIBE, said)


def lessons(plots: Sequence[Plot], seed: int = 0) -> list[SeenExample]:
    """Every figure described, and a question about it, the fields in turn; in an order of the seed."""
    draw = random.Random(seed)  # noqa: S311
    order = list(plots)
    draw.shuffle(order)
    made = []
    for number, plot in enumerate(order):
        fields = plot.fields()
        made += [described(plot), example(plot, fields[number % len(fields)])]
    draw.shuffle(made)
    return made


def measure(rows: Rows, say: Say, size: Size = Size(), *, made: Path | None = None) -> None:
    """Draw, assemble, train and read; what was done on this machine or is in the rows is not done again.

    Args:
        rows: of the benchmark.
        say: shows progress.
        size: of everything.
        made: an assembled model to train, in place of the one of packages.
    """
    places = folders()
    test = drawn("test", places["test"], size.test, say)
    if all(rows.has("figure_read", plot.id) for plot in test):
        return
    trained, train = seeing(rows, say, size, places, made=made)
    chat = _opened(trained)
    usual = usual_answers(train)
    for number, plot in enumerate(test, 1):
        if not rows.has("figure_read", plot.id):
            if number % 10 == 1:
                say(f"reading figure {number} of {len(test)}")
            rows.put_once({"kind": "figure_read", "name": plot.id, "dataset": plot.dataset, "type": plot.kind,
                           "read": read(chat, plot, usual)})  # fmt: skip


def seeing(
    rows: Rows, say: Say, size: Size, places: dict[str, list[Path]], *, made: Path | None = None
) -> tuple[Path, list[Plot]]:
    """The model that was taught to read figures, taught now where it was not, and the figures that taught it.

    Args:
        rows: get what the training came to.
        say: shows progress.
        size: of the lesson.
        places: of :func:`folders`.
        made: as for :func:`measure`.
    """
    home = cache_dir() / "bench" / "vision"
    train = drawn("training", places["train"], size.train, say)
    validation = drawn("validation", places["validation"], size.validation, say)
    assembled = made or _assembled(home, say)
    trained = home / f"seeing-{_lesson(assembled, [*train, *validation], size)}"
    if not (trained / "training.json").is_file():
        _train(assembled, train, validation, trained, (size, rows, say))
    return trained, train


def _assembled(home: Path, say: Say) -> Path:
    """Tower, random connector and a language model that learned to refuse, as one folder."""
    from labwright.eval.suites.fusion_models import Plan, Work, ensure
    from labwright.models.checkpoints import load_checkpoint
    from labwright.models.eyes import assemble, load_eyes

    base = ensure(Work(Plan(), 0, say), ALIGNED)
    folder = home / f"assembled-{base.parent.name}"
    if not (folder / "processor_config.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        say(f"EfficientNet-Lite0, a connector, {Plan().base} after {ALIGNED} alignment")
        assemble(load_checkpoint(str(base)), load_eyes(), folder)
    return folder


def _lesson(assembled: Path, plots: Sequence[Plot], size: Size) -> str:
    """What a model is taught, as a digest: a model of a quick run, or of other questions, is not that of a full one."""
    told = f"{assembled.resolve()} {pictures_sha256(plots)} {size.epochs} {lessons(plots)}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _train(
    assembled: Path, train: Sequence[Plot], validation: Sequence[Plot], folder: Path, how: tuple[Size, Rows, Say]
) -> None:
    from labwright.models.training.config import TrainingConfig
    from labwright.models.training.seeing import SEEING, train_seeing
    from labwright.models.vision import load_vision

    size, rows, say = how
    settings = TrainingConfig(
        lora=SEEING, epochs=size.epochs, learning_rate=5e-4, warmup_steps=20, batch_size=16, max_tokens=400,
        autocast="bfloat16", checkpoint_every=25, heldout_every=100, log_every=10,
    )  # fmt: skip
    result = train_seeing(
        load_vision(str(assembled)),
        lessons(train),
        picture,
        folder,
        images_sha256=pictures_sha256([*train, *validation]),
        config=settings,
        heldout=lessons(validation),
        report=lambda p: say(f"step {p.step} of {p.steps}, loss {p.loss:.3f}" if p.steps else p.note),
        resume=folder.is_dir(),
    )
    rows.add("figure_training", "seeing", {"figures": len(train), "steps": result.steps, "loss": result.loss,
                                           "heldout_loss": result.heldout_loss, "tokens": result.tokens,
                                           "seconds": round(result.seconds)})  # fmt: skip


def _opened(folder: Path) -> VisionChat:
    from labwright.models.vision import load_vision, vision_chat

    return vision_chat(load_vision(str(folder)))


def usual_answers(train: Sequence[Plot]) -> dict[str, str]:
    """Field to the most frequent answer of the training figures."""
    return {name: Counter(plot.truth()[name] for plot in train).most_common(1)[0][0] for name in train[0].truth()}


def read(chat: VisionChat, plot: Plot, usual: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Field to what is right, what was read with the image and from the legend alone, and what guessing gives.

    Guessing takes the usual answer where it is an option, and is right once in so many options where it is not.
    """
    image = path_of(plot).read_bytes()
    found = {}
    for field in plot.fields():
        right = plot.truth()[field.name]
        guess = float(usual[field.name] == right) if usual[field.name] in field.options else 1 / len(field.options)
        found[field.name] = {
            "right": right,
            "image": _answer(chat, plot, field, (image,)),
            "legend": _answer(chat, plot, field, ()),
            "guess": round(guess, 4),
        }
    return found


def reads_kind(chat: VisionChat, plot: Plot) -> bool:
    """Whether the kind of a figure is read rightly from its image."""
    field = next(f for f in plot.fields() if f.name == "kind")
    return _answer(chat, plot, field, (path_of(plot).read_bytes(),)) == plot.truth()["kind"]


def _answer(chat: VisionChat, plot: Plot, field: Field, images: Sequence[bytes]) -> str:
    """The option with the most probability."""
    from langchain_core.messages import HumanMessage, SystemMessage

    from labwright.models.reply import top_tokens

    asked = figure_prompt(Material(plot.legend, FENCE), field, images)
    blocks = [{"type": "image", "base64": i, "mime_type": "image/png"} for i in asked.images]
    messages = [SystemMessage(asked.system), HumanMessage([*blocks, {"type": "text", "text": asked.user}])]
    reply = chat.invoke(messages, max_tokens=1, temperature=0, logprobs=True, top_logprobs=20)
    mass = label_mass(top_tokens(reply), field.labels)
    return field.options[field.labels.index(max(field.labels, key=lambda label: mass[label]))]


def shares(rows: Sequence[dict[str, Any]], what: str) -> Iterator[float]:
    """Share of the fields that are right, figure by figure; `what` is image, legend or guess."""
    for row in rows:
        fields = row["read"].values()
        right = [f["guess"] if what == "guess" else float(f[what] == f["right"]) for f in fields]
        yield sum(right) / len(right)
