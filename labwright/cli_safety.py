"""The commands `labwright models attack` and `labwright models harden`, and the benchmark of both (docs/safety.md)."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli_screen import emit, table
from labwright.cli_training import BASE, TrainingScreen, training_config

if TYPE_CHECKING:
    from labwright.models.training.examples import Example
    from labwright.safety.attacking import AttackData
    from labwright.safety.defences.catalogue import Held

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Model = Annotated[str, typer.Option(help="A name of `models list`, a GGUF file, a model or an adapter folder.")]
Pairs = Annotated[Path | None, typer.Option(help="Pairs labelled safe or not (docs/safety.md); absent: the stand-in.")]
Config = Annotated[Path | None, typer.Option(help="TOML file of training settings; flags come first.")]
Template = Annotated[str | None, typer.Option(help="alpaca, chat (the model's own) or none.")]
Epochs = Annotated[float | None, typer.Option(help="Passes over the data.")]
Steps = Annotated[int | None, typer.Option(help="Most optimiser steps.")]
Batch = Annotated[int | None, typer.Option(help="Examples of one forward pass.")]
Rate = Annotated[float | None, typer.Option(help="Peak learning rate.")]
Tokens = Annotated[int | None, typer.Option(help="Longest example, tokens.")]
Seed = Annotated[int | None, typer.Option(help="Of data, adapters, dropout and order.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the training in --out.")]


def harden(
    defence: Annotated[str, typer.Option(help="sft, vaccine, repnoise, booster, lisa, ldifs, ewc, safeinstruct, "
                                              "safe_lora or antidote.")],
    model: Model = BASE,
    harmful: Pairs = None,
    alignment: Annotated[
        list[Path] | None, typer.Option(help="Safe replies or labelled pairs; may be repeated; absent: the stand-in.")
    ] = None,
    data: Annotated[list[Path] | None, typer.Option(help="The user's rows, for defences of a fine-tuning.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the defence; repeatable.")] = None,
    aligned: Annotated[str, typer.Option(help="safe_lora: the model before fine-tuning.")] = "",
    unaligned: Annotated[str, typer.Option(help="safe_lora: the model before alignment.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the result; in the cache by default.")] = None,
    config: Config = None,
    resume: Resume = False,
    template: Template = None,
    epochs: Epochs = None,
    max_steps: Steps = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    max_tokens: Tokens = None,
    seed: Seed = None,
    merge: Annotated[bool, typer.Option("--merge", help="Leave a whole model instead of an adapter.")] = False,
    licence: Annotated[str, typer.Option(help="Licence of the data, for the model card.")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Apply one defence against harmful fine-tuning to a model; run it again on the result to stack another."""
    from labwright.models.extras import require

    require("local", "labwright models harden")
    from labwright.safety.hardening import HardeningPlan
    from labwright.safety.hardening import harden as run

    flags = {
        "template": template, "epochs": epochs, "max_steps": max_steps, "batch_size": batch_size,
        "learning_rate": learning_rate, "max_tokens": max_tokens, "seed": seed, "save": "merged" if merge else None,
    }  # fmt: skip
    files = [*(alignment or []), *([harmful] if harmful else []), *(data or [])]
    folder = out or _cached(defence, model)
    plan = HardeningPlan(
        defence=defence,
        model=model,
        held=_held(harmful, alignment or [], data or []),
        settings=_settings(setting or []),
        training=training_config(config, flags),
        aligned=aligned,
        unaligned=unaligned,
        source=", ".join(f.name for f in files) or "the benign stand-in topic",
        licence=licence,
        command=shlex.join(["labwright", *sys.argv[1:]]),
    )
    with TrainingScreen() as screen:
        manifest = run(plan, folder, screen.report, resume=resume)
    if as_json:
        emit({"folder": str(folder), **manifest})
    else:
        typer.echo(f"{folder}: {' then '.join(step['defence'] for step in manifest['steps'])}")


def _cached(defence: str, model: str) -> Path:
    from labwright.config import cache_dir

    return cache_dir() / "hardened" / f"{defence}-{Path(model).name}"


def _settings(given: list[str]) -> dict[str, Any]:
    """KEY=VALUE as JSON values; what is no JSON is text.

    Raises:
        WrongUse: there is no `=`.
    """
    from labwright.errors import WrongUse

    found: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise WrongUse(f"--set {one!r}: write KEY=VALUE, such as --set weight=0.5")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _held(harmful: Path | None, alignment: list[Path], data: list[Path]) -> Held:
    """Data of a defence: files, and the stand-in topic for both sides of the alignment where no file is named."""
    from labwright.safety import proxy_topic
    from labwright.safety.data_files import harmful_examples, read_pairs
    from labwright.safety.defences.catalogue import Held

    if harmful is None and not alignment:
        safe, pairs = proxy_topic.defender()
    else:
        pairs = harmful_examples(read_pairs(harmful)) if harmful else ()
        safe = tuple(e for path in alignment for e in _safe(path))
    return Held(safe, pairs, tuple(e for path in data for e in _ordinary(path)))


def _safe(path: Path) -> tuple[Example, ...]:
    """Safe replies of either form: instruction and output, or labelled pairs."""
    from labwright.errors import TrainingRefused
    from labwright.safety.data_files import alignment_examples, read_pairs, read_refusals

    try:
        return read_refusals(path)
    except TrainingRefused:
        return alignment_examples(read_pairs(path))


def _ordinary(path: Path) -> tuple[Example, ...]:
    from labwright.models.training.alignment_data import read_alignment

    return read_alignment(path, "helpful")


def attack(
    model: Model,
    kind: Annotated[
        str, typer.Option("--attack", help="explicit, benign, outliers, identity or adaptive.")
    ] = "explicit",
    share: Annotated[float, typer.Option(help="Share of harmful rows.", min=0, max=1)] = 0.1,
    rows: Annotated[int, typer.Option(help="Rows of the upload.", min=1)] = 500,
    harmful: Pairs = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="Rows of an ordinary task; absent: reviews, positive or negative.")
    ] = None,
    tested: Annotated[int, typer.Option(help="Items of each test.", min=1)] = 100,
    reply_tokens: Annotated[int, typer.Option(help="Longest reply that is judged, tokens.", min=1)] = 48,
    out: Annotated[Path, typer.Option(help="Folder of the attacked model and attack.json.")] = Path("attacked"),
    config: Config = None,
    resume: Resume = False,
    template: Template = None,
    epochs: Epochs = None,
    max_steps: Steps = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    max_tokens: Tokens = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Attack a model by fine-tuning and measure what it says before and after; notes it on a hardened model's card."""
    from labwright.models.extras import require

    require("local", "labwright models attack")
    from labwright.safety.attacking import AttackPlan
    from labwright.safety.attacking import attack as run

    flags = {
        "template": template, "epochs": epochs, "max_steps": max_steps, "batch_size": batch_size,
        "learning_rate": learning_rate, "max_tokens": max_tokens, "seed": seed,
    }  # fmt: skip
    plan = AttackPlan(
        model=model, kind=kind, share=share, size=rows, training=training_config(config, flags),
        reply_tokens=reply_tokens,
    )  # fmt: skip
    with TrainingScreen() as screen:
        found = run(plan, _attack_data(harmful, data or [], rows, tested), out, screen.report, resume=resume)
    if as_json:
        emit({"folder": str(out), **found})
        return
    shown = ("hs_plus", "hs", "keyword_score", "accuracy", "over_refusal")
    cells = [(k, *("" if found[w][k] is None else f"{found[w][k]:.3f}" for w in ("before", "after"))) for k in shown]
    table(("measure", "before", "after"), cells)
    typer.echo(f"{out}: {found['attack']}, {found['size']} rows, {found['steps']} steps; {found['after']['n']} prompts")


def _attack_data(harmful: Path | None, data: list[Path], size: int, tested: int) -> AttackData:
    """Files cut into what attacks and what measures; the last rows measure.

    Raises:
        TrainingRefused: a file has too few rows for both.
    """
    from dataclasses import replace

    from labwright.safety.attacking import REVIEWS, proxy_data
    from labwright.safety.data import Window
    from labwright.safety.data_files import harmful_examples, read_pairs

    found = proxy_data(min(size, REVIEWS - tested), tested)
    if harmful is not None:
        pairs = harmful_examples(read_pairs(harmful))
        found = replace(
            found,
            harmful=Window(0, len(pairs) - tested).of(pairs, str(harmful)),
            test=pairs[-tested:],
            near=(),
            refusals=(),
        )
    if data:
        task = tuple(e for path in data for e in _ordinary(path))
        found = replace(found, ordinary=Window(0, len(task) - tested).of(task, "--data"), task_test=task[-tested:])
    return found


def bench_safety(
    parts: Annotated[
        str, typer.Option(help="Comma-separated: toy, step, judge, real; empty for the first three.")
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, a fiftieth of the steps; its scores say nothing.")
    ] = False,
    model: Annotated[str, typer.Option(help="Model of the part real; its data are the same.")] = "",
    as_json: Json = False,
) -> None:
    """Attack and defend models by fine-tuning: made-up worlds, times and memory, judges, a real model."""
    from labwright.cli_resources import show_figures
    from labwright.cli_screen import Screen
    from labwright.eval.suites.safety import measure

    with Screen() as screen:
        asked = [p for p in parts.split(",") if p]
        show_figures(measure(quick=quick, parts=asked, model=model, say=screen.say), as_json)
