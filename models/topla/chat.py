"""An ensemble of chat models as one chat model.

A closed question is answered by a linear pool of the members' probabilities with learned weights, or by a trained
network where the answers are those it was trained on; each member's probabilities of those are set right first. An
open one is drafted by every member, and one of them, the fuser, writes the answer with the drafts before it (LLM-TOPLA,
arXiv:2410.03953; so does LLM-Blender, arXiv:2306.02561).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from labwright.models.ask import LEAST_MASS, label_mass
from labwright.models.diversity import Floats
from labwright.models.prompt_file import FENCED, Material
from labwright.models.reply import top_tokens
from labwright.models.topla.members import Answers, Member, ask_members, ask_one, dollars, reason, usage_of
from labwright.models.topla.scaling import Scaling

TIMEOUT_S = 600.0
FLOOR = 1e-6
"""Least probability of a label that the network sees, as in training."""
LEAST_SHOWN = 1e-12
DRAFTS = (
    "Here are {n} drafts of the answer, by different writers. They may be wrong. Write the best answer to the request "
    "above yourself, in the form that it asks for, and nothing about the drafts.\n{drafts}\n" + FENCED
)
FENCE = "draft"
AGREED = "all members"
ENDED = {"finish_reason": "stop"}
"""Where the one that wrote the answer does not say how it ended."""
Tops = Mapping[str, Sequence[Sequence[Any]]]
"""Member to the most probable first tokens of its answer, with their log-probabilities."""


class EnsembleChat(BaseChatModel):
    """Members, their weights, and how their answers become one."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    members: Sequence[Member]
    """Two or more, names distinct."""
    weights: Mapping[str, float] = Field(default_factory=dict)
    """Member to its weight in the pool; members without one count 1."""
    fuser: str = ""
    """Member that writes open answers; empty for the one of the greatest weight, the first of equal ones."""
    timeout_s: float = TIMEOUT_S
    """Seconds that a member has for an answer before it is left out."""
    trained: Any = None
    """A `Weighted` over the members in their order, for questions that are answered by `labels`."""
    labels: Sequence[str] = ()
    """Options that `trained` and `scalings` were trained on, in their order."""
    scalings: Mapping[str, Scaling] = Field(default_factory=dict)
    """Member to how its probabilities of `labels` are set right, in pool and network."""
    summary: Any = None
    """A `Summary` over the members, which then writes open answers in free text; the fuser writes those of a schema."""

    def model_post_init(self, context: Any, /) -> None:
        """Check what no single field can know.

        Raises:
            ValueError: fewer than two members, equal names, or weights and fusers that are none of them.
        """
        names = [m.name for m in self.members]
        if len(names) < 2 or len(set(names)) != len(names):
            raise ValueError(
                f"an ensemble has two or more members of distinct names, not: {', '.join(names) or 'none'}"
            )
        strangers = {*self.weights, *([self.fuser] if self.fuser else [])} - set(names)
        if strangers:
            raise ValueError(f"no members: {', '.join(sorted(strangers))}; members are {', '.join(names)}")
        if any(not w > 0 for w in self.weights.values()):
            raise ValueError("weights of members are greater than 0")
        if self.trained is not None and (self.trained.members, self.trained.options) != (len(names), len(self.labels)):
            raise ValueError("the trained network is of another number of members or labels")

    @property
    def _llm_type(self) -> str:
        return "topla"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        options = {**kwargs, **({"stop": stop} if stop else {})}
        said = ask_members(self.members, messages, options, timeout_s=self.timeout_s)
        if kwargs.get("logprobs"):
            message = self._closed(said, _labels(run_manager))
        else:
            message = self._open(messages, options, said)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        options = {**kwargs, **({"stop": stop} if stop else {})}
        said = ask_members(self.members, messages, options, timeout_s=self.timeout_s)
        if kwargs.get("logprobs"):
            yield ChatGenerationChunk(message=_chunk(self._closed(said, _labels(run_manager))))
            return
        for chunk in self._open_stream(messages, options, said):
            yield ChatGenerationChunk(message=chunk)

    def _about(
        self, said: Answers, decided_by: str, written: Sequence[tuple[Member, AIMessage]] = ()
    ) -> dict[str, Any]:
        """What the message says of how it came about; `written` holds what was asked after the drafts."""
        cost = [*((m, said.messages[m.name]) for m in self.members if m.name in said.messages), *written]
        return {
            "ensemble": {"answered": list(said.messages), "left_out": dict(said.left_out), "decided_by": decided_by},
            "notes": [f"member {name} was left out: {why}" for name, why in said.left_out.items()],
            "usd": sum(dollars(member, message) for member, message in cost),
        }

    def _weight(self, name: str) -> float:
        return float(self.weights.get(name, 1.0))

    # --- closed questions ---------------------------------------------------------------------------------------------

    def _closed(self, said: Answers, labels: Sequence[str]) -> AIMessage:
        tops = {name: top_tokens(message) for name, message in said.messages.items()}
        silent = {n: "no token probabilities" for n, top in tops.items() if not top}
        tops = {n: top for n, top in tops.items() if top}
        if not tops:
            raise ValueError("no member gave token probabilities")
        masses = {n: label_mass(top, labels) for n, top in tops.items()}
        # A member that speaks of something else has no say among the labels; when all do, their words go back as they
        # are, and whoever asked finds no label in them.
        astray = {n: "no probability of the answers" for n, mass in masses.items() if sum(mass.values()) < LEAST_MASS}
        if labels and len(astray) < len(masses):
            silent |= astray
            shares, how = self._over_labels({n: m for n, m in masses.items() if n not in astray})
        else:
            shares, how = self._over_tokens(tops), "linear pool"
        said = Answers(said.messages, {**said.left_out, **silent})
        top = [
            {"token": t, "logprob": math.log(max(p, LEAST_SHOWN))}
            for t, p in sorted(shares.items(), key=lambda e: -e[1])
        ]
        entry = {**top[0], "bytes": list(str(top[0]["token"]).encode()), "top_logprobs": top}
        about = {**ENDED, **self._about(said, how), "logprobs": {"content": [entry]}}
        usage = usage_of(said.messages.values())
        return AIMessage(str(top[0]["token"]), response_metadata=about, usage_metadata=usage)

    def _over_labels(self, masses: Mapping[str, Mapping[str, float]]) -> tuple[dict[str, float], str]:
        """Probability of each label, each member's own normalised as in training, and how they were joined."""
        odds = {n: {label: p / sum(mass.values()) for label, p in mass.items()} for n, mass in masses.items()}
        asked = next(iter(odds.values()))
        if set(asked) == set(self.labels):
            scores = {n: self._scores(n, shares) for n, shares in odds.items()}
            if self.trained is not None and len(odds) == len(self.members):
                shares = self.trained.probabilities(np.array([[scores[m.name] for m in self.members]]))[0]
                return dict(zip(self.labels, map(float, shares), strict=True)), "trained network"
            odds = {n: dict(zip(self.labels, map(float, np.exp(s)), strict=True)) for n, s in scores.items()}
        total = sum(self._weight(name) for name in odds)
        pooled = {label: sum(self._weight(n) / total * p[label] for n, p in odds.items()) for label in asked}
        return pooled, "linear pool"

    def _scores(self, name: str, shares: Mapping[str, float]) -> Floats:
        """A member's log-probabilities of the trained labels, set right where it was learned how."""
        scores: Floats = np.log(np.maximum([shares[label] for label in self.labels], FLOOR))
        scaling = self.scalings.get(name)
        return scores if scaling is None else scaling.applied(scores)

    def _over_tokens(self, tops: Tops) -> dict[str, float]:
        """Probability of each first token, for a question whose answers are not known here."""
        total = sum(self._weight(name) for name in tops)
        shares: defaultdict[str, float] = defaultdict(float)
        for name, top in tops.items():
            for token, logprob in top:
                word = str(token).strip().casefold()  # members cut and capitalise the same answer differently
                shares[word] += self._weight(name) / total * math.exp(float(logprob))
        return dict(shares)

    # --- open questions -----------------------------------------------------------------------------------------------

    def _open(self, messages: Sequence[BaseMessage], options: Mapping[str, Any], said: Answers) -> AIMessage:
        drafts = list(said.messages.values())
        if _agree(drafts):
            return self._written(said, drafts[0], AGREED)
        if summed := self._summed(messages, options, said):
            return summed
        asked = _with_drafts(messages, drafts)
        for writer in self._writers(said):
            made = ask_one(writer, asked, options, self.timeout_s)
            if isinstance(made, AIMessage):
                return self._written(said, made, writer.name, [(writer, made)])
            said = Answers(said.messages, {**said.left_out, writer.name: f"as the fuser, {made}"})
        best = self._writers(said)[0]
        return self._written(said, said.messages[best.name], f"draft of {best.name}")

    def _summed(self, messages: Sequence[BaseMessage], options: Mapping[str, Any], said: Answers) -> AIMessage | None:
        """What the summary model writes; None where there is none, it writes nothing, or a schema is asked for."""
        if self.summary is None or options.get("response_format"):
            return None
        made = self.summary.write(str(messages[-1].text), {n: str(m.text) for n, m in said.messages.items()})
        if not made.text:
            return None
        whole = self._written(said, made, "summary model")
        whole.usage_metadata = usage_of([*said.messages.values(), made])  # type: ignore[assignment]
        return whole

    def _written(
        self, said: Answers, message: AIMessage, decided_by: str, written: Sequence[tuple[Member, AIMessage]] = ()
    ) -> AIMessage:
        about = {**ENDED, **message.response_metadata, **self._about(said, decided_by, written)}
        usage = usage_of([*said.messages.values(), *(m for _, m in written)])
        return AIMessage(message.content, response_metadata=about, usage_metadata=usage)

    def _open_stream(
        self, messages: Sequence[BaseMessage], options: Mapping[str, Any], said: Answers
    ) -> Iterator[AIMessageChunk]:
        """As `_open`, in pieces; a fuser that fails after its first piece ends the answer with its error."""
        drafts = list(said.messages.values())
        if _agree(drafts):
            yield _chunk(self._written(said, drafts[0], AGREED))
            return
        if summed := self._summed(messages, options, said):
            yield _chunk(summed)
            return
        asked = _with_drafts(messages, drafts)
        for writer in self._writers(said):
            whole: AIMessageChunk | None = None
            try:
                for piece in writer.chat.stream(asked, **options):
                    chunk = _chunk(piece)
                    whole = chunk if whole is None else whole + chunk
                    yield AIMessageChunk(content=chunk.content)
            except Exception as error:  # whatever a backend raises, the next writer goes on
                if whole is not None:
                    raise
                said = Answers(said.messages, {**said.left_out, writer.name: f"as the fuser, {reason(error)}"})
                continue
            written = [(writer, whole)] if whole is not None else []
            usage = usage_of([*drafts, *(m for _, m in written)])
            own = whole.response_metadata if whole is not None else {}
            about = {**ENDED, **own, **self._about(said, writer.name, written)}
            yield AIMessageChunk(content="", usage_metadata=usage, response_metadata=about, chunk_position="last")
            return
        best = self._writers(said)[0]
        yield _chunk(self._written(said, said.messages[best.name], f"draft of {best.name}"))

    def _writers(self, said: Answers) -> list[Member]:
        """Members that answered, in the order in which they are asked to fuse: the fuser, then by weight."""
        there = [m for m in self.members if m.name in said.messages]
        return sorted(there, key=lambda m: (m.name != self.fuser, -self._weight(m.name)))


def _labels(run_manager: CallbackManagerForLLMRun | None) -> list[str]:
    """The answers of a closed question, where whoever asks has said them (models/ask.py does)."""
    said = (run_manager.metadata or {}).get("labels") if run_manager is not None else None
    return list(said or ())


def _agree(drafts: Sequence[AIMessage]) -> bool:
    return len({" ".join(str(d.text).split()) for d in drafts}) == 1


def _with_drafts(messages: Sequence[BaseMessage], drafts: Sequence[AIMessage]) -> list[BaseMessage]:
    shown = "\n".join(str(Material(str(d.text), FENCE)) for d in drafts)
    return [*messages, HumanMessage(DRAFTS.format(n=len(drafts), drafts=shown))]


def _chunk(message: AIMessage) -> AIMessageChunk:
    """A message as a piece of a stream; a chat model that cannot stream gives its whole message."""
    if isinstance(message, AIMessageChunk):
        return message
    return AIMessageChunk(
        content=message.content,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )
