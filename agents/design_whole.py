"""The design agent without its levels: a whole protocol in one answer, to measure what the levels give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import StringConstraints, create_model

from labwright.agents.design import DETAILS, LOGIC, PURPOSE, Brief, details, source_codes
from labwright.agents.grounding import disagreement
from labwright.agents.parameters import describe, fitted, given, listing
from labwright.agents.prompting import prompt
from labwright.agents.schemas import Answer, model_of, text
from labwright.agents.texts import instruction, whole
from labwright.domain import Part, Protocol
from labwright.errors import AnswerInvalid
from labwright.models.ask import Session, ask
from labwright.tools.analysis.contracts import OPERATORS, Names, param_schema


def whole_protocol(
    session: Session | None, brief: Brief, protocol: Protocol, features: Mapping[str, Names], advice: str = ""
) -> Protocol:
    """Headings, parameters and details of all parts in one answer, for comparison with the levels one by one.

    Args:
        session: who writes; None takes what code prefers.
        brief: objective, data set, sources.
        protocol: the parts with their analyses.
        features: analysis to the features of the data set that the objective names.
        advice: what a reviewer asked to change.
    """
    if session is None:
        plain = tuple(details(None, brief, p, features[p.steps[0].operator]) for p in protocol.parts)
        return protocol.model_copy(update={"parts": plain})
    names = [p.steps[0].operator for p in protocol.parts]
    settled = {n: given(OPERATORS[n], features[n]) for n in names}
    schemas = {n: param_schema(OPERATORS[n], brief.card, features[n], chosen=settled[n]) for n in names}
    listed = "\n".join(
        f"{i}. {OPERATORS[n].title}. Its method, which is fixed: {OPERATORS[n].procedure} Parameters:\n"
        f"{listing(schemas[n], brief.card)}"
        for i, n in enumerate(names, start=1)
    )
    asked = prompt("whole_protocol").render(
        objective=brief.objective.brief(),
        dataset=brief.dataset(),
        analyses=listed,
        sources=brief.source_titles(),
        advice=advice,
    )
    try:
        answer = ask(session, asked, _answer(brief, schemas), max_tokens=120 + 190 * len(names))
    except AnswerInvalid:
        session.log.decide("whole protocol", "fallback", len(names))
        return whole_protocol(None, brief, protocol, features)
    said = answer.value.model_dump()
    done = tuple(
        _filled(session, brief, part, said[f"part_{i}"], features[n], answer.name)
        for i, (part, n) in enumerate(zip(protocol.parts, names, strict=True), start=1)
    )
    return protocol.model_copy(update={"logic": whole(said["logic"], LOGIC), "parts": done})


def _answer(brief: Brief, schemas: Mapping[str, dict[str, Any]]) -> Any:
    """The schema of all parts, from those of their parameters."""
    fields = {
        "title": (text(8, 80), ...),
        "purpose": (text(10, PURPOSE), ...),
        "details": (Annotated[str, StringConstraints(pattern=instruction(40, DETAILS))], ...),
        "sources": (source_codes(brief.sources), ...),
    }
    parts = {f"part_{i}": (model_of(f"Part{i}", schemas[n], **fields), ...) for i, n in enumerate(schemas, start=1)}
    logic = (text(30, LOGIC), ...)
    return create_model("WholeProtocol", __base__=Answer, logic=logic, **parts)  # type: ignore[call-overload]


def _filled(  # noqa: PLR0913  (one part of the answer, and what it is checked against)
    session: Session,
    brief: Brief,
    part: Part,
    said: dict[str, Any],
    features: Names,
    name: str,
) -> Part:
    contract = OPERATORS[part.steps[0].operator]
    texts = {k: said.pop(k) for k in ("title", "purpose", "details", "sources")}
    called = f"{name}: {part.id}"
    values = fitted(session, brief.objective, contract, brief.card, features, values=said, name=called)
    plain = describe(contract, values, brief.card)
    if disagreement(texts["details"], contract, f"{brief.ours()} {plain}"):
        session.log.decide(f"{part.id}: details", "code")
        texts["details"] = plain
    known = {s.code: s for s in brief.sources}
    refs = tuple(known[c].ref() for c in dict.fromkeys(texts["sources"]))
    step = part.steps[0].model_copy(
        update={"parameters": values, "details": whole(texts["details"], DETAILS), "refs": refs}
    )
    purpose = whole(texts["purpose"], PURPOSE)
    return part.model_copy(
        update={"title": texts["title"], "purpose": purpose, "outline": purpose, "refs": refs, "steps": (step,)}
    )
