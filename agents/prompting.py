"""The agents' prompts, `agents/prompts/<name>.md`; the form of the files is that of `models/prompt_file.py`."""

from __future__ import annotations

from labwright.models import prompt_file
from labwright.models.prompt_file import PromptFile

PACKAGE = "labwright.agents.prompts"


def prompt(name: str) -> PromptFile:
    """Load one prompt by its file name without the ending.

    Raises:
        ValueError: the file's header does not fit its text.
    """
    return prompt_file.load_prompt(PACKAGE, name)


def prompt_names() -> list[str]:
    """Names of all prompts."""
    return prompt_file.prompt_names(PACKAGE)
