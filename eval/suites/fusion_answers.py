"""What the models of the real fusion say to the held-out items, and what it is worth.

A row of raw data is a model's verdicts on one property, in the order of the held-out items. Answers to risky
instructions are judged as they come and kept as a hash; helpful ones are kept in the row, so that they can be judged
in pairs on another day and machine.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.eval.properties import PROPERTIES, Property
from labwright.eval.suites import alignment_data as data
from labwright.eval.suites.alignment_judges import HonestyJudges
from labwright.eval.suites.figures import Row
from labwright.eval.suites.fusion_models import Work, answering
from labwright.eval.suites.fusion_scores import VOTE
from labwright.safety.refusal import is_incoherent, kind_of_reply

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint
    from labwright.models.local import LocalChat

BATCH = 24
PENALTY = 1.1
"""Repetition penalty of every model: that of labwright's backends."""
KIND, REFUSED = "fusion_answers", "fusion_refused"
ORDINARY: tuple[Property, ...] = ("helpful", "honest")
"""Properties whose items nobody should refuse."""


def asked(n: int, name: Property) -> list[str]:
    """The first `n` held-out prompts of a property."""
    if name == "honest":
        return [q.text for q in data.held_out_questions()[:n]]
    items = data.split(data.helpful() if name == "helpful" else data.risky())[1][:n]
    return [f"{i.text}\n\n{i.input}" if i.input.strip() else i.text for i in items]


def write(chat: LocalChat, prompts: Sequence[str], tokens: int, say: Callable[[int], None]) -> list[str]:
    """Greedy answers in batches of prompts of like length, so that little is padded; in the order of the prompts."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: dict[int, str] = {}
    for begin in range(0, len(order), BATCH):
        chunk = order[begin : begin + BATCH]
        replies = chat.batch([prompts[i] for i in chunk], max_tokens=tokens, temperature=0)
        found |= {i: str(reply.text).strip() for i, reply in zip(chunk, replies, strict=True)}
        say(len(found))
    return [found[i] for i in range(len(prompts))]


class Answers:
    """Answers of one seed; those to risky instructions stay in memory."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._risky: dict[str, list[str]] = {}
        self._loaded: tuple[str, LocalChat] | None = None

    def of(self, model: str, name: Property) -> tuple[list[str], float]:
        """A model's answers on a property, and the seconds that they took; 0 where they were there."""
        if name == "harmless" and model in self._risky:
            return self._risky[model], 0.0
        path = self._path(model, name)
        if path.is_file():
            return list(json.loads(path.read_text(encoding="utf-8"))), 0.0
        prompts = asked(self._work.plan.held_out, name)
        started = time.monotonic()
        said = (
            self._voted(name, prompts)
            if model == VOTE
            else write(self._chat(model), prompts, self._work.plan.answer_tokens, self._saying(model, name))
        )
        seconds = time.monotonic() - started
        if name == "harmless":
            self._risky[model] = said
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(said), encoding="utf-8")
        return said, seconds

    def _path(self, model: str, name: Property) -> Path:
        return self._work.folder / "answers" / f"{model}-{name}.json"

    def _saying(self, model: str, name: Property) -> Callable[[int], None]:
        return lambda done: self._work.say(f"{model}: {name}, {done} of {self._work.plan.held_out} answered")

    def _chat(self, model: str) -> LocalChat:
        from labwright.models.local import local_chat

        if self._loaded is None or self._loaded[0] != model:
            self._loaded = None  # one at a time in memory
            self._loaded = (model, local_chat(answering(self._work, model), repetition_penalty=PENALTY))
        return self._loaded[1]

    def _voted(self, name: Property, prompts: Sequence[str]) -> list[str]:
        """Of the three alignments' answers the one that the other two find likeliest."""
        from labwright.models.chat_templates import rendered
        from labwright.models.voting import chosen_by_peers

        answers = [self.of(single, name)[0] for single in PROPERTIES]
        voters: list[Checkpoint] = [answering(self._work, single) for single in PROPERTIES]
        said = []
        for number, prompt in enumerate(prompts):
            mine = [a[number] for a in answers]
            if not any(mine):
                said.append("")
                continue
            shown = rendered(voters[0].tokenizer, [{"role": "user", "content": prompt}])
            said.append(mine[chosen_by_peers(voters, shown, mine)])
        return said


def answer_row(work: Work, answers: Answers, judges: Callable[[], HonestyJudges], model: str, name: Property) -> Row:
    """A model's answers on one property, and the verdicts on them that need no language model."""
    said, seconds = answers.of(model, name)
    verdicts: list[Any] = []
    if name == "harmless":
        verdicts = [kind_of_reply(text) for text in said]
    elif name == "honest":
        questions = asked(work.plan.held_out, name)
        verdicts = [[int(t), int(i)] for t, i in judges().verdicts(list(zip(questions, said, strict=True)))]
    return {
        "kind": KIND,
        "name": f"{work.seed}:{model}:{name}",
        "seed": work.seed,
        "model": model,
        "property": name,
        "seconds": round(seconds, 1),
        "words": round(statistics.fmean(len(text.split()) for text in said), 1),
        "incoherent": sum(is_incoherent(text) for text in said),
        "verdicts": verdicts,
        **({"texts": said} if name == "helpful" else {}),
        "sha256": [hashlib.sha256(text.encode()).hexdigest()[:12] for text in said],
    }


def refused_row(work: Work, answers: Answers, model: str, name: Property) -> Row:
    """How many ordinary questions of a property a model refuses: the judges of honesty count a refusal as true."""
    said, _ = answers.of(model, name)
    refused = sum(kind_of_reply(text) == "refusal" for text in said)
    return {"kind": REFUSED, "name": f"{work.seed}:{model}:{name}", "seed": work.seed, "model": model,
            "property": name, "refused": refused, "n": len(said)}  # fmt: skip
