"""An ensemble of chat models as one chat model.

A closed question (one token, with token probabilities) is answered by a linear pool of the members' probabilities with
learned weights, or by a trained network where the answers are those it was trained on. An open one is drafted by every
member, and one of them, the fuser, writes the answer with the drafts before it (LLM-TOPLA, arXiv:2410.03953; so does
LLM-Blender, arXiv:2306.02561).
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

from labwright.models.ask import label_mass
from labwright.models.prompt_file import FENCED, Material
from labwright.models.reply import top_tokens
from labwright.models.topla.members import Answers, Member, ask_members, usage_of

TIMEOUT_S = 600.0
LEAST_MASS = 0.5
"""Share of a member's probability that must lie on the trained labels for the trained network to decide."""
FLOOR = 1e-6
DRAFTS = (
    "Here are {n} drafts of the answer, by different writers. They may be wrong. Write the best answer to the request "
    "above yourself, in the form that it asks for, and nothing about the drafts.\n{drafts}\n" + FENCED
)
FENCE = "draft"


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
    """Seconds after which a member is left out."""
    at_once: int = 8
    """Members that work side by side."""
    trained: Any = None
    """A `Weighted` over the members in their order, for questions that are answered by `labels`."""
    labels: Sequence[str] = ()
    """Options that `trained` was trained on, in its order."""

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
        said = self._asked(messages, options)
        message = self._pooled(said) if kwargs.get("logprobs") else self._fused(messages, options, said)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        options = {**kwargs, **({"stop": stop} if stop else {})}
        said = self._asked(messages, options)
        if kwargs.get("logprobs"):
            message = self._pooled(said)
            yield ChatGenerationChunk(message=_chunk(message))
            return
        writer = self._writer(said)
        for chunk in writer.chat.stream(self._with_drafts(messages, said), **options):
            yield ChatGenerationChunk(message=_chunk(chunk))
        drafts = usage_of(list(said.messages.values()))
        last = AIMessageChunk(content="", usage_metadata=drafts, response_metadata=self._about(said, writer.name))
        yield ChatGenerationChunk(message=last)

    def _asked(self, messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> Answers:
        return ask_members(self.members, messages, options, timeout_s=self.timeout_s, at_once=self.at_once)

    def _about(self, said: Answers, writer: str) -> dict[str, Any]:
        return {"ensemble": {"answered": list(said.messages), "left_out": dict(said.left_out), "decided_by": writer}}

    def _weight(self, name: str) -> float:
        return float(self.weights.get(name, 1.0))

    # --- closed questions ---------------------------------------------------------------------------------------------

    def _pooled(self, said: Answers) -> AIMessage:
        tops = {name: top_tokens(message) for name, message in said.messages.items()}
        silent = {n: "no token probabilities" for n, top in tops.items() if not top}
        tops = {n: top for n, top in tops.items() if top}
        if not tops:
            raise ValueError("no member gave token probabilities")
        said = Answers(said.messages, {**said.left_out, **silent})
        shares, how = self._trained_shares(tops), "trained network"
        if shares is None:
            shares, how = self._linear_pool(tops), "linear pool"
        top = [{"token": t, "logprob": math.log(max(p, FLOOR))} for t, p in sorted(shares.items(), key=lambda e: -e[1])]
        about = {**self._about(said, how), "logprobs": {"content": [{"top_logprobs": top}]}}
        usage = usage_of(list(said.messages.values()))
        return AIMessage(str(top[0]["token"]), response_metadata=about, usage_metadata=usage)

    def _linear_pool(self, tops: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, float]:
        total = sum(self._weight(name) for name in tops)
        shares: defaultdict[str, float] = defaultdict(float)
        for name, top in tops.items():
            for token, logprob in top:
                word = str(token).strip().casefold()  # members cut and capitalise the same answer differently
                shares[word] += self._weight(name) / total * math.exp(float(logprob))
        return dict(shares)

    def _trained_shares(self, tops: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, float] | None:
        """Probabilities of the trained labels; None where a member is missing or speaks of something else."""
        if self.trained is None or len(tops) < len(self.members):
            return None
        masses = [label_mass(tops[m.name], self.labels) for m in self.members]
        if any(sum(mass.values()) < LEAST_MASS for mass in masses):
            return None
        scores = np.log(np.maximum([[mass[label] for label in self.labels] for mass in masses], FLOOR))
        shares = self.trained.probabilities(scores[None])[0]
        return dict(zip(self.labels, map(float, shares), strict=True))

    # --- open questions -----------------------------------------------------------------------------------------------

    def _fused(self, messages: Sequence[BaseMessage], options: Mapping[str, Any], said: Answers) -> AIMessage:
        writer = self._writer(said)
        drafts = list(said.messages.values())
        if len({" ".join(str(d.text).split()) for d in drafts}) == 1:
            made, cost = drafts[0], drafts  # all agree: there is nothing to fuse
        else:
            made = writer.chat.invoke(self._with_drafts(messages, said), **options)
            cost = [*drafts, made]
        about = {**made.response_metadata, **self._about(said, writer.name)}
        return AIMessage(made.content, response_metadata=about, usage_metadata=usage_of(cost))

    def _writer(self, said: Answers) -> Member:
        """The fuser; when it did not answer, the member of the greatest weight that did."""
        there = [m for m in self.members if m.name in said.messages]
        chosen = next((m for m in there if m.name == self.fuser), None)
        return chosen or max(there, key=lambda m: self._weight(m.name))

    @staticmethod
    def _with_drafts(messages: Sequence[BaseMessage], said: Answers) -> list[BaseMessage]:
        drafts = "\n".join(str(Material(str(m.text), FENCE)) for m in said.messages.values())
        return [*messages, HumanMessage(DRAFTS.format(n=len(said.messages), drafts=drafts))]


def _chunk(message: AIMessage) -> AIMessageChunk:
    """A message as a piece of a stream; a chat model that cannot stream gives its whole message."""
    if isinstance(message, AIMessageChunk):
        return message
    return AIMessageChunk(
        content=message.content,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
    )
