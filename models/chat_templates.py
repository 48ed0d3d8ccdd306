"""From messages to the one string that a causal language model continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'user' %}User: {{ message['content'] }}\n\n"
    "{% else %}Assistant: {{ message['content'] }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For a model that comes without a chat template: roles in words, as base models know them from text."""
PLAIN_NAME = "plain: the model has none"
OWN_NAME = "the model's own"


def give_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """Put the plain template where there is none; return what the record says of the template."""
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN
    return PLAIN_NAME if tokenizer.chat_template == PLAIN else OWN_NAME


def rendered(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]]) -> str:
    """The prompt of a conversation, ready to be continued by the assistant.

    A template that knows no system role gets its text in front of the first user message.

    Args:
        tokenizer: has a chat template.
        messages: each with role (system, user, assistant) and content.

    Raises:
        ValueError: the template refuses the conversation.
    """
    from jinja2 import TemplateError

    tries = [[dict(m) for m in messages]]
    if messages and messages[0]["role"] == "system":
        tries.append(_without_system(messages))
    refusal = ""
    for conversation in tries:
        try:
            return str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))
        except TemplateError as error:
            refusal = str(error)
    raise ValueError(f"the model's chat template refuses the conversation: {refusal}")


def _without_system(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    system, *rest = messages
    if not rest:
        return [{"role": "user", "content": system["content"]}]
    first, *others = rest
    return [{"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}, *map(dict, others)]
