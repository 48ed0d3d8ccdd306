"""Protocols as Markdown, as labwright and people write them.

`#` is the objective; `##` opens a part, but headings of data, references and materials open lists; `###`, or a
numbered line where a part has no `###`, opens a step. In a step, `- name: value` lines say what it names; elsewhere
accession numbers, `code spans` that are tools, "output of step 1.2" and citation marks [1] are read from the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from labwright.eval.protocol_reading import Reading, ReadPart, ReadStep
from labwright.eval.protocol_words import known_tools
from labwright.tools.analysis.contracts import OPERATORS

ACCESSION = re.compile(r"\b(?:GSE|GDS|SRP|PRJNA|PRJEB|EGAS|phs)\d{2,}\b|\bE-[A-Z]{4}-\d+\b|\bTCGA-[A-Z]{2,5}\b")
_LIST = re.compile(r"^(data|data ?sets?|materials?|references?|literature|sources?|bibliography)\b", re.IGNORECASE)
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
_NUMBERED = re.compile(r"^(\d+(?:\.\d+)*)[.)]\s+(.*)")
_FIELD = re.compile(r"^\s*[-*]\s+\**([A-Za-z][\w ]{0,40}?)\**\s*:\**\s+(.*)")
_STEP_ID = re.compile(r"^(?:step\s+)?(.*?)(?:\s*\((dry|wet|mixed)\))?\s*[:.]?$", re.IGNORECASE)
_READS = re.compile(r"\b(?:outputs?|results?|tables?)\s+(?:of|from)\s+steps?\s+((?:Part\s+)?\d[\w.]*\b)", re.IGNORECASE)
_CITED = re.compile(r"\[([A-Z]?\d{1,3}(?:\s*,\s*[A-Z]?\d{1,3})*)\]")
_LABELLED = re.compile(r"^\*(\w[\w ]*?)[.:]\*\s*(.*)")
_LISTED = re.compile(r"^\s*(?:[-*]\s+)?(?:\*\*([\w.-]+)\*\*|\[?([A-Z]?\d{1,3})[\].:)])")
_CODE = re.compile(r"`([^`\n]{2,40})`")
TOOL, DATA, INPUT = (
    ("analysis", "tool", "software", "method", "package"),
    ("data", "data set", "dataset"),
    ("input", "inputs", "reads"),
)
NO_SETTING = ("note", "method", "output", "outputs", "purpose", "reference", "expected")


@dataclass
class _Draft:
    """A part or a step while its lines are read."""

    id: str
    title: str
    kind: str = "dry"
    lines: list[str] = field(default_factory=list)
    named: dict[str, list[str]] = field(default_factory=dict)
    steps: list[_Draft] = field(default_factory=list)


@dataclass
class _Document:
    title: str = ""
    logic: list[str] = field(default_factory=list)
    parts: list[_Draft] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    listing: str = ""
    """Name of the list whose entries are read now."""


def read_markdown(text: str) -> Reading:
    """A protocol in Markdown; a text without headings is one part."""
    found = _Document()
    for line in text.splitlines():
        heading = _HEADING.match(line)
        if heading:
            _open(found, len(heading[1]), heading[2])
        elif found.listing:
            _entry(found, line)
        elif line.strip():
            _line(found, line)
    parts = tuple(_part(p, found.sources) for p in found.parts if p.steps or p.lines)
    return Reading(
        objective=re.sub(r"^protocol\s*:\s*", "", found.title, flags=re.IGNORECASE),
        logic=" ".join(found.logic),
        parts=parts,
        datasets=tuple({"id": d} for d in dict.fromkeys(found.datasets)),
        sources=frozenset(found.sources),
    )


def _open(found: _Document, depth: int, title: str) -> None:
    found.listing = ""
    if depth == 1 and not found.title:
        found.title = title
    elif depth <= 2 and _LIST.match(title):
        found.listing = title.casefold()
    elif depth <= 2:
        number = re.match(r"((?:part\s+)?\d+)\s*[.:)]\s*(.*)", title, re.IGNORECASE)
        name = number[1] if number else str(len(found.parts) + 1)
        found.parts.append(_Draft(name, number[2] if number else title))
    else:
        part = _current(found)
        match = _STEP_ID.match(title)
        name, kind = (match[1], match[2]) if match else (title, None)
        identifier = re.match(r"(?:Part\s+)?\d[\w.]*(?=$|[\s:.])", name)
        ordinal = f"{len(found.parts)}.{len(part.steps) + 1}"
        step = _Draft(identifier[0].rstrip(".:") if identifier else ordinal, "###", (kind or "dry").casefold())
        rest = name[len(identifier[0]) :].strip(" :.-") if identifier else name
        step.lines += [rest] if rest else []
        part.steps.append(step)


def _current(found: _Document) -> _Draft:
    if not found.parts:
        found.parts.append(_Draft("1", found.title or ""))
    return found.parts[-1]


def _entry(found: _Document, line: str) -> None:
    listed = _LISTED.match(line)
    if listed and not found.listing.startswith("data"):
        found.sources.add(listed[1] or listed[2])
    elif listed and listed[1]:
        found.datasets.append(listed[1])
    found.datasets += ACCESSION.findall(line)


def _line(found: _Document, line: str) -> None:
    if not found.parts and not _NUMBERED.match(line):
        found.logic.append(line.strip())
        return
    part = _current(found)
    numbered = _NUMBERED.match(line)
    if numbered and not any(s.title == "###" for s in part.steps):
        name = numbered[1] if "." in numbered[1] else f"{len(found.parts)}.{numbered[1]}"
        part.steps.append(_Draft(name, "", lines=[numbered[2]]))
        return
    target = part.steps[-1] if part.steps else part
    labelled, named = _LABELLED.match(line), _FIELD.match(line)
    if labelled:
        target.named.setdefault(labelled[1].casefold(), []).append(labelled[2])
    elif named and part.steps:
        target.named.setdefault(named[1].strip().casefold(), []).append(named[2].strip())
    else:
        target.lines.append(line.strip())


def _part(draft: _Draft, sources: set[str]) -> ReadPart:
    purpose = " ".join([*draft.named.get("purpose", ()), *draft.lines])
    return ReadPart(
        id=draft.id,
        title=draft.title,
        purpose=purpose,
        refs=_refs(" ".join(draft.lines), draft.named, sources),
        steps=tuple(_step(s, sources) for s in draft.steps),
    )


def _step(draft: _Draft, sources: set[str]) -> ReadStep:
    text = " ".join(draft.lines)
    named = draft.named
    tool = next((_plain(named[k][0]) for k in TOOL if k in named), "") or _tool_in(text)
    data = [_plain(x) for k in DATA for value in named.get(k, ()) for x in re.split(r"[,;]", value)]
    inputs = [_READS.sub(r"\1", x).strip() for k in INPUT for x in named.get(k, ())]
    taken = {*TOOL, *DATA, *INPUT, *NO_SETTING}
    return ReadStep(
        id=draft.id,
        text=text,
        kind=draft.kind,
        tool=tool,
        datasets=tuple(dict.fromkeys([d for d in data if d] + ACCESSION.findall(text))),
        parameters={k: _value(v[0]) for k, v in named.items() if k not in taken and not k.startswith("source")},
        inputs=tuple(dict.fromkeys([i for i in inputs if i] + [m.rstrip(".") for m in _READS.findall(text)])),
        refs=_refs(text, named, sources),
    )


def _refs(text: str, named: dict[str, list[str]], sources: set[str]) -> tuple[str, ...]:
    """Citation marks; a labwright `Sources` line names stored spans, which a Markdown file alone cannot resolve."""
    marks = [x.strip() for group in _CITED.findall(text) for x in group.split(",")]
    for values in (v for k, v in named.items() if k.startswith("source")):
        marks += [x.strip() for value in values for x in re.split(r"[,;]", value) if x.strip() in sources]
    return tuple(dict.fromkeys(marks))


def _plain(text: str) -> str:
    return text.strip().strip("`*").strip()


def _tool_in(text: str) -> str:
    """The first tool that the text names in a code span, or by a name that is known and written as a name."""
    spans = [s.split("(")[0].strip() for s in _CODE.findall(text)]
    tool = next((s for s in spans if s in OPERATORS or s.casefold() in known_tools()), spans[0] if spans else "")
    if tool:
        return tool
    words = re.findall(r"\b[A-Za-z][\w.+-]*\b", text)
    return next((w for w in words if len(w) > 2 and w.casefold() in known_tools() and not w.islower()), "")


def _value(text: str) -> Any:
    """A setting as a number, a list or a text."""
    text = _plain(text)
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"-?\d*\.\d+(?:e-?\d+)?", text, re.IGNORECASE):
        return float(text)
    if text.startswith("[") and text.endswith("]"):
        return [_plain(x).strip("'\"") for x in text[1:-1].split(",")]
    return text
