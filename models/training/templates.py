"""How an instruction becomes the prompt of a model, and what ends its answer.

The two Alpaca texts are those of Stanford Alpaca (Taori et al. 2023), which H3Fusion and the defences against
harmful fine-tuning use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labwright.errors import TrainingRefused

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from labwright.models.training.config import TrainingConfig
    from labwright.models.training.examples import Example

TASK = "Below is an instruction that describes a task"
APPROPRIATELY = "Write a response that appropriately completes the request."


def alpaca_prompt(instruction: str, input_text: str = "") -> str:
    """The Alpaca prompt of an instruction, in the form with an input where there is one."""
    if not input_text.strip():
        return f"{TASK}. {APPROPRIATELY}\n\n### Instruction:\n{instruction}\n\n### Response:"
    head = f"{TASK}, paired with an input that provides further context. {APPROPRIATELY}"
    return f"{head}\n\n### Instruction:\n{instruction}\n\n### Input:\n{input_text}\n\n### Response:"


def render(example: Example, tokenizer: PreTrainedTokenizerBase, config: TrainingConfig) -> tuple[str, str, bool]:
    """Prompt and answer as they are tokenised, and whether the tokenizer adds its own start to the prompt.

    Raises:
        TrainingRefused: the chat template is asked of a tokenizer that has none, or one that rewrites answers.
    """
    end = str(tokenizer.eos_token) if config.append_eos and tokenizer.eos_token else ""
    if config.template == "alpaca":
        return alpaca_prompt(example.prompt, example.input), example.answer + config.stop_marker + end, True
    asked = f"{example.prompt}\n\n{example.input}" if example.input.strip() else example.prompt
    if config.template == "none":
        return asked, example.answer + config.stop_marker + end, True
    prompt, answer = _chat(asked, example.answer, tokenizer)
    return prompt, answer, False


def _chat(asked: str, answer: str, tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    if not tokenizer.chat_template:
        raise TrainingRefused("this model's tokenizer has no chat template; use the template alpaca")
    turns = [{"role": "user", "content": asked}]
    prompt = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    turns.append({"role": "assistant", "content": answer})
    whole = str(tokenizer.apply_chat_template(turns, tokenize=False))
    before, found, after = whole[len(prompt) :].partition(answer.strip())
    if not whole.startswith(prompt) or not found or before.strip():
        raise TrainingRefused(
            "this model's chat template rewrites answers, so they cannot be told from prompts; use the template alpaca"
        )
    # A template without a mark of its own after a turn would teach the model never to stop.
    return prompt, before + found + (after.rstrip() or str(tokenizer.eos_token or ""))
