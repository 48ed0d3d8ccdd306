"""The commands on what stored documents say: evidence for a claim, and a quote's verdict."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli_screen import Screen, emit, printable, table

if TYPE_CHECKING:
    from labwright.config import Config, Role
    from labwright.models.ask import Session
    from labwright.tools.index import Encoder
    from labwright.tools.sources import LiteratureSource
    from labwright.workflows.claims import Evidence

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Corpora = Annotated[
    list[str] | None, typer.Option("--corpus", help="embedded, pubmed, pmc or a corpus of your own; repeatable.")
]


def evidence(
    claim: Annotated[str, typer.Argument(help="One statement.")],
    corpus: Corpora = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Most sentences.")] = 5,
    model: Annotated[bool, typer.Option("--model/--no-model", help="Ask the reviewer's model how each stands.")] = True,
    as_json: Json = False,
) -> None:
    """Find the sentences that speak of a claim: support, contradict or neither, each a span of a stored document."""
    from labwright.config import load_config
    from labwright.workflows.claims import evidence_for

    config = load_config()
    with ExitStack() as stack:
        screen = stack.enter_context(Screen())
        sources, encode = _opened(corpus, config)
        asked = session("reviewer", config, stack, screen) if model else None
        found = evidence_for(claim, sources, encode, asked, limit)
    if as_json:
        emit({"claim": claim, "sentences": [_row(one) for one in found]})
    else:
        rows = [(_stance(one), one.paper.id, f"{one.quote.start}-{one.quote.end}", one.quote.text) for one in found]
        table(("stance", "paper", "characters", "sentence"), rows)


def quote(
    text: Annotated[str, typer.Argument(help="The quote as it was claimed.")],
    corpus: Corpora = None,
    paper: Annotated[str, typer.Option(help="Id of the paper that it is said to be in.")] = "",
    as_json: Json = False,
) -> None:
    """Say whether a stored document holds a quote; exit code 1 and the nearest text when none does."""
    from labwright.config import load_config
    from labwright.workflows.claims import verdict

    found = verdict(text, _opened(corpus, load_config())[0], paper)
    held = found.quote
    if as_json:
        emit(
            {
                "found": held is not None,
                "quote": None if held is None else held.model_dump(),
                "paper": None if found.paper is None else found.paper.id,
                "retraction": None if found.paper is None else found.paper.retraction.status,
                "nearest": found.nearest,
            }
        )
    elif held is not None:
        typer.echo(printable(f"found in {held.paper}, characters {held.start}-{held.end}: {held.text}"))
    else:
        where = f"; nearest, in {found.paper.id}: {found.nearest}" if found.paper is not None else ""
        typer.echo(printable(f"not found{where}"))
    raise typer.Exit(0 if held is not None else 1)


def _opened(corpus: list[str] | None, config: Config) -> tuple[list[LiteratureSource], Encoder]:
    from labwright.config import cache_dir
    from labwright.models.embedding import CachedEncoder
    from labwright.workflows.literature_sources import open_sources

    encode = CachedEncoder(cache_dir() / "embeddings.sqlite")
    return open_sources(corpus or ["embedded"], encode, config.index), encode


def session(role: Role, config: Config, stack: ExitStack, screen: Screen) -> Session:
    """A role's model outside a run; its answers are cached by content, so a repeated question costs nothing."""
    from labwright.config import cache_dir
    from labwright.models.calls import CallLog
    from labwright.workflows.backends import Backends

    backends = Backends(config, screen.download)
    stack.callback(backends.close)
    return backends.session(role, CallLog(cache_dir() / "literature-calls.sqlite"), 0)


def _stance(one: Evidence) -> str:
    if one.stance is None:
        return ""
    return f"{one.stance.label} {one.stance.probabilities[one.stance.label]:.2f}"


def _row(one: Evidence) -> dict[str, Any]:
    row: dict[str, Any] = {
        "paper": one.paper.id,
        "title": one.paper.title,
        "kind": one.paper.kind,
        "retraction": one.paper.retraction.status,
        "quote": one.quote.model_dump(),
        "relevance": round(one.relevance, 4),
    }
    if one.stance is not None:
        said = asdict(one.stance)
        row |= {key: said[key] for key in ("label", "probabilities", "decided_by")}
    return row
