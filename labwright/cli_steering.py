"""The commands `labwright models steer`: shift vectors of a vision-language model, and answers (CMRM)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from labwright.cli_screen import Screen, emit, printable, table

if TYPE_CHECKING:
    from labwright.models.vision import VisionCheckpoint
    from labwright.safety.steering.evaluation import Report

steer_app = typer.Typer(no_args_is_help=True, help="Steer a vision-language model back to its refusals.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Model = Annotated[str, typer.Argument(help="Folder of a vision-language model.")]
Vectors = Annotated[Path, typer.Option(help="Folder of the shift vectors.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16 weights.")]


@steer_app.command("extract")
def extract(
    model: Model,
    anchors: Annotated[Path, typer.Option(help="Prompts with images, harmful and ordinary ones (docs/steering.md).")],
    out: Annotated[Path, typer.Option(help="Folder of the vectors.")],
    corruption: Annotated[str, typer.Option(help="blank, noise, black or mean_colour.")] = "blank",
    aggregate: Annotated[str, typer.Option(help="mean, or a form of the first principal component.")] = "mean",
    dtype: Dtype = "float32",
    as_json: Json = False,
) -> None:
    """Take shift vectors from a model: where an image moves its hidden states."""
    _ready()
    from labwright.errors import WrongUse
    from labwright.safety.steering.chat import encoder
    from labwright.safety.steering.corruption import CORRUPTIONS
    from labwright.safety.steering.evaluation import anchors as opened
    from labwright.safety.steering.evaluation import read_items
    from labwright.safety.steering.extraction import extract as taken
    from labwright.safety.steering.vectors import AGGREGATES, FACTS

    for given, known in ((corruption, CORRUPTIONS), (aggregate, AGGREGATES)):
        if given not in known:
            raise WrongUse(f"{given!r}: one of {', '.join(known)}")
    if (out / FACTS).exists():
        raise WrongUse(f"{out}: has shift vectors already; name another folder")
    items = read_items(anchors)
    with Screen() as screen:
        checkpoint = _loaded(model, dtype, screen)
        found = taken(
            checkpoint.model,
            encoder(checkpoint),
            opened(items),
            name=str(checkpoint.facts["model"]),
            corruption=corruption,  # type: ignore[arg-type]
            how=aggregate,  # type: ignore[arg-type]
            report=lambda done: screen.say(f"{done} of {len(items)} anchors"),
        )
        found.save(out)
    lengths = {layer: round(float(v.norm()), 4) for layer, v in sorted(found.layers.items())}
    if as_json:
        emit({"folder": str(out), "model": found.model, "anchors": found.n_anchor, "lengths": lengths})
    else:
        typer.echo(f"{out}: {len(lengths)} layers from {found.n_anchor} anchors of {found.model}")


@steer_app.command("evaluate")
def evaluate(
    model: Model,
    vectors: Vectors,
    items: Annotated[Path, typer.Option(help="Prompts with images, none of them an anchor (docs/steering.md).")],
    levels: Annotated[str, typer.Option(metavar="A,B", help="dataset, sample.")] = "dataset,sample",
    alphas: Annotated[str, typer.Option(metavar="A,B", help="Strengths to choose from, beside none.")] = "",
    layers: Annotated[str, typer.Option(metavar="A,B", help="Layers to choose from: all, upper_half, last.")] = "",
    positions: Annotated[
        str, typer.Option(metavar="A,B", help="Tokens to choose from: last_and_generated, last_prompt, all.")
    ] = "",
    reply_tokens: Annotated[int, typer.Option(help="Longest answer, tokens.", min=1)] = 64,
    dtype: Dtype = "float32",
    as_json: Json = False,
) -> None:
    """Choose how strongly and where on a fifth of the items, report the others; the choice stays with the vectors."""
    _ready()
    from labwright.safety.steering.chat import asker, vectors_hash, write_choice
    from labwright.safety.steering.evaluation import Plan, as_document, read_items
    from labwright.safety.steering.evaluation import evaluate as measured
    from labwright.safety.steering.guard import settings
    from labwright.safety.steering.vectors import ShiftVectors

    read = read_items(items)
    tried = settings(**_given(alphas, layers, positions))
    with Screen() as screen:
        checkpoint = _loaded(model, dtype, screen)
        held = ShiftVectors.load(vectors, str(checkpoint.facts["model"]))
        ask = asker(checkpoint, held, reply_tokens)
        chosen: Any = [level for level in levels.split(",") if level]
        away: Any = "noise" if held.corruption != "noise" else "blank"
        plan = Plan(levels=chosen, settings=tried, meaningless=away)
        report = measured(read, ask, plan, screen.say)
        write_choice(vectors, report.choices)
    if as_json:
        about = {"model": checkpoint.facts, "vectors_sha256": vectors_hash(vectors), "items": len(read),
                 "meaningless": away, "reply_tokens": reply_tokens, "judge": "rules of refusal",
                 "decoding": "greedy"}  # fmt: skip
        emit(_with_intervals(as_document(report, about)))
    else:
        _show(report)


@steer_app.command("use")
def use(
    model: Model,
    vectors: Vectors,
    message: Annotated[str, typer.Option("--message", "-m", help="What to ask.")],
    image: Annotated[Path | None, typer.Option(help="A picture to ask about.")] = None,
    level: Annotated[str, typer.Option(help="dataset or sample.")] = "dataset",
    alpha: Annotated[float | None, typer.Option(help="Strength; by default the one that was chosen.")] = None,
    dtype: Dtype = "float32",
) -> None:
    """Ask a steered model one thing."""
    _ready()
    from langchain_core.messages import HumanMessage
    from PIL import Image

    from labwright.models.vision import image_block
    from labwright.safety.faces.photos import read_photo
    from labwright.safety.steering.chat import steered_chat

    content: list[Any] = [{"type": "text", "text": message}]
    if image is not None:
        content.insert(0, image_block(Image.fromarray(read_photo(image))))
    with Screen() as screen:
        checkpoint = _loaded(model, dtype, screen)
        chat, facts = steered_chat(checkpoint, vectors, level=level, alpha=alpha)  # type: ignore[arg-type]
        screen.say(f"level {facts['level']}, alpha {facts['alpha']:g}, layers {facts['layers']}: {facts['reason']}")
        reply = chat.invoke([HumanMessage(content)], max_tokens=512, temperature=0)
    typer.echo("\n".join(map(printable, str(reply.text).split("\n"))))


def _ready() -> None:
    """Say which libraries are missing before anything imports them."""
    from labwright.models.extras import require

    require("local", "labwright models steer")


def _loaded(model: str, dtype: str, screen: Screen) -> VisionCheckpoint:
    from labwright.models.vision import load_vision

    screen.say(f"loading {model}")
    return load_vision(model, dtype=dtype)


def _given(alphas: str, layers: str, positions: str) -> dict[str, Any]:
    """What `settings` is asked for; nothing where nothing was given.

    Raises:
        WrongUse: something is no number, or names no layers or positions.
    """
    from labwright.errors import WrongUse
    from labwright.safety.steering.guard import POLICIES
    from labwright.safety.steering.steerer import NamedLayers, Policy, Positions

    try:
        numbers = tuple(float(part) for part in alphas.split(",") if part)
    except ValueError as error:
        raise WrongUse(f"--alphas {alphas!r}: numbers between commas, such as 0.5,1") from error
    known = {"layers": get_args(NamedLayers), "positions": get_args(Positions)}
    wanted: dict[str, tuple[str, ...]] = {}
    for name, text in (("layers", layers), ("positions", positions)):
        wanted[name] = tuple(text.split(",")) if text else tuple(dict.fromkeys(getattr(p, name) for p in POLICIES))
        if wrong := set(wanted[name]) - set(known[name]):
            raise WrongUse(f"--{name} {', '.join(sorted(wrong))}: any of {', '.join(known[name])}")
    policies = [Policy(where, at) for at in wanted["positions"] for where in wanted["layers"]]  # type: ignore[arg-type]
    return {"policies": policies, **({"alphas": numbers} if numbers else {})}


def _with_intervals(document: dict[str, Any]) -> dict[str, Any]:
    from labwright.eval.intervals import wilson

    for row in document["rows"]:
        for name in ("unsafe", "benign"):
            row[f"{name}_interval"] = wilson(*row[name])
    return document


def _show(report: Report) -> None:
    from labwright.eval.intervals import wilson

    for level, choice in report.choices.items():
        typer.echo(f"{level}: {choice.setting if choice.setting.alpha else 'not steered'}; {choice.reason}")
    rows = []
    for seen in report.seen:
        shares = [f"{k}/{n} [{low:.2f}, {high:.2f}]" for k, n in (seen.unsafe, seen.benign)
                  for low, high in (wilson(k, n),)]  # fmt: skip
        how = f"{seen.level}, {seen.setting}" if seen.setting.alpha else "none"
        rows.append((seen.condition, how, *shares, seen.incoherent, f"{seen.seconds:.2f}"))
    table(("condition", "steering", "unsafe", "benign", "incoherent", "s"), rows)
