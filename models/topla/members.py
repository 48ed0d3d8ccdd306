"""Asking several chat models at once: who answered, who was left out and why."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from labwright.models.ask import Prices
from labwright.models.reply import send

WORDS = 200
"""Most characters of the reason why a member was left out."""


@dataclass(frozen=True, slots=True)
class Member:
    """A chat model of an ensemble."""

    name: str
    chat: BaseChatModel
    computes_here: bool = False
    """It uses the cores of this machine; such members work one after the other, the others all at once."""
    prices: Prices = field(default_factory=Prices)
    late: list[threading.Thread] = field(default_factory=list, repr=False, compare=False)
    """Calls that nobody waits for any more; while one of them runs, the member is not asked."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the members said."""

    messages: Mapping[str, AIMessage]
    """By name, in the order of the members."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Name to reason."""


def ask_members(
    members: Sequence[Member], messages: Sequence[BaseMessage], options: Mapping[str, Any], *, timeout_s: float
) -> Answers:
    """Ask every member the same; one that fails or is slow is left out with a note.

    Args:
        members: who is asked.
        messages: of the request.
        options: of the request.
        timeout_s: seconds that each member has, from its own start.

    Raises:
        ValueError: nobody answered.
    """
    done: Queue[tuple[str, AIMessage | str]] = Queue()
    lanes = [[m for m in members if m.computes_here], *([m] for m in members if not m.computes_here)]
    for lane in lanes:
        work = _in_turn(lane, lambda m: done.put((m.name, ask_one(m, messages, options, timeout_s))))
        threading.Thread(target=work, name="members", daemon=True).start()
    replies = dict(done.get() for _ in members)
    said, left_out = {}, {}
    for member in members:
        reply = replies[member.name]
        if isinstance(reply, str):
            left_out[member.name] = reply
        else:
            said[member.name] = reply
    if not said:
        raise ValueError("no member answered: " + "; ".join(f"{n}: {why}" for n, why in left_out.items()))
    return Answers(said, left_out)


def _in_turn(lane: Sequence[Member], ask: Callable[[Member], None]) -> Callable[[], None]:
    def work() -> None:
        for member in lane:
            ask(member)

    return work


def ask_one(
    member: Member, messages: Sequence[BaseMessage], options: Mapping[str, Any], timeout_s: float
) -> AIMessage | str:
    """A member's reply, or why there is none.

    A member that is late cannot be stopped: its thread ends with its call, and nobody waits for it. Until then it is
    left out at once, so that a member that hangs costs its time once and not at every question.
    """
    member.late[:] = [call for call in member.late if call.is_alive()]
    if member.late:
        return "still busy with a question that it was late for"
    done: Queue[AIMessage | str] = Queue()

    def work() -> None:
        try:
            done.put(send(member.chat, member.name, messages, options))
        except Exception as error:  # noqa: BLE001  (whatever a backend raises, the others go on)
            done.put(reason(error))

    call = threading.Thread(target=work, name=f"member-{member.name}", daemon=True)
    call.start()
    try:
        return done.get(timeout=timeout_s)
    except Empty:
        member.late.append(call)
        return f"no answer within {timeout_s:g} s"


def reason(error: Exception) -> str:
    """Why a member gave no answer, in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:WORDS]


def usage_of(messages: Iterable[AIMessage]) -> dict[str, Any]:
    """Sum of the tokens that the messages cost."""
    total: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    cached = 0
    for message in messages:
        usage: Mapping[str, Any] = message.usage_metadata or {}
        for name in total:
            total[name] += int(usage.get(name, 0))
        cached += int((usage.get("input_token_details") or {}).get("cache_read") or 0)
    return {**total, "input_token_details": {"cache_read": cached}}


def dollars(member: Member, message: AIMessage) -> float:
    """What a message of a member cost, US dollars."""
    usage: Mapping[str, Any] = message.usage_metadata or {}
    return member.prices.of(int(usage.get("input_tokens", 0)), int(usage.get("output_tokens", 0)))
