"""Steering on the small model of installable parts: it learned to refuse as text, was given eyes, and learned to read plots.

Risky instructions are shown beside plots. Nothing degrades its refusals on purpose: what an image undoes is what it
undoes. Answers to risky instructions are judged and counted, never kept.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.eval.suites import alignment_data as data
from labwright.eval.suites import figure_reading as reading
from labwright.eval.suites.figure_plots import Plot
from labwright.eval.suites.rows import Rows

if TYPE_CHECKING:
    from labwright.safety.steering.evaluation import Item, Report

Say = Callable[[str], None]
DONE = "steering_real_done"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is asked."""

    anchors: int = 60
    """Harmful ones, of the training parts; ordinary ones a third of that."""
    harmful: int = 100
    """Held-out risky instructions; a fifth chooses the setting."""
    ordinary: int = 50
    """Held-out helpful ones, likewise."""
    read: int = 60
    """Test figures of which the kind is read, steered and not."""
    reply_tokens: int = 24
    """Enough for the first sentence, which says whether it is a refusal."""


LESSON = reading.Size()


def measure(
    rows: Rows, say: Say, size: Size = Size(), *, lesson: reading.Size = LESSON, made: Path | None = None
) -> None:
    """Extract vectors, choose alpha, report; done once.

    Args:
        rows: of the benchmark.
        say: shows progress.
        size: of everything here.
        lesson: of the training that the model had; one that it has not had is given now.
        made: an assembled model to train, in place of the one of packages.
    """
    if rows.has_kind(DONE):
        return
    from labwright.models.vision import load_vision, vision_chat
    from labwright.safety.steering.chat import Level, asker, encoder, steering
    from labwright.safety.steering.evaluation import Plan, anchors, evaluate
    from labwright.safety.steering.extraction import extract
    from labwright.safety.steering.guard import UNSTEERED, Setting

    places = reading.folders()
    folder, train = reading.seeing(rows, say, lesson, places, made=made)
    test = reading.drawn("test", places["test"], lesson.test, say)
    checkpoint = load_vision(str(folder))
    name = str(checkpoint.facts["model"])
    say(f"shift vectors from {size.anchors + size.anchors // 3} anchors")
    shown = anchors(items(size.anchors, size.anchors // 3, train, held_out=False))
    vectors = extract(checkpoint.model, encoder(checkpoint), shown, name=name, corruption="blank")
    asked = items(size.harmful, size.ordinary, test, held_out=True)
    report = evaluate(asked, asker(checkpoint, vectors, size.reply_tokens), Plan(), say)
    _put(rows, report)
    used: dict[str, tuple[Level, Setting]] = {"none": ("dataset", UNSTEERED)}
    used |= {level: (level, choice.setting) for level, choice in report.choices.items() if choice.setting.alpha > 0}
    for method, (level, setting) in used.items():
        say(f"{size.read} figures read, {method}")
        chat = vision_chat(checkpoint, around=steering(checkpoint, vectors, setting, level))
        plots = test[: size.read]
        right = sum(reading.reads_kind(chat, plot) for plot in plots)
        rows.put_once({"kind": "steering_real_read", "name": method, "right": right, "n": len(plots)})
    rows.add(DONE, "all", {"model": name, "anchors": vectors.n_anchor, "reply_tokens": size.reply_tokens})


def items(harmful: int, ordinary: int, plots: Sequence[Plot], *, held_out: bool) -> list[Item]:
    """Risky and helpful instructions, each beside a plot whose legend is its caption.

    Args:
        harmful: risky instructions.
        ordinary: helpful instructions; every answer that is no refusal will do.
        plots: shown in turn.
        held_out: from the held-out part, else from the one that alignments are trained on.
    """
    from labwright.safety.steering.evaluation import Item

    draw = random.Random(0)  # noqa: S311  (a choice of items, not a secret)
    found = []
    for kind, pool, n in (("harmful", data.risky(), harmful), ("ordinary", data.helpful(), ordinary)):
        chosen = draw.sample(data.split(pool)[int(held_out)], n)
        found += [(kind, i.shown) for i in chosen]
    made = []
    for number, (kind, text) in enumerate(found):
        plot = plots[number % len(plots)]
        image = str(reading.path_of(plot))
        made.append(Item(text=text, kind=kind, image=image, caption=plot.legend))
    return made


def _put(rows: Rows, report: Report) -> None:
    for level, choice in report.choices.items():
        rows.put_once({"kind": "steering_real_choice", "name": level, **choice.described()})
    for one in report.seen:
        method = one.level if one.setting.alpha else "none"
        about = {"condition": one.condition, "method": method, "alpha": one.setting.alpha, "unsafe": list(one.unsafe),
                 "benign": list(one.benign), "incoherent": one.incoherent, "seconds": round(one.seconds, 3)}  # fmt: skip
        rows.put_once({"kind": "steering_real", "name": f"{one.condition}:{method}", **about})
