"""Prompts as files: `<package>/<name>.md`, rendered strictly.

A file has a header of three lines (purpose, variables, version), then the system text and the user text,
each after a line of three dashes. `$name` marks a variable; a missing or a spare one is an error.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from labwright.models.ask import Prompt

RULE = "\n---\n"


@dataclass(frozen=True, slots=True)
class PromptFile:
    """One prompt file, parsed."""

    name: str
    purpose: str
    version: str
    variables: frozenset[str]
    system: Template
    user: Template
    hash: str

    def render(self, **values: object) -> Prompt:
        """Fill the variables.

        Raises:
            ValueError: a variable is missing or one is given that the prompt does not have.
        """
        if set(values) != self.variables:
            wrong = sorted(set(values) ^ self.variables)
            raise ValueError(f"prompt {self.name}: variables missing or unknown: {', '.join(wrong)}")
        return Prompt(self.name, self.hash, self.system.substitute(values), self.user.substitute(values))


@cache
def load_prompt(package: str, name: str) -> PromptFile:
    """Load one prompt.

    Args:
        package: the package that holds the file.
        name: file name without the ending.

    Raises:
        ValueError: the file's header does not fit its text.
    """
    text = files(package).joinpath(f"{name}.md").read_text(encoding="utf-8")
    header, system, user = (piece.strip() for piece in text.split(RULE))
    fields = dict(line.split(": ", 1) for line in header.splitlines())
    declared = frozenset(v.strip() for v in fields["variables"].split(","))
    templates = Template(system), Template(user)
    used = {name for t in templates for name in t.get_identifiers()}
    if used != declared:
        raise ValueError(f"prompt {name}: header declares {sorted(declared)}, text uses {sorted(used)}")
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return PromptFile(name, fields["purpose"], fields["version"], declared, *templates, digest)


def prompt_names(package: str) -> list[str]:
    """Names of all prompts of a package."""
    return sorted(p.name.removesuffix(".md") for p in files(package).iterdir() if p.name.endswith(".md"))
