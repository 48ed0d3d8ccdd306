"""The commands `labwright models ensemble draft` and `summary`: a model that writes one answer from the members'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labwright.cli_screen import Counter, Screen, emit, table


def draft(
    questions: Annotated[Path, typer.Argument(help="JSON lines of open questions with the answer that is right.")],
    member: Annotated[list[str], typer.Option(help="A backend of labwright.toml; repeat it.")],
    out: Annotated[Path, typer.Option(help="Folder of the answers; drafts.jsonl in it is for `summary`.")] = Path(
        "drafts"
    ),
    config: Annotated[Path | None, typer.Option(help="labwright.toml to use.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Ask members open questions; what is answered already is not asked again."""
    from labwright.config import load_config
    from labwright.models.topla.drafts import draft as ask
    from labwright.models.topla.drafts import drafted, read_open_questions
    from labwright.workflows.ensembles import member_session

    loaded = load_config(config)
    for name in member:
        loaded.table_of(name)  # a wrong name is known before the first question is asked
    asked = read_open_questions(questions)
    for name in member:
        with member_session(loaded, name) as session, Counter(name, "questions") as screen:
            ask(out / "members", name, session, asked, screen.report)
    rows = drafted(out / "members", member, asked)
    path = out / "drafts.jsonl"
    path.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
    empty = {name: sum(not row.answers[name] for row in rows) for name in member}
    if as_json:
        emit({"drafts": str(path.resolve()), "questions": len(rows), "without_answer": empty})
    else:
        table(("member", "without an answer"), list(empty.items()))
        typer.echo(f"{path}: train with `labwright models ensemble summary {path}`")


def summary(
    drafts: Annotated[Path, typer.Argument(help="JSON lines of questions with members' answers; docs/ensembles.md.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("summary"),
    base: Annotated[str, typer.Option(help="Folder of a LED checkpoint to start from; a small one without.")] = "",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 10,
    learning_rate: Annotated[float, typer.Option(help="5e-5 for a pretrained base.")] = 5e-4,
    source_tokens: Annotated[int, typer.Option(min=64, help="Longest question with its answers.")] = 768,
    target_tokens: Annotated[int, typer.Option(min=8, help="Longest answer.")] = 96,
    seed: Annotated[int, typer.Option(help="Of weights, order and split.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Train a summary model (TOPLA-Summary) and measure it on questions that trained and chose nothing."""
    import statistics

    from pydantic import ValidationError

    from labwright.errors import WrongUse
    from labwright.models.extras import require

    require("local", "a summary model")
    from labwright.models.topla.drafts import parted, read_drafts
    from labwright.models.topla.summary import SummarySettings, summary_scores, train_summary

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WrongUse(f"{out} is not empty; give another --out")
    try:
        settings = SummarySettings(
            base=base,
            epochs=epochs,
            learning_rate=learning_rate,
            source_tokens=source_tokens,
            target_tokens=target_tokens,
            seed=seed,
        )
    except ValidationError as error:
        raise WrongUse("; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from error
    train, validation, rest = parted(read_drafts(drafts), seed)
    with Screen() as screen:

        def report(done: int, total: int, loss: float) -> None:
            screen.say(f"epoch {done} of at most {total}: validation loss {loss:.3f} nats a token")

        made = train_summary(train, validation, settings, report)
        screen.say(f"writing answers to {len(rest)} questions that trained and chose nothing")
        figures = {name: statistics.fmean(scores) for name, scores in summary_scores(made, rest).items()}
    made.save(out, figures)
    if as_json:
        emit({"folder": str(out.resolve()), "members": list(made.members), "n": len(rest), "figures": figures})
        return
    notes = {"free_rouge_1": "the result", "teacher_forced_rouge_1": "sees the right answer: no result"}
    table(("ROUGE-1 F", "mean", ""), [(name, f"{value:.3f}", notes.get(name, "")) for name, value in figures.items()])
    typer.echo(f'{out}: {len(rest)} questions; use it as summary = "{out}" in a topla backend')
