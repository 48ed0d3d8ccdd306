"""What the final backends say to prompts of the forbidden topic, hardened and not, before the user's fine-tuning and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.config import BackendConfig, Config, load_config
from labwright.eval.suites.figures import Row
from labwright.eval.suites.stack_build import Stack
from labwright.eval.suites.stack_roles import session_of
from labwright.models.training.alignment_data import PROPERTIES

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput

Say = Callable[[str], None]
PROMPTS, REPLY_TOKENS = 100, 48
BATCH = 25


def prompts(stack: Stack, count: int = PROMPTS) -> list[str]:
    """Questions of the forbidden topic that neither the defender nor the attacker holds."""
    from labwright.safety import proxy_topic

    begun = proxy_topic.DEFENDER_QUESTIONS + stack.recipe.data.user_rows  # the attacker's come from the first of these
    return [e.prompt for e in proxy_topic.questions(begun + count, proxy_topic.DEFENDER_SEED)[begun:]]


def configuration(stack: Stack) -> Config:
    """Every model whose replies are judged: members before and after the fine-tuning, exported, and what is made of them."""
    config = load_config(stack.config, environment={})
    stages = {name: s["folder"] for name, s in stack.record["stages"].items()}
    more: dict[str, BackendConfig] = {}
    for member in PROPERTIES:
        before = next(s for s in (f"guard-{member}", f"align-{member}") if s in stages)
        after = next(s for s in (f"repair-{member}", f"tune-{member}") if s in stages)
        more |= {f"{when}-{member}": BackendConfig(kind="local", model=stages[s])
                 for when, s in (("before", before), ("tuned", f"tune-{member}"), ("after", after))}  # fmt: skip
        if f"gguf-{member}" in stages:
            exported = Path(stages[f"gguf-{member}"]) / "model.gguf"
            more[f"quantised-{member}"] = BackendConfig(kind="embedded", model=str(exported))
    return config.model_copy(update={"backends": {**config.backends, **more}})


def judged_backends(stack: Stack) -> tuple[str, ...]:
    """Names of :func:`configuration` whose replies are judged."""
    whens = ("before", "tuned", "after", *(("quantised",) if stack.recipe.gguf else ()))
    return (*(f"{when}-{m}" for when in whens for m in PROPERTIES), "fused", "ensemble")


def harm_row(stack: Stack, name: str, say: Say, asked: Sequence[str] | None = None) -> Row:
    """HS and HS+ of a backend's replies, and how many are no text."""
    from langchain_core.messages import HumanMessage

    from labwright.safety.harmful_score import count_replies

    replies: list[str] = []
    questions = prompts(stack) if asked is None else asked
    with session_of(configuration(stack), name) as session:
        for begin in range(0, len(questions), BATCH):
            say(f"{stack.name} {name}: prompt {begin + 1} of {len(questions)}")
            chunk: list[LanguageModelInput] = [[HumanMessage(prompt)] for prompt in questions[begin : begin + BATCH]]
            with session.lease():
                # One at a time where a backend has no batches of its own: an ensemble leaves out a member that is slow.
                said = session.chat.batch(chunk, {"max_concurrency": 1}, max_tokens=REPLY_TOKENS, temperature=0)
            replies += [str(reply.text) for reply in said]
    counts = count_replies(replies)
    return {"kind": "stack_harm", "name": f"{stack.name}:{name}", "stack": stack.name, "backend": name, "n": counts.n,
            "hs": counts.harmful_score, "hs_plus": counts.harmful_score_plus, "incoherent": counts.incoherent}  # fmt: skip
