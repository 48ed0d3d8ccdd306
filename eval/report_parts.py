"""Literature, protocol and reviews as the report shows them: every reference is resolved again here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import quote as percent

from labwright.domain import (
    Analysis,
    Paper,
    PaperIds,
    Part,
    Protocol,
    Quote,
    Ref,
    Report,
    ReportPart,
    ReportStep,
    Review,
    Step,
)
from labwright.eval.report_files import RunFiles
from labwright.eval.report_quotes import QuoteView, Segment, anchor, quote_view, quotes_of, segments
from labwright.tools.full_text import Wanted

KINDS = {
    "abstract": "abstract only; its methods section was not seen",
    "full_text": "full text",
    "summary": "summary written by this project; a quote from it is a quote of the summary, not of the paper",
    "user": "document given by the user",
}


@dataclass(frozen=True, slots=True)
class StepRead:
    """One step read in a paper."""

    step: ReportStep
    anchor: str
    quotes: list[QuoteView]

    @property
    def supported(self) -> bool:
        """At least one of its quotes is in the stored document."""
        return any(quote.status == "verified" for quote in self.quotes)


@dataclass(frozen=True, slots=True)
class PartRead:
    """One part read in a paper."""

    part: ReportPart
    anchor: str
    analysis: Analysis | None
    steps: list[StepRead]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperView:
    """One paper that was kept, and what was read in it."""

    paper: Paper
    anchor: str
    kind: str
    links: list[tuple[str, str]]
    parts: list[PartRead]
    document: list[Segment]
    """The stored text in stretches; empty when none is stored."""
    document_anchor: str


@dataclass(slots=True)
class Literature:
    """All papers, the ones read, and what references may point to."""

    queries: list[str]
    screened: list[Paper]
    kept: list[PaperView]
    wanted: list[Wanted] = field(default_factory=list)
    """Papers that no open route gave in full."""
    parts: dict[tuple[str, str], PartRead] = field(default_factory=dict)

    @property
    def quotes(self) -> list[QuoteView]:
        """Every quote."""
        return [q for view in self.kept for part in view.parts for step in part.steps for q in step.quotes]

    def title(self, paper: str) -> str:
        """Title of a paper by its id."""
        return next((p.title for p in self.screened if p.id == paper), paper)


def literature(files: RunFiles) -> Literature:
    """Read papers, reports, analyses and documents of a run."""
    screened = files.papers()
    # Whatever has a stored document may be quoted, so it is shown, kept or not.
    read = [p for p in screened if kept(p) or files.document(p.id) is not None]
    reports = {p.id: report for p in read if (report := files.report(p.id)) is not None}
    every = [q for report in reports.values() for q in quotes_of(report)]
    documents = {p.id: files.document(p.id) for p in read}
    views = [_paper_view(files, paper, reports.get(paper.id), (documents, every)) for paper in read]
    found = Literature(files.read(list[str], "papers", "_queries.json") or [], screened, views)
    found.wanted = files.read(list[Wanted], "papers", "_full_text_wanted.json") or []
    found.parts = {(view.paper.id, part.part.id): part for view in views for part in view.parts}
    return found


def kept(paper: Paper) -> bool:
    """Whether the screening kept it."""
    return paper.reason.startswith("kept")


def _paper_view(
    files: RunFiles, paper: Paper, report: Report | None, stored: tuple[dict[str, str | None], list[Quote]]
) -> PaperView:
    documents, every = stored
    rated = {analysis.part: analysis for analysis in files.analyses(paper.id)}
    parts = [_part_read(paper.id, part, rated.get(part.id), documents) for part in (report.parts if report else ())]
    text = documents.get(paper.id)
    return PaperView(
        paper=paper,
        anchor=anchor("paper", paper.id),
        kind=KINDS[paper.kind],
        links=paper_links(paper.ids),
        parts=parts,
        document=segments(text, [q for q in every if q.paper == paper.id]) if text else [],
        document_anchor=anchor("document", paper.id),
    )


def _part_read(paper: str, part: ReportPart, analysis: Analysis | None, documents: dict[str, str | None]) -> PartRead:
    steps = [
        StepRead(
            step,
            anchor("read", paper, part.id, step.id),
            [quote_view(quote, documents.get(quote.paper)) for quote in step.quotes],
        )
        for step in part.steps
    ]
    return PartRead(part, anchor("read", paper, part.id), analysis, steps)


def paper_links(ids: PaperIds) -> list[tuple[str, str]]:
    """Label and address on doi.org and PubMed, for identifiers that are well formed."""
    links = []
    if re.fullmatch(r"10\.[0-9]{4,9}/\S{1,200}", ids.doi):
        links.append((f"doi:{ids.doi}", f"https://doi.org/{percent(ids.doi, safe='/')}"))
    if re.fullmatch(r"[0-9]{1,9}", ids.pmid):
        links.append((f"PMID {ids.pmid}", f"https://pubmed.ncbi.nlm.nih.gov/{ids.pmid}/"))
    return links


@dataclass(frozen=True, slots=True)
class Source:
    """A reference of the protocol, resolved."""

    label: str
    anchor: str
    """Where it is read; empty when it does not resolve."""
    fault: str
    """Why it supports nothing; empty when it does."""
    paper: str = ""
    """Id of the paper in which it is read; empty when it does not resolve."""
    quote: str = ""
    """Anchor of its first quote that holds, in the paper's stored document."""


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of the protocol and its sources."""

    step: Step
    anchor: str
    sources: list[Source]
    task: str
    """Anchor of its task, empty when there is none."""


@dataclass(frozen=True, slots=True)
class PartView:
    """One part of the protocol and its sources."""

    part: Part
    sources: list[Source]
    steps: list[StepView]


def protocol_parts(protocol: Protocol | None, found: Literature, tasks: dict[str, str]) -> list[PartView]:
    """Parts of the protocol, every reference resolved.

    Args:
        protocol: None gives no part.
        found: what references may point to.
        tasks: step id to the anchor of its task.
    """
    parts = protocol.parts if protocol else ()
    return [PartView(part, _sources(part.refs, found), _steps(part, found, tasks)) for part in parts]


def _steps(part: Part, found: Literature, tasks: dict[str, str]) -> list[StepView]:
    return [
        StepView(step, anchor("step", part.id, step.id), _sources(step.refs, found), tasks.get(step.id, ""))
        for step in part.steps
    ]


def _sources(refs: Sequence[Ref], found: Literature) -> list[Source]:
    return [source for ref in refs for source in _resolved(ref, found)]


def _resolved(ref: Ref, found: Literature) -> list[Source]:
    title = _short(found.title(ref.paper))
    part = found.parts.get((ref.paper, ref.part))
    if part is None:
        return [Source(f"{title}, {ref.part}", "", "does not resolve to anything that was read")]
    if not ref.steps:
        fault = "" if any(step.supported for step in part.steps) else "none of its quotes is in the document"
        return [
            Source(f"{title}, {ref.part} ({part.part.title})", part.anchor, fault, ref.paper, _first_quote(part.steps))
        ]
    steps = {step.step.id: step for step in part.steps}
    sources = []
    for name in ref.steps:
        label = f"{title}, {ref.part} step {name}"
        step = steps.get(name)
        if step is None:
            sources.append(Source(label, "", "does not resolve to anything that was read"))
        else:
            fault = "" if step.supported else "none of its quotes is in the document"
            label = f"{label} ({_short(step.step.details)})"
            sources.append(Source(label, step.anchor, fault, ref.paper, _first_quote([step])))
    return sources


def _first_quote(steps: Sequence[StepRead]) -> str:
    return next((quote.anchor for step in steps for quote in step.quotes if quote.status == "verified"), "")


def _short(text: str, most: int = 70) -> str:
    return text if len(text) <= most else f"{text[:most].rsplit(' ', 1)[0]} ..."


def unsupported(parts: Sequence[PartView]) -> int:
    """Parts and steps of the protocol with no source that holds."""
    every = [*(p.sources for p in parts), *(s.sources for p in parts for s in p.steps)]
    return sum(all(source.fault for source in sources) for sources in every)


@dataclass(frozen=True, slots=True)
class ReviewTable:
    """The candidates of one review loop."""

    title: str
    criteria: list[str]
    reviews: list[Review]


def review_tables(reviews: Sequence[Review], parts: Sequence[PartView]) -> list[ReviewTable]:
    """Reviews grouped into loops: a new one begins where the stage changes or the candidates start over.

    Args:
        reviews: in the order in which they are stored.
        parts: of the protocol, to name the loops of the details.
    """
    loops: list[list[Review]] = [[review] for review in reviews[:1]]
    for before, review in pairwise(reviews):
        if review.stage != before.stage or review.candidate <= before.candidate:
            loops.append([])
        loops[-1].append(review)
    names = [loop[0].stage for loop in loops]
    repeated = [i for i, name in enumerate(names) if names.count(name) > 1]
    if len(repeated) == len(parts):
        for i, view in zip(repeated, parts, strict=True):
            names[i] = f"{names[i]}: {view.part.title}"
    criteria = [list(dict.fromkeys(c for review in loop for c in review.scores)) for loop in loops]
    return [ReviewTable(*row) for row in zip(names, criteria, loops, strict=True)]
