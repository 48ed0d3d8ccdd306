"""A chat model that follows a script, for tests and for trying a graph without a model.

A rule is {"match": regular expression over the rendered prompt, "reply": text} or, for a closed question,
{"match": ..., "probabilities": {label: p}}. The first rule that matches answers. Without one, a schema is
answered by its smallest valid instance and a closed question by even odds. What it saw is kept in `seen`,
and appended to `log_path` where one is given, so that a test can count requests across processes.
"""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from labwright.errors import ConfigInvalid

EVEN = ("yes", "no", "1", "2", "3", "4", "5", "high", "medium", "low")


class ScriptedChat(BaseChatModel):
    """Replays rules instead of thinking."""

    rules: list[dict[str, Any]] = Field(default_factory=list)
    delay_s: float = 0.0
    log_path: Path | None = None
    seen: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prompt = "\n".join(str(m.text) for m in messages)
        self.seen.append(prompt)
        time.sleep(self.delay_s)
        rule = next((r for r in self.rules if re.search(r["match"], prompt, re.DOTALL)), {})
        message = _closed(rule) if kwargs.get("logprobs") else _text(rule, kwargs.get("response_format"))
        message.usage_metadata = {
            "input_tokens": len(prompt.split()),
            "output_tokens": len(str(message.text).split()),
            "total_tokens": len(prompt.split()) + len(str(message.text).split()),
        }
        if self.log_path is not None:
            with self.log_path.open("a", encoding="utf-8") as out:
                out.write(json.dumps(prompt) + "\n")
        return ChatResult(generations=[ChatGeneration(message=message)])


def load_script(path: Path) -> ScriptedChat:
    """Read a script: a JSON object {"rules": [...], "delay_s": 0, "log_path": ...}.

    Raises:
        ConfigInvalid: the file is not such an object.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        chat = ScriptedChat.model_validate(raw)
        if unknown := set(raw) - {"rules", "delay_s", "log_path"}:
            raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
        for rule in chat.rules:
            re.compile(rule["match"])
    except (OSError, ValueError, TypeError, KeyError, re.error) as error:
        raise ConfigInvalid(f"{path}: not a script of model replies: {' '.join(str(error).split())}") from error
    return chat


def _closed(rule: dict[str, Any]) -> AIMessage:
    odds = rule.get("probabilities") or dict.fromkeys(EVEN, 1 / len(EVEN))
    top = [{"token": t, "logprob": math.log(max(p, 1e-9))} for t, p in odds.items()]
    best = max(odds, key=lambda label: float(odds[label]))
    return AIMessage(best, response_metadata={"logprobs": {"content": [{"top_logprobs": top}]}})


def _text(rule: dict[str, Any], response_format: dict[str, Any] | None) -> AIMessage:
    if "reply" in rule:
        reply = rule["reply"]
        return AIMessage(reply if isinstance(reply, str) else json.dumps(reply))
    if response_format is None:
        return AIMessage("")
    schema = response_format["json_schema"]["schema"]
    return AIMessage(json.dumps(smallest(schema, schema.get("$defs", {}))))


def smallest(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """The smallest valid instance of a JSON schema as pydantic writes it."""
    if "$ref" in schema:
        return smallest(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if "anyOf" in schema:
        return smallest(schema["anyOf"][0], definitions)
    given = [schema["const"]] if "const" in schema else schema.get("enum", [])
    if given:
        return given[0]
    kind = schema.get("type")
    if kind == "object":
        return {k: smallest(v, definitions) for k, v in schema.get("properties", {}).items()}
    if kind == "array":
        return [smallest(schema["items"], definitions) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    if kind in ("boolean", "null"):
        return False if kind == "boolean" else None
    # The only patterns are those of instructions, which begin with a verb.
    lead = "Describe in one step a" if "pattern" in schema else "A"
    text = f"{lead} scripted text of sufficient length.".ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength", len(text))]
