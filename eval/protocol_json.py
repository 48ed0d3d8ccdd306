"""Protocols as JSON: labwright's own, and the common shapes that other systems write.

A foreign document is an object with an objective, a list of parts (or sections, stages, phases, or steps alone) and in
each a list of steps (texts, or objects). Names of fields may vary within the lists below; what is not recognised is
not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labwright.domain import Paper, Protocol, Ref, Report
from labwright.errors import WrongUse
from labwright.eval.protocol_reading import Reading, ReadPart, ReadStep
from labwright.store import file_name

OBJECTIVE = ("objective", "goal", "aim", "question", "research_question", "title")
LOGIC = ("logic", "rationale", "summary", "overview", "background")
PARTS = ("parts", "sections", "stages", "phases", "experiments", "modules")
STEPS = ("steps", "procedure", "tasks", "protocol", "actions")
TITLE = ("title", "name", "heading")
PURPOSE = ("purpose", "outline", "aim", "goal", "description", "design_reason")
TEXT = ("details", "text", "description", "instruction", "instructions", "action", "step", "content")
TOOL = ("operator", "tool", "software", "method", "package", "function")
DATA = ("datasets", "dataset", "data", "accession", "accessions")
SETTINGS = ("parameters", "params", "settings", "arguments", "args")
INPUTS = ("inputs", "input", "depends_on", "dependencies", "uses", "reads")
REFS = ("refs", "references", "reference", "citations", "sources")
Object = Mapping[str, Any]


def read_json(path: Path, raw: Any) -> Reading:
    """A protocol of either form.

    Args:
        path: where it came from; beside a labwright protocol lie the papers and reports that its references name.
        raw: the parsed JSON.

    Raises:
        WrongUse: it is no protocol.
    """
    if not isinstance(raw, Mapping):
        raise WrongUse(f"{path}: a protocol is a JSON object with an objective and parts; see docs/protocol-quality.md")
    if isinstance(raw.get("objective"), Mapping):
        try:
            return from_protocol(Protocol.model_validate(raw), path.parent)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise WrongUse(f"{path}: no labwright protocol: {where}: {first['msg']}") from error
    return _foreign(path, raw)


def from_protocol(protocol: Protocol, folder: Path | None = None) -> Reading:
    """A labwright protocol as the metrics read it.

    Args:
        protocol: the protocol.
        folder: its run folder; references resolve to the papers and reports there, else only to the embedded corpus.
    """
    parts = tuple(
        ReadPart(
            id=p.id,
            title=p.title,
            purpose=" ".join(dict.fromkeys(x for x in (p.purpose, p.outline) if x)),
            refs=tuple(map(_key, p.refs)),
            steps=tuple(
                ReadStep(
                    id=s.id,
                    text=s.details,
                    kind=s.kind,
                    tool=s.operator,
                    datasets=s.datasets,
                    parameters=s.parameters,
                    inputs=s.inputs,
                    refs=tuple(map(_key, s.refs)),
                )
                for s in p.steps
            ),
        )
        for p in protocol.parts
    )
    wanted = {r for p in protocol.parts for r in (*p.refs, *(r for s in p.steps for r in s.refs))}
    return Reading(
        objective=protocol.objective.brief(),
        logic=protocol.logic,
        parts=parts,
        datasets=tuple(
            {k: v for k, v in (("id", d.id), ("n_samples", d.n_samples), ("organism", d.organism)) if v}
            for d in protocol.datasets
        ),
        sources=frozenset(_key(r) for r in wanted if folder is not None and _resolves(folder, r)),
    )


def _key(ref: Ref) -> str:
    return ":".join([ref.paper, ref.part, *ref.steps])


def _resolves(folder: Path, ref: Ref) -> bool:
    """The paper, its report, the part and every step are stored in the run folder."""
    paper, report = (folder / kind / file_name(f"{ref.paper}.json") for kind in ("papers", "reports"))
    try:
        Paper.model_validate_json(paper.read_bytes())
        stored = Report.model_validate_json(report.read_bytes())
    except (ValidationError, OSError):
        return False
    steps = {p.id: {s.id for s in p.steps} for p in stored.parts}
    return ref.part in steps and set(ref.steps) <= steps[ref.part]


def _foreign(path: Path, raw: Object) -> Reading:
    parts = _first(raw, PARTS)
    if parts is None:
        steps = _first(raw, STEPS)
        parts = [{"title": _text(_first(raw, TITLE)), "steps": steps}] if steps else None
    if isinstance(parts, Mapping):
        parts = [{"title": k, **(v if isinstance(v, Mapping) else {"steps": v})} for k, v in parts.items()]
    if not isinstance(parts, Sequence) or isinstance(parts, str) or not parts:
        raise WrongUse(f"{path}: no parts or steps in it; see docs/protocol-quality.md for the fields that are read")
    read = tuple(_part(p, number) for number, p in enumerate(parts, start=1))
    declared = _first(raw, DATA)
    return Reading(
        objective=_text(_first(raw, OBJECTIVE)),
        logic=_text(_first(raw, LOGIC)),
        parts=read,
        datasets=tuple(_dataset(d) for d in _list(declared)),
        sources=frozenset(_source_keys(_first(raw, REFS))),
    )


def _part(raw: Any, number: int) -> ReadPart:
    if not isinstance(raw, Mapping):
        raw = {"title": "", "steps": raw if isinstance(raw, list) else [raw]}
    steps = _list(_first(raw, STEPS))
    purpose = " ".join(dict.fromkeys(_text(raw[k]) for k in PURPOSE if raw.get(k)))
    return ReadPart(
        id=_text(raw.get("id")) or str(number),
        title=_text(_first(raw, TITLE)),
        purpose=purpose,
        refs=_names(_first(raw, REFS)),
        steps=tuple(_step(s, f"{number}.{n}") for n, s in enumerate(steps, start=1)),
    )


def _step(raw: Any, number: str) -> ReadStep:
    if not isinstance(raw, Mapping):
        raw = {"text": raw}
    settings = _first(raw, SETTINGS)
    kind = _text(raw.get("kind")).casefold()
    return ReadStep(
        id=_text(raw.get("id")) or number,
        text=" ".join(dict.fromkeys(_text(raw[k]) for k in TEXT if raw.get(k))),
        kind=kind if kind in ("dry", "wet", "mixed") else "dry",
        tool=_text(_first(raw, TOOL)),
        datasets=_names(_first(raw, DATA)),
        parameters={str(k): v for k, v in settings.items()} if isinstance(settings, Mapping) else {},
        inputs=_names(_first(raw, INPUTS)),
        refs=_names(_first(raw, REFS)),
    )


def _dataset(raw: Any) -> Object:
    if isinstance(raw, Mapping):
        return {**{k: raw[k] for k in ("n_samples", "organism") if raw.get(k)},
                "id": _text(_first(raw, ("id", "accession", "name")))}  # fmt: skip
    return {"id": _text(raw)}


def _source_keys(raw: Any) -> list[str]:
    """Keys under which a document lists its sources: those of a mapping, ids of objects, or the texts themselves."""
    if isinstance(raw, Mapping):
        return [str(k) for k in raw]
    out = []
    for number, entry in enumerate(_list(raw), start=1):
        if isinstance(entry, Mapping):
            out += [_text(entry[k]) for k in ("id", "key", "pmid", "doi") if entry.get(k)]
        else:
            out.append(_text(entry))
        out.append(str(number))
    return out


def _first(raw: Object, names: Sequence[str]) -> Any:
    return next((raw[n] for n in names if raw.get(n) not in (None, "", [], {})), None)


def _list(raw: Any) -> list[Any]:
    if raw is None:
        return []
    return list(raw) if isinstance(raw, list | tuple) else [raw]


def _names(raw: Any) -> tuple[str, ...]:
    if isinstance(raw, str):
        raw = re.split(r"\s*[,;]\s*", raw)
    names = (_text(_first(x, ("id", "key", "accession", "name")) if isinstance(x, Mapping) else x) for x in _list(raw))
    return tuple(n for n in names if n)


def _text(raw: Any) -> str:
    if raw is None or isinstance(raw, Mapping):
        return ""
    if isinstance(raw, list | tuple):
        return " ".join(_text(x) for x in raw)
    return " ".join(str(raw).split())
