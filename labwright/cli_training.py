"""The command `labwright models align`: one property, one base, one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli_screen import ProgressBar, emit

if TYPE_CHECKING:
    from labwright.models.training.config import TrainingConfig
    from labwright.models.training.examples import Example, TrainingData
    from labwright.models.training.results import Progress, TrainingResult

BASE = "smollm2-135m-instruct"
"""The one base of `labwright models list` that trains on a processor within an hour."""


def align(
    aligned: Annotated[str, typer.Option("--property", help="helpful, harmless or honest.")],
    data: Annotated[list[Path] | None, typer.Option(help="File of examples; may be repeated.")] = None,
    base: Annotated[str, typer.Option(help="A name of `models list`, a GGUF file or a folder.")] = BASE,
    out: Annotated[Path | None, typer.Option(help="Folder of the result; aligned-PROPERTY by default.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of training settings; flags come first.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out.")] = False,
    heldout: Annotated[Path | None, typer.Option(help="Examples to measure the loss on, never trained on.")] = None,
    heldout_share: Annotated[float, typer.Option(help="Share of the questions to hold out.", min=0, max=0.9)] = 0.0,
    template: Annotated[str | None, typer.Option(help="alpaca, chat (the model's own) or none.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Most optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples of one forward pass.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest example, tokens.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of adapters, dropout and order.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Leave a whole model instead of an adapter.")] = False,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16 weights.")] = "float32",
    licence: Annotated[str, typer.Option(help="Licence of the data, for the model card.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Train one property into a model: a LoRA adapter on its feed-forward layers, with docs/training.md's settings."""
    from labwright.models.extras import require

    require("local", "training")
    flags = {
        "template": template,
        "epochs": epochs,
        "max_steps": max_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "max_tokens": max_tokens,
        "seed": seed,
        "save": "merged" if merge else None,
    }
    settings = training_config(config, flags)
    examples = alignment_data(aligned, data or [], heldout, heldout_share, licence)
    folder = out or Path(f"aligned-{aligned}")
    with TrainingScreen() as screen:
        from labwright.models.checkpoints import load_checkpoint
        from labwright.models.training.loop import train

        screen.say(f"loading {base}")
        result = train(
            load_checkpoint(base, dtype=dtype), examples, settings, folder, report=screen.report, resume=resume
        )
    _result(result, as_json)


def _result(result: TrainingResult, as_json: bool) -> None:
    if as_json:
        emit({"folder": str(result.folder), **result.facts})
        return
    heldout = "" if result.heldout_loss is None else f", held-out loss {result.heldout_loss:.4f}"
    typer.echo(f"{result.folder}: {result.steps} steps, loss {result.loss:.4f}{heldout}, {result.seconds:.0f} s")


def training_config(path: Path | None, flags: dict[str, Any]) -> TrainingConfig:
    """The settings of a TOML file, with flags that were given in their place.

    Examples that are too long are left out and counted unless the file says otherwise.

    Raises:
        ConfigInvalid: the file cannot be read, or holds unknown or wrong settings (all are named).
    """
    import tomllib

    from pydantic import ValidationError

    from labwright.errors import ConfigInvalid
    from labwright.models.training.config import TrainingConfig

    table: dict[str, Any] = {"too_long": "drop"}
    if path is not None:
        try:
            table |= tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigInvalid(f"{path}: cannot be read as TOML: {error}") from error
    if table.get("lora") is False:  # TOML has no null
        table["lora"] = None
    table |= {name: value for name, value in flags.items() if value is not None}
    try:
        return TrainingConfig.model_validate(table)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}".lstrip(": ") for e in error.errors())
        raise ConfigInvalid(f"{path or 'flags'}: {wrong}; see docs/training.md") from error


def alignment_data(aligned: str, files: list[Path], heldout: Path | None, share: float, licence: str) -> TrainingData:
    """Read and split the files of one property.

    Raises:
        TrainingRefused: an unknown property, no file, or a file that cannot be read.
    """
    from labwright.errors import TrainingRefused
    from labwright.models.training.alignment_data import PROPERTIES, read_alignment, split_by_question
    from labwright.models.training.examples import TrainingData

    if aligned not in PROPERTIES:
        raise TrainingRefused(f"--property {aligned!r}: one of {', '.join(PROPERTIES)}")
    if not files:
        raise TrainingRefused(
            "--data: name a file of examples; docs/training.md says which forms are read and "
            "where open data of each property is"
        )
    if heldout is not None and share > 0:
        raise TrainingRefused("--heldout and --heldout-share: give one of them")
    examples: tuple[Example, ...] = tuple(e for path in files for e in read_alignment(path, aligned))
    apart: tuple[Example, ...] = read_alignment(heldout, aligned) if heldout else ()
    if share > 0:
        examples, apart = split_by_question(examples, share)
    source = ", ".join(path.name for path in [*files, *([heldout] if heldout else [])])
    return TrainingData(examples, apart, source, licence)


class TrainingScreen(ProgressBar):
    """Progress of a training: a bar with loss, speed and time left in a terminal, elsewhere plain lines."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

        super().__init__(TextColumn("step"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._task: Any = None

    def report(self, progress: Progress) -> None:
        """Show a note or the figures of a step."""
        if progress.note:
            self.say(progress.note)
            return
        minutes, seconds = divmod(int(progress.remaining_s), 60)
        heldout = "" if progress.heldout_loss is None else f", held out {progress.heldout_loss:.4f}"
        text = f"loss {progress.loss:.4f}{heldout}, {progress.tokens_per_s:.0f} tokens/s, {minutes}:{seconds:02d} left"
        if self._console.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task(text, total=progress.steps)
            self._bar.update(self._task, completed=progress.step, description=text)
        else:
            line = f"step {progress.step}/{progress.steps}: {text}"
            self.say_now_and_then(line, last=progress.step == progress.steps)
