"""The design agent: headings, outlines and details of the protocol, one part for each chosen analysis.

Each level sees only the same level of the literature. Sources are offered as codes, so that a reference
resolves when it is parsed or cannot be written at all; parameters are offered as the real columns and levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, create_model

from labwright.agents.analyses import ordered, upstream_of
from labwright.agents.grounding import disagreement
from labwright.agents.literature import GRADES
from labwright.agents.parameters import describe, fill
from labwright.agents.prompting import prompt
from labwright.agents.schemas import Answer
from labwright.agents.search import dataset_brief
from labwright.agents.texts import instruction, whole
from labwright.agents.untrusted import Guard
from labwright.domain import Analysis, Objective, Paper, Part, Protocol, Ref, Report, Step
from labwright.models.ask import Session, ask
from labwright.models.prompt_file import Material
from labwright.tools.analysis.contracts import OPERATORS, Names

LEAST_SOURCES, MOST_SOURCES = 2, 6
"""Parts rated medium fill up to the first; no more than the second go on. A part rated low never does."""
LOGIC, PURPOSE, OUTLINE, DETAILS = 300, 150, 260, 320
"""Most characters of the text fields."""


class Outline(Answer):
    """What a part does."""

    outline: Annotated[str, StringConstraints(pattern=instruction(30, OUTLINE))]


@dataclass(frozen=True, slots=True)
class Source:
    """A report part that may be referred to."""

    code: str
    paper: Paper
    part: str
    title: str
    outline: str
    steps: tuple[tuple[str, str], ...]
    """Step id and what was done."""
    advice: str

    def ref(self, steps: Sequence[str] = ()) -> Ref:
        """The reference that the code stands for."""
        return Ref(paper=self.paper.id, part=self.part, steps=tuple(steps))


def sources_of(
    papers: Sequence[Paper], reports: Mapping[str, Report], analyses: Mapping[str, Sequence[Analysis]]
) -> list[Source]:
    """The report parts that go on to design: rated high, and medium ones where those are too few."""
    rated = [
        (analysis, paper, part)
        for paper in papers
        for part, analysis in zip(reports[paper.id].parts, analyses[paper.id], strict=True)
    ]
    ranked = sorted(rated, key=lambda e: (GRADES.index(e[0].referability), -e[0].probability.get("high", 0.0)))
    high = [entry for entry in ranked if entry[0].referability == "high"]
    usable = [entry for entry in ranked if entry[0].referability != "low"]
    chosen = high[:MOST_SOURCES] if len(high) >= LEAST_SOURCES else usable[:LEAST_SOURCES]
    return [
        Source(
            code=f"R{number}",
            paper=paper,
            part=part.id,
            title=part.title,
            outline=part.outline,
            steps=tuple((step.id, step.details) for step in part.steps),
            advice=analysis.suggestions,
        )
        for number, (analysis, paper, part) in enumerate(chosen, start=1)
    ]


def skeleton(objective: Objective, operators: Sequence[str], dataset: str) -> Protocol:
    """The protocol that needs no model: one part for each analysis, titled as the operator is."""
    names = ordered(operators)
    parts = tuple(
        Part(
            id=f"Part {i}",
            title=OPERATORS[name].title,
            purpose=OPERATORS[name].answers,
            steps=(
                Step(
                    id=f"Part {i}.1",
                    details="",
                    kind="dry",
                    datasets=(dataset,),
                    operator=name,
                    inputs=tuple(f"Part {names.index(u) + 1}.1" for u in [upstream_of(name, names)] if u),
                ),
            ),
        )
        for i, name in enumerate(names, start=1)
    )
    logic = "The data set is described first; each analysis then answers its part of the objective."
    return Protocol(objective=objective, logic=logic, parts=parts)


@dataclass(frozen=True, slots=True)
class Brief:
    """What every level of the design is given."""

    objective: Objective
    card: Mapping[str, Any]
    sources: Sequence[Source]
    guard: Guard

    def dataset(self) -> Material:
        """The data set as the prompts show it."""
        return self.guard.material(dataset_brief(self.card))

    def ours(self) -> str:
        """What is said of this work; the sources tell of other patients, whose numbers are not ours."""
        return f"{self.objective.brief()} {dataset_brief(self.card)}"

    def source_titles(self) -> Material:
        """The sources by their titles; a model wrote those, of what a paper says."""
        return self.guard.written("\n".join(f"{s.code}: {s.title}" for s in self.sources) or "none")


def source_codes(sources: Sequence[Source], most: int = 2) -> Any:
    """Type of a list of sources' codes: one to `most` of them, none where there are no sources."""
    codes = Literal[tuple(s.code for s in sources)] if sources else str
    return Annotated[list[codes], Field(min_length=1 if sources else 0, max_length=most if sources else 0)]  # type: ignore[valid-type]


def headings(session: Session | None, brief: Brief, protocol: Protocol, advice: str = "") -> Protocol:
    """Give the parts their titles, purposes and sources."""
    if session is None:
        return protocol
    n = len(protocol.parts)
    part = create_model(
        "Heading",
        __base__=Answer,
        title=(Annotated[str, StringConstraints(min_length=8, max_length=70)], ...),
        purpose=(Annotated[str, StringConstraints(min_length=20, max_length=PURPOSE)], ...),
        sources=(source_codes(brief.sources), ...),
    )
    schema = create_model(
        "Headings",
        __base__=Answer,
        logic=(Annotated[str, StringConstraints(min_length=30, max_length=LOGIC)], ...),
        parts=(list[part], Field(min_length=n, max_length=n)),
    )
    lines = "\n".join(f"{i}. {p.title}" for i, p in enumerate(protocol.parts, start=1))
    asked = prompt("headings").render(
        objective=brief.objective.brief(),
        dataset=brief.dataset(),
        analyses=lines,
        sources=brief.source_titles(),
        advice=advice,
    )
    plain = [
        {"title": p.title, "purpose": p.purpose[:PURPOSE], "sources": [s.code for s in brief.sources[:1]]}
        for p in protocol.parts
    ]
    fallback = schema.model_validate({"logic": protocol.logic, "parts": plain})
    answer = ask(session, asked, schema, max_tokens=160 + 140 * n, fallback=lambda: fallback).value.model_dump()
    known = {s.code: s for s in brief.sources}
    parts = tuple(
        p.model_copy(
            update={
                "title": said["title"],
                "purpose": whole(said["purpose"], PURPOSE),
                "refs": tuple(known[c].ref() for c in dict.fromkeys(said["sources"])),
            }
        )
        for p, said in zip(protocol.parts, answer["parts"], strict=True)
    )
    return protocol.model_copy(update={"logic": whole(answer["logic"], LOGIC), "parts": parts})


def outlines(session: Session | None, brief: Brief, protocol: Protocol, advice: str = "") -> Protocol:
    """Give the parts their outlines."""
    if session is None:
        parts = tuple(p.model_copy(update={"outline": p.purpose}) for p in protocol.parts)
        return protocol.model_copy(update={"parts": parts})
    parts = tuple(_outlined(session, brief, part, advice) for part in protocol.parts)
    return protocol.model_copy(update={"parts": parts})


def _outlined(session: Session, brief: Brief, part: Part, advice: str) -> Part:
    contract = OPERATORS[part.steps[0].operator]
    cited = {(ref.paper, ref.part) for ref in part.refs}
    lines = "\n".join(f"- {s.outline}" for s in brief.sources if (s.paper.id, s.part) in cited) or "- none"
    asked = prompt("outlines").render(
        objective=brief.objective.brief(),
        dataset=brief.dataset(),
        part=part.title,
        analysis=contract.answers,
        procedure=contract.procedure,
        sources=brief.guard.written(lines),
        advice=advice,
    )
    plain = Outline(outline=whole(contract.procedure, OUTLINE))
    said = ask(session, asked, Outline, max_tokens=160, fallback=lambda: plain)
    text = whole(said.value.outline, OUTLINE)
    if disagreement(text, contract, brief.ours()):
        session.log.decide(said.name, "code")
        text = plain.outline
    return part.model_copy(update={"outline": text})


def details(session: Session | None, brief: Brief, part: Part, features: Names, advice: str = "") -> Part:
    """Give the part's step its parameters, its details and its sources.

    Args:
        session: who fills; None takes the values that code prefers.
        brief: objective, data set, sources.
        part: the part, with outline.
        features: genes, drugs or alterations of the data set that the objective names.
        advice: what a reviewer asked to change.
    """
    step = part.steps[0]
    contract = OPERATORS[step.operator]
    cited = [s for s in brief.sources if any(r.paper == s.paper.id and r.part == s.part for r in part.refs)]
    steps = {f"{s.code}.{sid}": (s, sid, done) for s in cited for sid, done in s.steps}
    lines = "\n".join(f"{code}: {done}" for code, (_, _, done) in steps.items()) or "none"

    def render(listed: str, wrong: str) -> Any:
        return prompt("details").render(
            objective=brief.objective.brief(),
            dataset=brief.dataset(),
            part=f"{part.title}. {part.outline}",
            analysis=contract.answers,
            procedure=contract.procedure,
            parameters=listed,
            sources=brief.guard.written(lines),
            advice=advice + wrong,
        )

    codes = Literal[tuple(steps)] if steps else str
    extra = {
        "details": (Annotated[str, StringConstraints(pattern=instruction(40, DETAILS))], ...),
        "sources": (Annotated[list[codes], Field(max_length=2 if steps else 0)], ...),  # type: ignore[valid-type]
    }
    filled = fill(session, brief.objective, contract, brief.card, features, render=render, extra=extra)
    plain = describe(contract, filled.parameters, brief.card)
    said = filled.extra or {"details": plain, "sources": []}
    if filled.extra and disagreement(said["details"], contract, f"{brief.ours()} {plain}"):
        assert session is not None  # noqa: S101  (narrowing; without a session there is no answer)
        session.log.decide(f"{part.id}: details", "code")
        said["details"] = plain
    refs = tuple(steps[c][0].ref([steps[c][1]]) for c in dict.fromkeys(said["sources"]))
    done = step.model_copy(
        update={"parameters": filled.parameters, "details": whole(said["details"], DETAILS), "refs": refs}
    )
    return part.model_copy(update={"steps": (done,)})


Drafter = Callable[[str], Protocol]
