"""Asking several chat models at once: who answered, who was left out and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

WORDS = 200
"""Most characters of the reason why a member was left out."""


@dataclass(frozen=True, slots=True)
class Member:
    """A chat model of an ensemble."""

    name: str
    chat: BaseChatModel


@dataclass(frozen=True, slots=True)
class Answers:
    """What the members said."""

    messages: Mapping[str, AIMessage]
    """By name, in the order of the members."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Name to reason."""


def ask_members(
    members: Sequence[Member],
    messages: Sequence[BaseMessage],
    options: Mapping[str, Any],
    *,
    timeout_s: float,
    at_once: int,
) -> Answers:
    """Ask every member the same; one that fails or is slow is left out with a note.

    A member that is late cannot be stopped; its thread ends with its call and nobody waits for it.

    Args:
        members: who is asked.
        messages: of the request.
        options: of the request.
        timeout_s: seconds from the start after which nobody is waited for.
        at_once: members that work side by side; 1 where they share the cores of a small machine.

    Raises:
        ValueError: nobody answered.
    """
    done: Queue[tuple[str, AIMessage | Exception]] = Queue()
    places = threading.Semaphore(at_once)
    given_up = threading.Event()
    for member in members:
        work = _call(member, list(messages), dict(options), done, (places, given_up))
        threading.Thread(target=work, name=f"member-{member.name}", daemon=True).start()
    deadline = time.monotonic() + timeout_s
    said: dict[str, AIMessage] = {}
    left_out: dict[str, str] = {}
    while len(said) + len(left_out) < len(members):
        try:
            name, reply = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        if isinstance(reply, AIMessage):
            said[name] = reply
        else:
            left_out[name] = f"{type(reply).__name__}: {' '.join(str(reply).split())}"[:WORDS]
    given_up.set()
    for member in members:
        if member.name not in said and member.name not in left_out:
            left_out[member.name] = f"no answer within {timeout_s:g} s"
    if not said:
        raise ValueError("no member answered: " + "; ".join(f"{n}: {why}" for n, why in left_out.items()))
    return Answers({m.name: said[m.name] for m in members if m.name in said}, left_out)


def _call(
    member: Member,
    messages: list[BaseMessage],
    options: dict[str, Any],
    done: Queue[tuple[str, AIMessage | Exception]],
    gate: tuple[threading.Semaphore, threading.Event],
) -> Callable[[], None]:
    places, given_up = gate

    def work() -> None:
        with places:
            if given_up.is_set():
                return
            try:
                done.put((member.name, member.chat.invoke(messages, **options)))
            except Exception as error:  # noqa: BLE001  (whatever a backend raises, the others go on)
                done.put((member.name, error))

    return work


def usage_of(messages: Sequence[AIMessage]) -> dict[str, Any]:
    """Sum of the tokens that the messages cost."""
    total: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    cached = 0
    for message in messages:
        usage: Mapping[str, Any] = message.usage_metadata or {}
        for name in total:
            total[name] += int(usage.get(name, 0))
        cached += int((usage.get("input_token_details") or {}).get("cache_read") or 0)
    return {**total, "input_token_details": {"cache_read": cached}}
