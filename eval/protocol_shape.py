"""What code can check about completeness, logical and structural soundness of a protocol.

A fault counts once, under the metric that names its cause: an input that names no step is a missing step
(completeness), one that names a later step is a wrong order (logic), a part that says the same as another one is a
repetition (structure) and neither incomplete nor illogical.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

from labwright.eval.protocol_findings import Tally
from labwright.eval.protocol_reading import Reading, ReadPart, ReadStep
from labwright.eval.protocol_words import STAGES, stages_in
from labwright.tools.analysis.contracts import OPERATORS

ALIKE = 0.7
"""Parts or steps whose three-word sequences overlap by this Jaccard share say the same."""
RANKS = {"data acquisition": 0, "quality control": 0, "analysis": 1, "validation": 1, "interpretation": 2}
SHINGLE = 3


def main_stage(step: ReadStep) -> str:
    """The stage of a step: that of a labwright tool, else the one that its first verb names; else empty."""
    if step.tool in OPERATORS:
        return "quality control" if step.tool == "cohort_summary" else "analysis"
    found = stages_in(step.text)
    return min(found, key=lambda stage: found[stage]) if found else ""


def _tool_stages(step: ReadStep) -> dict[str, int]:
    """Stages that the tool covers by what it does, whatever the step says."""
    return stages_in(OPERATORS[step.tool].procedure) if step.tool in OPERATORS else {}


def check_completeness(reading: Reading) -> Tally:
    """Stages, steps that others rely on, results that nobody uses, empty parts."""
    tally = Tally()
    steps = list(reading.steps())
    named = {stage for s in steps for stage in (*stages_in(s.text), *_tool_stages(s), main_stage(s))}
    if any(s.datasets for s in steps):
        named.add("data acquisition")  # a step that names its data set says where the data come from
    for stage in STAGES:
        tally.ask(stage in named, "stage", "protocol", f"no step of {stage}")
    for part in reading.parts:
        tally.ask(bool(part.steps), "steps", part.id, "the part has no step")
    ids = {s.id for s in steps}
    read = {i for s in steps for i in s.inputs if i != s.id}
    copies = {name for name, twin in repeats([(s.id, s.text) for s in steps]) if twin}
    for s in steps:
        for i in s.inputs:
            tally.ask(i in ids, "input is made", s.id, f"it reads {i}, which no step makes")
        if main_stage(s) != "interpretation" and s.id not in copies:
            tally.ask(s.id in read, "result is used", s.id, "no step reads, validates or interprets its result")
    return tally


def check_logic(reading: Reading) -> Tally:
    """Order of steps against what they read, tools after the tools they need, stages in order within a part."""
    tally = Tally()
    steps = list(reading.steps())
    if len(steps) > 1:
        linked = any(s.inputs for s in steps)
        tally.ask(linked, "outputs feed inputs", "protocol", "no step reads what another one makes")
    place = {s.id: at for at, s in reversed(list(enumerate(steps)))}
    by_id = {s.id: s for s in reversed(steps)}
    for at, s in enumerate(steps):
        for i in s.inputs:
            if i in place:
                tally.ask(place[i] < at, "input comes earlier", s.id, f"it reads {i}, which does not come before it")
        _needed_table(tally, s, by_id)
    _stage_order(tally, reading)
    return tally


def _stage_order(tally: Tally, reading: Reading) -> None:
    """No analysis before the first look at the data, and within a part no stage before the one it follows."""
    steps = list(reading.steps())
    ranks = {s.id: RANKS.get(main_stage(s)) for s in steps}
    for at, s in enumerate(steps):
        if ranks[s.id] == 1 and 0 in ranks.values():
            held = any(ranks[before.id] == 0 for before in steps[:at])
            tally.ask(held, "stages in order", s.id, f"{main_stage(s)} before any data acquisition or quality control")
    for part in reading.parts:
        for first, second in combinations(part.steps, 2):
            one, two = ranks[first.id], ranks[second.id]
            if one is not None and two is not None and one != two:
                message = f"{main_stage(second)} after {main_stage(first)} ({first.id})"
                tally.ask(one < two, "stages in order", second.id, message)


def _needed_table(tally: Tally, step: ReadStep, by_id: dict[str, ReadStep]) -> None:
    contract = OPERATORS.get(step.tool)
    if contract is None or not contract.requires.needs_table_of:
        return
    given = [by_id[i] for i in step.inputs if i in by_id]
    if len(given) < len(step.inputs) or any(s.tool not in OPERATORS for s in given if s.tool):
        return  # what it reads is missing or unknown, which counts elsewhere
    needed = contract.requires.needs_table_of
    held = any(s.tool in needed for s in given)
    tally.ask(held, "needed table", step.id, f"{step.tool} needs the table of {' or '.join(needed)}")


def check_structure(reading: Reading) -> Tally:
    """Titles and purposes, distinct ids, repetition, references that resolve."""
    tally = Tally()
    tally.ask(len(reading.parts) >= 2, "hierarchy", "protocol", "the protocol is not divided into parts")
    _ids(tally, [p.id for p in reading.parts], "part")
    _ids(tally, [s.id for s in reading.steps()], "step")
    titles: set[str] = set()
    for part in reading.parts:
        title = " ".join(part.title.casefold().split())
        wrong = "the part has no title" if not title else f"another part has the title {part.title!r}"
        tally.ask(bool(title) and title not in titles, "title", part.id, wrong)
        titles.add(title)
        tally.ask(bool(part.purpose.strip()), "purpose", part.id, "the part does not say what it is for")
    parts = [(p.id, _part_text(p)) for p in reading.parts if p.steps]
    for name, twin in (*repeats(parts), *repeats([(s.id, s.text) for s in reading.steps()])):
        tally.ask(not twin, "repetition", name, f"it says the same as {twin}")
    if not any(refs for _, refs in _refs(reading)):
        tally.ask(False, "reference resolves", "protocol", "it names no source")
    for owner, refs in _refs(reading):
        for ref in refs:
            tally.ask(ref in reading.sources, "reference resolves", owner, f"the reference {ref} names no source")
    return tally


def _ids(tally: Tally, ids: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in ids:
        tally.ask(name not in seen, "id", name, f"two {what}s have the id {name}")
        seen.add(name)


def _part_text(part: ReadPart) -> str:
    return " ".join(s.text for s in part.steps)


def _refs(reading: Reading) -> list[tuple[str, tuple[str, ...]]]:
    return [(p.id, p.refs) for p in reading.parts] + [(s.id, s.refs) for s in reading.steps()]


def repeats(texts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each name with the earlier one that says the same, or with "".

    Args:
        texts: names and texts in the order of the document.
    """
    before: list[tuple[str, frozenset[tuple[str, ...]]]] = []
    out = []
    for name, text in texts:
        mine = shingles(text)
        out.append((name, next((other for other, theirs in before if alike(mine, theirs)), "")))
        before.append((name, mine))
    return out


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Sequences of three words of a text; the whole text where it is shorter."""
    words = re.findall(r"\w+", text.casefold())
    return frozenset(tuple(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1)))


def alike(first: frozenset[tuple[str, ...]], second: frozenset[tuple[str, ...]]) -> bool:
    """The two texts say the same; two empty ones do not."""
    return first != {()} and len(first & second) >= ALIKE * len(first | second)
