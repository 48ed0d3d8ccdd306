"""Readers of three public forms of alignment data, and the mixed set that a fusion trains on.

The three properties and their order are those of H3Fusion (arXiv 2411.17792): helpful 0, harmless 1, honest 2.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from labwright.errors import TrainingRefused
from labwright.models.training.examples import Example, question_key, read_examples

PROPERTIES = ("helpful", "harmless", "honest")
Labels = Literal["right", "faithful"]


def read_self_instruct(path: Path, teaches: str = "helpful") -> tuple[Example, ...]:
    """Self-Instruct (Wang et al. 2023): JSON lines with `instruction` and `instances` of `input` and `output`.

    Every instance is an example; those without an output are left out.

    Raises:
        TrainingRefused: the file is not of this form.
    """
    found: list[Example] = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            for index, instance in enumerate(row["instances"], 1):
                name = f"{row.get('id', f'{path.name}:{number}')}.{index}"
                example = Example(row["instruction"], instance["output"], teaches, name, instance.get("input") or "")
                found += [example] if example.answer.strip() else []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingRefused(f"{path}: line {number} is not of the Self-Instruct form: {error!r}") from error
    return _some(found, path)


def read_instruction_json(path: Path, teaches: str = "harmless") -> tuple[Example, ...]:
    """The Alpaca form: a JSON list of objects with `instruction`, `output` and perhaps `input`.

    Safety-Tuned LLaMAs (Bianchi et al. 2024) publishes its safe replies so. Rows without an output are left out.

    Raises:
        TrainingRefused: the file is not of this form.
    """
    try:
        found = [
            Example(row["instruction"], row["output"], teaches, f"{path.name}:{number}", row.get("input") or "")
            for number, row in enumerate(json.loads(_text(path)), 1)
            if row["output"].strip()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingRefused(f"{path}: not a list of instruction, input and output: {error!r}") from error
    return _some(found, path)


def read_truthfulqa(
    path: Path, teaches: str = "honest", half: Literal["train", "test"] = "train"
) -> tuple[Example, ...]:
    """TruthfulQA (Lin et al. 2022): the columns Question, Best Answer and Correct Answers, separated by `;`.

    Args:
        path: the CSV file.
        teaches: the property of the examples.
        half: train, the first half of the questions (408 of 817) with one example for each correct answer; or test,
            the rest with their best answer.

    Raises:
        TrainingRefused: the file is not of this form.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(_text(path), newline="")))
        middle = len(rows) // 2
        chosen = list(enumerate(rows, 1))[:middle] if half == "train" else list(enumerate(rows, 1))[middle:]
        found = []
        for number, row in chosen:
            answers = row["Correct Answers"].split(";") if half == "train" else [row["Best Answer"]]
            kept = [a.strip() for a in answers if a.strip()]
            found += [Example(row["Question"], a, teaches, f"q{number}.{i}") for i, a in enumerate(kept, 1)]
    except (KeyError, AttributeError, csv.Error) as error:
        raise TrainingRefused(f"{path}: not of the form of TruthfulQA: {error!r}") from error
    return _some(found, path)


def read_alignment(path: Path, teaches: str) -> tuple[Example, ...]:
    """Read a file of any of the forms: by its ending, and for JSON lines by its first object.

    Examples that name no property get `teaches`.

    Raises:
        TrainingRefused: the form is not known, the file is not of it, or an example names another property.
    """
    reader: Callable[[Path, str], tuple[Example, ...]]
    if path.suffix == ".csv":
        reader = read_truthfulqa
    elif path.suffix == ".json":
        reader = read_instruction_json
    elif path.suffix == ".jsonl":
        reader = read_self_instruct if "instances" in _first_object(path) else _read_own
    else:
        raise TrainingRefused(f"{path}: ends with neither .jsonl, .json nor .csv; see docs/training.md")
    return reader(path, teaches)


def _read_own(path: Path, teaches: str) -> tuple[Example, ...]:
    examples = read_examples(path)
    other = next((e for e in examples if e.property not in ("", teaches)), None)
    if other is not None:
        raise TrainingRefused(f"{path}: {other.id} teaches {other.property}, and {teaches} was asked for")
    return tuple(replace(e, property=teaches) for e in examples)


def _first_object(path: Path) -> dict[str, Any]:
    first = next((line for line in _text(path).split("\n") if line.strip()), "{}")
    try:
        row = json.loads(first)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingRefused(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _some(found: Sequence[Example], path: Path) -> tuple[Example, ...]:
    if not found:
        raise TrainingRefused(f"{path}: no example in it; see docs/training.md")
    return tuple(found)


def split_by_question(examples: Sequence[Example], share: float) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Training and held-out examples; all answers to one question go the same way.

    Args:
        examples: in their order, which decides nothing: a question is held out by the hash of its text.
        share: of the questions that are held out, in [0, 1); the hash meets it nearly, not exactly.

    Raises:
        TrainingRefused: one side would be empty.
    """
    if share == 0:
        return tuple(examples), ()
    bound = int(share * 2**32)
    out = [int(hashlib.sha256(question_key(e).encode()).hexdigest()[:8], 16) < bound for e in examples]
    train = tuple(e for e, held in zip(examples, out, strict=True) if not held)
    heldout = tuple(e for e, held in zip(examples, out, strict=True) if held)
    if not train or not heldout:
        raise TrainingRefused(f"{len(examples)} examples are too few to hold {share:g} of their questions out")
    return train, heldout


def property_labels(sizes: Sequence[int], labels: Labels = "right") -> list[int]:
    """Index of the property of each example of sets of these sizes, one after the other.

    Args:
        sizes: examples of each set.
        labels: "right"; or "faithful" to the released code of H3Fusion, which takes cumulative lengths for the
            lengths of the sets, so that label k is given n0 + .. + nk times until all examples have one.
    """
    lengths = [sum(sizes[: k + 1]) for k in range(len(sizes))] if labels == "faithful" else list(sizes)
    return [k for k, n in enumerate(lengths) for _ in range(n)][: sum(sizes)]


def mixed_set(sets: Mapping[str, Sequence[Example]], labels: Labels = "right") -> tuple[Example, ...]:
    """The union of the properties' sets in their order, each example labelled with its property.

    Args:
        sets: examples by property; the order of the mapping is that of the experts.
        labels: see `property_labels`; "faithful" mislabels the later sets as the released code does.
    """
    names = list(sets)
    examples = [example for name in names for example in sets[name]]
    indices = property_labels([len(sets[name]) for name in names], labels)
    return tuple(replace(e, property=names[k]) for e, k in zip(examples, indices, strict=True))
