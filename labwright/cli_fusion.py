"""The commands `labwright models fuse` and `labwright models merge`: three alignments of one base made one model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli_screen import emit, table
from labwright.cli_training import BASE, TrainingScreen, training_config

if TYPE_CHECKING:
    from labwright.models.h3fusion.fuse import FusionPlan, FusionResult
    from labwright.models.training.examples import Example

Source = Annotated[str, typer.Option(help="Adapter folder, model folder, GGUF file or name of `models list`.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Base = Annotated[str, typer.Option(help="The base of the three: a name of `models list`, a GGUF file or a folder.")]


def fuse(
    helpful: Source = "",
    harmless: Source = "",
    honest: Source = "",
    base: Base = BASE,
    data: Annotated[
        list[str] | None, typer.Option(help="PROPERTY=FILE, or a file whose rows name theirs; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the fused model.")] = Path("fused"),
    top_k: Annotated[int, typer.Option(help="Experts computed for a token.")] = 2,
    gate_weight: Annotated[float, typer.Option("--lambda", help="Weight of the gating loss.", min=0)] = 0.01,
    gamma: Annotated[str, typer.Option(help="H,S,T: what drift of each expert costs.")] = "0,0,0",
    gate_form: Annotated[str, typer.Option(help="nll or double_softmax (the released code's).")] = "nll",
    penalty: Annotated[str, typer.Option(help="drift or factor_norms (the released code's).")] = "drift",
    attention: Annotated[str, typer.Option(help="frozen, or tuned with adapters too.")] = "frozen",
    shared: Annotated[
        str, typer.Option(help="Changes outside the experts: refuse, or average them into the base.")
    ] = "refuse",
    faithful: Annotated[
        str, typer.Option(help="Deviations of the released code, comma-separated, or all; see docs/fusion.md.")
    ] = "",
    router_learning_rate: Annotated[float, typer.Option(help="Peak learning rate of the router.", min=0)] = 5e-3,
    mixtral: Annotated[bool, typer.Option("--mixtral", help="Also write a Mixtral checkpoint.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file of training settings; flags come first.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the fusion in --out.")] = False,
    template: Annotated[str | None, typer.Option(help="alpaca, chat (the model's own) or none.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Most optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples of one forward pass.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate of the adapters.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest example, tokens.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of router, adapters, dropout and order.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the data, for the model card.")] = "",
    as_json: Json = False,
) -> None:
    """Fuse three aligned models into one mixture of experts and fine-tune it (docs/fusion.md)."""
    from labwright.models.extras import require

    require("local", "a fusion")
    from labwright.models.h3fusion.fuse import fuse as run
    from labwright.models.training.examples import TrainingData

    flags = {
        "template": template,
        "epochs": epochs,
        "max_steps": max_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "max_tokens": max_tokens,
        "seed": seed,
    }
    losses = {
        "gate_weight": gate_weight,
        "gammas": gamma.split(","),
        "gate_form": gate_form,
        "penalty_form": penalty,
        "attention": attention,
        "router_learning_rate": router_learning_rate,
    }
    sources = {"helpful": helpful, "harmless": harmless, "honest": honest}
    plan = _plan(sources, losses, faithful, {"top_k": top_k, "shared": shared}, training_config(config, flags), mixtral)
    examples = TrainingData(tuple(mixed_examples(data or [])), (), ", ".join(_names(data or [])), licence)
    with TrainingScreen() as screen:
        result = run(base, plan, examples, out, screen.report, resume=resume)
    _show(result, as_json)


def _plan(
    sources: dict[str, str], losses: dict[str, Any], faithful: str, made: dict[str, Any], training: Any, mixtral: bool
) -> FusionPlan:
    from pydantic import ValidationError

    from labwright.errors import WrongUse
    from labwright.models.h3fusion.build import BuildSettings
    from labwright.models.h3fusion.faithful import chosen
    from labwright.models.h3fusion.fuse import FusionPlan
    from labwright.models.h3fusion.fusing import FusionSettings

    if absent := [f"--{name}" for name, source in sources.items() if not source]:
        raise WrongUse(f"{', '.join(absent)}: name an adapter or model (`labwright models align` makes one)")
    if made["shared"] not in ("refuse", "average"):
        raise WrongUse(f"--shared {made['shared']!r}: refuse or average")
    deviations = chosen(faithful.split(","))
    try:
        settings = FusionSettings.model_validate({**losses, "faithful": deviations})
    except ValidationError as error:
        raise WrongUse("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from error
    if "all" in faithful.split(","):
        settings = settings.released()
    return FusionPlan(
        sources=sources,
        build=BuildSettings(**made, seed=training.seed, faithful=deviations),
        fusion=settings,
        training=training,
        mixtral=mixtral,
    )


def mixed_examples(files: list[str]) -> list[Example]:
    """Read the examples of a fusion: `PROPERTY=FILE` in any form that `models align` reads, or rows that name theirs.

    Raises:
        TrainingRefused: there is no file, or one that cannot be read.
    """
    from labwright.errors import TrainingRefused
    from labwright.models.training.alignment_data import PROPERTIES, read_alignment
    from labwright.models.training.examples import read_examples

    if not files:
        raise TrainingRefused("--data: name files of examples, such as --data helpful=FILE; see docs/fusion.md")
    found: list[Example] = []
    for given in files:
        name, _, path = given.partition("=")
        own = name not in PROPERTIES
        found += read_examples(Path(given)) if own else read_alignment(Path(path), name)
    return found


def _names(files: list[str]) -> list[str]:
    return [Path(given.partition("=")[2] or given).name for given in files]


def _show(result: FusionResult, as_json: bool) -> None:
    if as_json:
        emit({"folder": str(result.folder), **result.record})
        return
    experts = result.record["experts"]
    rows = []
    for name, layers in result.record["router_shares"].items():
        rows.append((name, *(f"{sum(layer[e] for layer in layers) / len(layers):.3f}" for e in range(len(experts)))))
    table(("router weight of", *experts), rows)
    typer.echo(f"{result.folder}: {len(experts)} experts, top {result.record['top_k']}")


def bench_fusion(
    parts: Annotated[str, typer.Option(help="Comma-separated: toy, speed, real, run; empty for all.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="One seed of the toy, few pairs, examples and items.")] = False,
    as_json: Json = False,
) -> None:
    """Measure fusions: a toy whose answer is known, speed, and a real model aligned, fused, judged and used."""
    from labwright.cli_resources import show_figures
    from labwright.cli_screen import Screen
    from labwright.eval.suites.fusion import measure

    with Screen() as screen:
        show_figures(measure(quick=quick, parts=[p for p in parts.split(",") if p], say=screen.say), as_json)


def merge(
    method: Annotated[str, typer.Option(help="average, task_arithmetic, ties, dare_linear or dare_ties.")],
    helpful: Source = "",
    harmless: Source = "",
    honest: Source = "",
    base: Base = BASE,
    out: Annotated[Path, typer.Option(help="Folder of the merged model.")] = Path("merged"),
    scale: Annotated[float | None, typer.Option(help="Factor of the merged task vector.")] = None,
    density: Annotated[float | None, typer.Option(help="Share of the entries kept, for ties and dare.")] = None,
    seed: Annotated[int, typer.Option(help="Of what dare drops.")] = 0,
    as_json: Json = False,
) -> None:
    """Merge aligned models in weight space, the baselines of a fusion (docs/fusion.md)."""
    from labwright.errors import WrongUse
    from labwright.models.extras import require

    require("local", "a merge")
    from labwright.models.merging import MergeSettings, merge_folder

    sources = {n: s for n, s in (("helpful", helpful), ("harmless", harmless), ("honest", honest)) if s}
    settings = MergeSettings(method=method, scale=scale, density=density, seed=seed)  # type: ignore[arg-type]
    settings.checked()
    if len(sources) < 2:
        raise WrongUse("name two or three of --helpful, --harmless and --honest")
    record = merge_folder(base, sources, settings, out)
    if as_json:
        emit({"folder": str(out), **record})
    else:
        typer.echo(f"{out}: {method} of {', '.join(sources)}, {record['changed']} weights changed")
