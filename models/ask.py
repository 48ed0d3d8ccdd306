"""Asking a language model: `ask` for a structured answer, `choose` and `score` for closed questions.

The only place of cache, budget, record, lease and fallback. Every value that comes back knows whether the
model decided it or a fallback did. Closed questions are read from the probabilities of the first answer
token, which small models get right far more often than the word they would print.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from labwright.domain import Call, Decider
from labwright.errors import AnswerInvalid
from labwright.models.calls import CallLog

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")
REPAIRS = 2
TEXT_TEMPERATURE = 0.7
LEAST_MASS = 0.02
"""A closed question whose answers have less probability than this together was not understood."""
TOP = 20
SPENT = "the run's allowance of tokens is spent"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt."""

    id: str
    hash: str
    """Hash of the template, not of the rendered text."""
    system: str
    user: str
    images: tuple[str, ...] = ()
    """PNG files in base64, in front of the user's text; for a model that sees."""


@dataclass(frozen=True, slots=True)
class Value(Generic[V]):
    """An answer and who decided it."""

    value: V
    decided_by: Decider
    name: str = ""
    """Name under which the decision is logged."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Price of a million tokens, US dollars."""

    prompt: float = 0.0
    generated: float = 0.0

    def of(self, prompt_tokens: int, generated_tokens: int) -> float:
        """Price of a call, US dollars."""
        return (prompt_tokens * self.prompt + generated_tokens * self.generated) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One role's access to its backend within one run."""

    role: str
    backend: str
    """Name and model of the backend; part of the cache key."""
    chat: BaseChatModel
    log: CallLog
    seed: int = 0
    lease: Callable[[], AbstractContextManager[None]] = nullcontext
    prices: Prices = Prices()
    writes_code: bool = False
    """The model is trusted to write free Python."""


@dataclass(frozen=True, slots=True)
class _Request:
    kind: Literal["ask", "choose", "score"]
    prompt: Prompt
    options: Mapping[str, Any]
    history: tuple[tuple[str, str], ...] = ()
    """Replies that failed and what was wrong with them."""
    labels: tuple[str, ...] = ()
    """Answers of a closed question, for an ensemble that joins what its members give each of them."""

    def key(self, session: Session) -> str:
        parts = [session.backend, self.kind, self.prompt.system, self.prompt.user, self.options, self.history]
        parts += [hashlib.sha256(image.encode()).hexdigest() for image in self.prompt.images]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _content(self) -> Any:
        if not self.prompt.images:
            return self.prompt.user
        images = [{"type": "image", "base64": i, "mime_type": "image/png"} for i in self.prompt.images]
        return [*images, {"type": "text", "text": self.prompt.user}]

    def messages(self) -> list[BaseMessage]:
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

        messages: list[BaseMessage] = [
            SystemMessage(self.prompt.system),
            HumanMessage(self._content()),
        ]
        for reply, wrong in self.history:
            messages += [AIMessage(reply), HumanMessage(f"That answer is invalid: {wrong}\nAnswer again.")]
        return messages


def ask(
    session: Session,
    prompt: Prompt,
    schema: type[T],
    *,
    max_tokens: int = 512,
    fallback: Callable[[], T] | None = None,
) -> Value[T]:
    """Ask for a JSON answer of the given schema.

    The schema goes to the backend as a grammar where it can take one; the answer is parsed strictly
    anyway, and an invalid one is sent back with the parser's error at most twice.

    Args:
        session: who asks.
        prompt: what is asked.
        schema: a pydantic model; its JSON schema constrains the answer.
        max_tokens: most tokens of the answer.
        fallback: gives the value when the model cannot; without one the failure is raised.

    Raises:
        AnswerInvalid: the answer stayed invalid and there is no fallback.
        BudgetExhausted, ModelMissing, KeyMissing: as named.
    """
    options: dict[str, Any] = {
        "response_format": _format(schema),
        "max_tokens": max_tokens,
        "temperature": TEXT_TEMPERATURE,
        "seed": session.seed,
    }
    history: tuple[tuple[str, str], ...] = ()
    first = _Request("ask", prompt, options).key(session)
    wrong = ""
    for _ in range(1 + REPAIRS):
        request = _Request("ask", prompt, options, history)
        reply = _call(session, request)
        if reply is None:
            wrong = wrong or SPENT
            break
        text = str(reply["text"])
        try:
            answer = schema.model_validate_json(_unfenced(text))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            history = (*history, (text[:2000], wrong))
            continue
        session.log.decide(first, "model", count_fields(answer.model_dump()))
        return Value(answer, "model", first)
    if fallback is None:
        raise AnswerInvalid(f"{prompt.id}: no valid answer in {len(history)} tries: {wrong}")
    value = fallback()
    session.log.decide(first, "fallback", count_fields(value.model_dump()))
    return Value(value, "fallback", first)


def choose(
    session: Session, prompt: Prompt, labels: Sequence[str], *, fallback: Mapping[str, float]
) -> Value[dict[str, float]]:
    """Probability of each label as the answer to a closed question.

    Args:
        session: who asks.
        prompt: a question that says which labels may be answered.
        labels: the answers, distinct in their first token (yes/no, 1-5, A-F, high/medium/low).
        fallback: the probabilities used when the model gives the labels no mass.

    Returns:
        Label to probability, summing to 1.
    """
    return _closed(session, prompt, labels, ("choose", fallback))


def score(session: Session, prompt: Prompt, *, fallback: float) -> Value[float]:
    """Expected value of a 1-5 answer over the token probabilities of the five digits.

    Args:
        session: who asks.
        prompt: a question that is answered by one digit from 1 to 5.
        fallback: the score used when the model gives the digits no mass.

    Returns:
        A number in [1, 5].
    """
    low = min(4, max(1, int(fallback)))
    spread = {str(low): low + 1 - fallback, str(low + 1): fallback - low}
    given = _closed(session, prompt, ("1", "2", "3", "4", "5"), ("score", spread))
    return Value(sum(int(d) * p for d, p in given.value.items()), given.decided_by, given.name)


def _closed(
    session: Session,
    prompt: Prompt,
    labels: Sequence[str],
    how: tuple[Literal["choose", "score"], Mapping[str, float]],
) -> Value[dict[str, float]]:
    kind, fallback = how
    options = {"logprobs": True, "top_logprobs": TOP, "max_tokens": 1, "temperature": 0.0}
    request = _Request(kind, prompt, options, labels=tuple(labels))
    key = request.key(session)
    reply = _call(session, request)
    mass = label_mass(reply["top"] or [[reply["text"], 0.0]], labels) if reply is not None else {}
    total = sum(mass.values())
    if total < LEAST_MASS:
        session.log.decide(key, "fallback")
        return Value({label: fallback.get(label, 0.0) for label in labels}, "fallback", key)
    session.log.decide(key, "model")
    return Value({label: p / total for label, p in mass.items()}, "model", key)


def label_mass(top: Sequence[Sequence[Any]], labels: Sequence[str]) -> dict[str, float]:
    """Sum the probabilities of the tokens that begin exactly one label.

    Example:
        >>> label_mass([["Yes", -0.1], [" no", -2.5], ["Maybe", -5.0]], ["yes", "no"])["no"] < 0.1
        True
    """
    mass = dict.fromkeys(labels, 0.0)
    for token, logprob in top:
        word = str(token).strip().strip("[(\"'").casefold()
        begun = [label for label in labels if word and label.casefold().startswith(word)]
        if len(begun) == 1:
            mass[begun[0]] += math.exp(float(logprob))
    return mass


def count_fields(value: Any) -> int:
    """Number of leaf values of an answer."""
    if isinstance(value, Mapping):
        return sum(count_fields(v) for v in value.values())
    if isinstance(value, list | tuple):
        return sum(count_fields(v) for v in value)
    return 1


def _format(schema: type[BaseModel]) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": schema.__name__, "schema": schema.model_json_schema(), "strict": True},
    }


def _unfenced(text: str) -> str:
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        return text.split("\n", 1)[-1].rsplit("```", 1)[0]
    return text


def _call(session: Session, request: _Request) -> dict[str, Any] | None:
    """The reply as {text, top}, from the log when this very call was made before; None when the allowance is spent."""
    from labwright.models.reply import send, top_tokens  # two libraries that a refused objective need not wait for

    key = request.key(session)
    found = session.log.find(key)
    if found is not None:
        return dict(found[1])
    session.log.check_budget()
    if session.log.allowance_spent():
        return None
    asked = time.monotonic()
    with session.lease():
        started = time.monotonic()
        message = send(session.chat, session.backend, request.messages(), request.options, request.labels)
        seconds = time.monotonic() - started
    session.log.spend("", "waiting", started - asked)
    session.log.spend("", "model", seconds)
    for note in message.response_metadata.get("notes", ()):
        session.log.note(f"{session.backend}: {note}")
    usage: Mapping[str, Any] = message.usage_metadata or {}
    prompt_tokens, generated = int(usage.get("input_tokens", 0)), int(usage.get("output_tokens", 0))
    cached = int((usage.get("input_token_details") or {}).get("cache_read") or 0)
    call = Call(
        role=session.role,
        prompt=request.prompt.id,
        prompt_hash=request.prompt.hash,
        backend=session.backend,
        kind=request.kind,
        decided_by="model",
        prompt_tokens=prompt_tokens,
        evaluated_tokens=prompt_tokens - cached,
        generated_tokens=generated,
        seconds=round(seconds, 3),
        usd=float(message.response_metadata.get("usd", session.prices.of(prompt_tokens, generated))),
        repairs=len(request.history),
    )
    reply = {"text": str(message.text), "top": top_tokens(message)}
    session.log.add(key, call, reply)
    return reply
