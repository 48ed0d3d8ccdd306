"""Libraries of the optional extras: one line that names the command when they are absent."""

from __future__ import annotations

from importlib.util import find_spec

from labwright.errors import SomethingMissing

EXTRAS = {
    "faces": ("torch", "dlib", "cryptography", "PIL"),
    "local": ("torch", "transformers", "peft", "accelerate", "llguidance", "gguf", "sklearn", "pygad"),
    "serve": ("fastapi", "uvicorn"),
    "web": ("fastapi", "uvicorn", "python_multipart", "argon2"),
}
"""Extra of pyproject.toml to the modules of it that models need."""


def absent_of(extra: str) -> list[str]:
    """Modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if find_spec(module) is None]


def require(extra: str, what: str) -> None:
    """Make sure that an extra is installed; imports none of its libraries.

    Args:
        extra: a key of `EXTRAS`.
        what: what needs it, for the message.

    Raises:
        SomethingMissing: a module of the extra cannot be found.
    """
    if absent := absent_of(extra):
        raise SomethingMissing(f"{what} needs {', '.join(absent)}: pip install 'labwright[{extra}]'")
