"""Commands on corpora of literature: add, list, search, export; and the register of retractions."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labwright.cli_screen import Screen, emit, table

if TYPE_CHECKING:
    from labwright.config import Config
    from labwright.models.ask import Prompt
    from labwright.tools.index_store import Reranker

corpus_app = typer.Typer(no_args_is_help=True, help="Literature kept on this machine.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
READ = "Files or folders: .pdf, .xml, .nxml, .tar.gz (JATS), .bib, .ris, .json (CSL), .jsonl, .txt, .md"


class Form(StrEnum):
    """Forms of a reference file."""

    bibtex = "bibtex"
    ris = "ris"
    csl = "csl"


@corpus_app.command("add")
def corpus_add(name: str, files: Annotated[list[Path], typer.Argument(help=READ)], as_json: Json = False) -> None:
    """Add documents to a corpus of your own; lists the papers of which there is no full text."""
    from labwright.config import load_config
    from labwright.tools.corpus_files import add_files
    from labwright.workflows.literature_sources import corpora_dir, open_corpus

    added = add_files(corpora_dir(), name, files)
    with Screen() as screen:
        held = open_corpus(name, load_config().index).index(screen.say).count()
    if as_json:
        told = {"corpus": name, "files": list(map(str, added.files)), "indexed": held}
        emit({**told, "wanted": [asdict(w) for w in added.wanted]})
        return
    typer.echo(f"{len(added.files)} files in corpus {name}, {held} papers indexed; name it in [literature] sources")
    if added.wanted:
        typer.echo(f"{len(added.wanted)} papers without full text; add their PDF or XML if you may read them:")
        table(("title", "doi", "pmid", "why"), [(w.title, w.doi, w.pmid, w.why) for w in added.wanted])


@corpus_app.command("list")
def corpus_list(as_json: Json = False) -> None:
    """List the corpora."""
    from labwright.tools.corpus.records import load_records
    from labwright.tools.local_corpus import corpus_names
    from labwright.workflows.literature_sources import corpora_dir

    rows = [("embedded", f"{len(load_records())} summaries written for labwright")]
    rows += [(name, str(corpora_dir() / name)) for name in corpus_names(corpora_dir())]
    if as_json:
        emit([{"name": n, "what": w} for n, w in rows])
    else:
        table(("corpus", "what"), rows)


@corpus_app.command("search")
def corpus_search(
    name: str,
    query: str,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 10,
    since: Annotated[int | None, typer.Option(help="First year.")] = None,
    until: Annotated[int | None, typer.Option(help="Last year.")] = None,
    rerank: Annotated[bool, typer.Option("--rerank", help="Let the search's model order the first 20 anew.")] = False,
    as_json: Json = False,
) -> None:
    """Search one corpus of your own; `labwright search` searches every source."""
    from labwright.config import load_config
    from labwright.tools.index_records import Filter
    from labwright.workflows.literature_sources import open_corpus

    config = load_config()
    corpus = open_corpus(name, config.index)
    with ExitStack() as stack:
        screen = stack.enter_context(Screen())
        reranker = _reranker(config, stack, screen) if rerank else None
        found = corpus.ranked(query, limit, Filter(since=since, until=until), reranker)
    if as_json:
        emit([{**paper.model_dump(mode="json"), "score": round(score, 4)} for paper, score in found])
    else:
        table(("id", "year", "score", "title"), [(p.id, p.year or "", f"{s:.2f}", p.title) for p, s in found])


def _reranker(config: Config, stack: ExitStack, screen: Screen) -> Reranker:
    from labwright.agents.prompting import prompt
    from labwright.cli_evidence import session
    from labwright.tools.index_rerank import model_reranker
    from labwright.workflows.guards import guard_for

    asked = prompt("relevance")

    def question(query: str, document: str) -> Prompt:
        return asked.render(query=query, document=guard_for(query).material(document))

    return model_reranker(session("search", config, stack, screen), question)


@corpus_app.command("export")
def corpus_export(
    name: str,
    form: Annotated[Form, typer.Option("--format", help="bibtex, ris or csl (CSL-JSON).")] = Form.bibtex,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; standard output without it.")] = None,
) -> None:
    """Write the papers of a corpus as a reference file."""
    from labwright.tools.corpus_files import export
    from labwright.workflows.literature_sources import check_retractions, corpora_dir

    text = export(corpora_dir(), name, form.value, lambda papers: check_retractions(papers, [name]))
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


@corpus_app.command("retractions")
def corpus_retractions(
    file: Annotated[Path, typer.Argument(help="Crossref's retraction_watch.csv")], as_json: Json = False
) -> None:
    """Import the Retraction Watch file; every paper is then checked against it."""
    from datetime import UTC, datetime

    from labwright.workflows.literature_sources import retraction_register

    found = retraction_register().load(file, datetime.now(UTC).date())
    if as_json:
        emit(asdict(found))
    else:
        typer.echo(f"{found.notices} notices, the newest of {found.newest}; {found.passed_over} rows passed over")
