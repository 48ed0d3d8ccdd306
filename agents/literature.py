"""The literature agent: a paper to a report with verbatim quotes, and how far each part can be borrowed.

Coarse to fine: parts with outlines first, then the steps of each part. A step names a sentence by number,
so its quote is the stored span itself and cannot be made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from labwright.agents.prompting import prompt
from labwright.agents.texts import whole
from labwright.agents.untrusted import Guard
from labwright.domain import Analysis, Objective, Paper, Quote, Report, ReportPart, ReportStep
from labwright.models.ask import Session, Value, ask, choose
from labwright.models.prompt_file import Material
from labwright.tools.evidence import is_verbatim, locate, sentences
from labwright.tools.standing import require_citable

MOST_SENTENCES = 14
OUTLINE, ADVICE, DONE = 170, 130, 150
"""Most characters of the text fields."""
CLEARLY_MORE = 0.2
"""Share of a step's words by which another sentence must cover it better to be quoted instead."""
FILLERS = frozenset(("the", "and", "was", "were", "with", "for", "from", "that", "this", "which", "into"))
Referability = Literal["high", "medium", "low"]
GRADES: tuple[Referability, ...] = ("high", "medium", "low")


def _text(least: int, most: int) -> type[str]:
    return Annotated[str, StringConstraints(min_length=least, max_length=most)]  # type: ignore[return-value]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PartDraft(_Answer):
    """A part as the model names it."""

    title: Annotated[str, StringConstraints(min_length=6, max_length=60)]
    outline: Annotated[str, StringConstraints(min_length=15, max_length=OUTLINE)]


class PartsDraft(_Answer):
    """All parts of a paper."""

    parts: list[PartDraft] = Field(min_length=1, max_length=2)


class Advice(_Answer):
    """Why a part helps and what to borrow."""

    reason: Annotated[str, StringConstraints(min_length=10, max_length=ADVICE)]
    borrow: Annotated[str, StringConstraints(min_length=10, max_length=ADVICE)]


def steps_schema(n: int) -> type[BaseModel]:
    """Schema of the steps of a part of a paper with `n` numbered sentences."""
    step = create_model(
        "StepDraft",
        __base__=_Answer,
        sentence=(Annotated[int, Field(ge=1, le=n)], ...),
        done=(_text(20, DONE), ...),
    )
    return create_model("StepsDraft", __base__=_Answer, steps=(list[step], Field(min_length=1, max_length=2)))


def passages(
    objective: Objective,
    paper: Paper,
    document: str,
    encode: Callable[[Sequence[str]], np.ndarray],
    guard: Guard,
) -> list[Quote]:
    """The sentences put before the model, in reading order: all, or those nearest to the objective.

    Every quote of a run is one of these, so what may not be evidence is stopped here. A sentence with a passage that
    looks like an instruction is not among them, so none is ever quoted.

    Raises:
        RetractedEvidence: the paper is retracted, or is itself a notice.
    """
    require_citable(paper)
    every = [q for q in sentences(paper.id, document) if q.text.rstrip(".") != paper.title.rstrip(".")]
    found = guard.visible(document, every)
    if len(found) <= MOST_SENTENCES:
        return found
    vectors = encode([q.text for q in found])
    near = vectors @ encode([objective.text])[0]
    best = sorted(np.argsort(-near)[:MOST_SENTENCES])
    return [found[int(i)] for i in best]


def read_paper(session: Session | None, paper: Paper, shown: Sequence[Quote], guard: Guard) -> Report:
    """Make the report of one paper.

    Args:
        session: who reads; None takes the sentences as they are.
        paper: the paper.
        shown: the sentences to read, at least one.
        guard: shows them to the model.
    """
    bare = PartsDraft(parts=[PartDraft(title=paper.title[:60].ljust(6), outline=_clip(shown[0].text, OUTLINE))])
    if session is None:
        steps = [ReportStep(id=f"S{i + 1}", details=q.text, quotes=(q,)) for i, q in enumerate(shown[:4])]
        only = bare.parts[0]
        return Report(
            paper=paper.id,
            parts=(ReportPart(id="P1", title=only.title, outline=only.outline, steps=tuple(steps)),),
        )
    text = numbered(paper, shown, guard)
    drafts = draft_parts(session, text, bare)
    parts = []
    for number, draft in enumerate(drafts, start=1):
        part = guard.written(f"{draft.title}. {draft.outline}")
        steps = _steps(session, text, part, shown)
        parts.append(
            ReportPart(id=f"P{number}", title=draft.title, outline=whole(draft.outline, OUTLINE), steps=tuple(steps))
        )
    return Report(paper=paper.id, parts=tuple(parts))


def bind(report: Report, document: str) -> Report:
    """Tie every quote of a report to the stored document, by code and whoever wrote it.

    Args:
        report: quotes may be off their place, or as a model or a person typed them.
        document: the paper's stored text.

    Returns:
        The report with each quote as a verbatim span.

    Raises:
        QuoteNotFound: the document does not hold a quote; the nearest sentence is told.
    """

    def bound(quote: Quote) -> Quote:
        return quote if is_verbatim(quote, document) else locate(report.paper, document, quote.text)

    parts = [
        part.model_copy(
            update={
                "steps": tuple(
                    step.model_copy(update={"quotes": tuple(map(bound, step.quotes))}) for step in part.steps
                )
            }
        )
        for part in report.parts
    ]
    return report.model_copy(update={"parts": tuple(parts)})


def numbered(paper: Paper, shown: Sequence[Quote], guard: Guard) -> Material:
    """Title and sentences as the model reads them."""
    lines = "\n".join(f"{i + 1}. {q.text}" for i, q in enumerate(shown))
    return guard.material(f"Paper: {guard.read(paper.title)}\n{lines}")


def draft_parts(session: Session, paper: Material, bare: PartsDraft) -> list[PartDraft]:
    """The parts of a paper as the model names them.

    Args:
        session: who reads.
        paper: title and numbered sentences.
        bare: stands where the model gives no valid answer.
    """
    asked = prompt("report_parts").render(paper=paper)
    return ask(session, asked, PartsDraft, max_tokens=260, fallback=lambda: bare).value.parts


def _steps(session: Session, paper: Material, part: Material, shown: Sequence[Quote]) -> list[ReportStep]:
    schema = steps_schema(len(shown))
    asked = prompt("report_steps").render(paper=paper, part=part)
    first = schema.model_validate({"steps": [{"done": _clip(shown[0].text, DONE), "sentence": 1}]})
    answer = ask(session, asked, schema, max_tokens=220, fallback=lambda: first)
    seen: dict[int, ReportStep] = {}
    for step in answer.value.model_dump()["steps"]:
        number = supporting(step["done"], int(step["sentence"]), shown)
        if number != step["sentence"]:
            session.log.decide(f"{answer.name}:{step['sentence']}", "code")
        if number not in seen:
            seen[number] = ReportStep(
                id=f"S{len(seen) + 1}", details=whole(step["done"], DONE), quotes=(shown[number - 1],)
            )
    return list(seen.values())


def supporting(done: str, named: int, shown: Sequence[Quote]) -> int:
    """Number of the sentence that a step is quoted by: the named one, unless another shares clearly more words.

    Example:
        >>> quotes = [Quote(paper="p", start=0, end=1, text=t) for t in ("Tumours were cut.", "Genes were ranked.")]
        >>> supporting("ranked genes by p", 1, quotes)
        2
    """
    words = _words(done)
    shares = [len(words & _words(quote.text)) / max(1, len(words)) for quote in shown]
    best = max(range(len(shown)), key=lambda i: shares[i])
    return best + 1 if shares[best] > shares[named - 1] + CLEARLY_MORE else named


def _words(text: str) -> set[str]:
    return {w for w in re.findall(r"[a-z0-9-]{3,}", text.casefold()) if w not in FILLERS}


def analyse(
    session: Session | None, objective: Objective, paper: Paper, report: Report, guard: Guard
) -> list[Analysis]:
    """Rate each part of a report by how far it can be borrowed, with reason and suggestion."""
    if session is None:
        return [
            Analysis(
                paper=paper.id,
                part=part.id,
                referability="medium",
                reason="not rated: no model",
                suggestions="",
            )
            for part in report.parts
        ]
    title = guard.read(paper.title)
    grades = [grade(session, objective, guard, (title, f"{p.title}. {p.outline}")) for p in report.parts]
    listed = "\n".join(f"Part {i + 1}: {p.title}. {p.outline}" for i, p in enumerate(report.parts))
    advice = _advise(session, objective, guard.written(f"Study: {title}\n{listed}"), len(report.parts))
    return [
        Analysis(
            paper=paper.id,
            part=part.id,
            referability=max(GRADES, key=lambda g: grades_of[g]),
            reason=whole(said.reason, ADVICE),
            suggestions=whole(said.borrow, ADVICE),
            probability={g: round(p, 4) for g, p in grades_of.items()},
        )
        for part, grades_of, said in zip(report.parts, grades, advice, strict=True)
    ]


def grade(session: Session, objective: Objective, guard: Guard, part: tuple[str, str]) -> dict[str, float]:
    """Probabilities of the grades of a part (study, part), freed of what the model answers when nothing is said.

    The words high, medium and low are not equally likely to a model before it has read anything; the bias is
    measured on an empty part and divided out (contextual calibration, Zhao et al. 2021, ICML, equation 3).
    """
    flat: dict[str, float] = {grade: 1 / len(GRADES) for grade in GRADES}

    def probabilities(study: str, what: str) -> Value[dict[str, float]]:
        shown = guard.written(f"Study: {study}\nPart: {what}")
        asked = prompt("referability").render(objective=objective.brief(), part=shown)
        return choose(session, asked, GRADES, fallback=flat)

    said, empty = probabilities(*part), probabilities("N/A", "N/A")
    if said.decided_by == "fallback":  # not understood: neither recommended nor dropped
        return {"high": 0.0, "medium": 1.0, "low": 0.0}
    weights = {g: said.value[g] / max(empty.value[g], 0.01) for g in GRADES}
    return {g: w / sum(weights.values()) for g, w in weights.items()}


def _advise(session: Session, objective: Objective, parts: Material, n: int) -> list[Advice]:
    schema = create_model("AdviceDraft", __base__=_Answer, parts=(list[Advice], Field(min_length=n, max_length=n)))
    asked = prompt("suggestions").render(objective=objective.brief(), parts=parts)
    plain = [Advice(reason="No reason was given by the model.", borrow="Read the part itself.")] * n
    answer = ask(session, asked, schema, max_tokens=150 * n, fallback=lambda: schema.model_validate({"parts": plain}))
    return [Advice.model_validate(said) for said in answer.value.model_dump()["parts"]]


def paper_referability(analyses: Sequence[Analysis]) -> float:
    """Share of parts rated high, in [0, 1].

    Raises:
        ValueError: there is no part.
    """
    if not analyses:
        raise ValueError("a paper without parts has no referability")
    return sum(a.referability == "high" for a in analyses) / len(analyses)


def _clip(text: str, most: int) -> str:
    """Cut at a word boundary, or inside a word that fills more than half (a sequence, an address)."""
    cut = text[:most].rsplit(" ", 1)[0]
    return text if len(text) <= most else cut if len(cut) > most // 2 else text[:most]
