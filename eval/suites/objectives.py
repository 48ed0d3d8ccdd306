"""The objectives of the benchmark, loaded from their files; eval/execution.py judges a run against one."""

from __future__ import annotations

from importlib.resources import files

import yaml
from pydantic import ValidationError

from labwright.errors import WrongUse
from labwright.eval.objective_file import ObjectiveFile


def load() -> list[ObjectiveFile]:
    """Every objective, in the order of the file names.

    Raises:
        WrongUse: a file is not what it should be, or is not named as its id.
    """
    folder = files("labwright.eval.suites") / "objectives"
    texts = sorted((e.name, e.read_text(encoding="utf-8")) for e in folder.iterdir() if e.name.endswith(".yaml"))
    return [parsed(name, text) for name, text in texts]


def bundled() -> list[ObjectiveFile]:
    """Those that `labwright bench run` measures."""
    return [item for item in load() if item.bundled]


def parsed(name: str, text: str) -> ObjectiveFile:
    """One objective from the text of its file.

    Raises:
        WrongUse: as for load.
    """
    try:
        item = ObjectiveFile.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise WrongUse(f"{name} is not readable YAML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}".lstrip(": ") for e in error.errors()[:3])
        raise WrongUse(f"{name} is no objective: {wrong}") from error
    if name != f"{item.id}.yaml":
        raise WrongUse(f"{name} holds the objective {item.id!r}; name the file after it")
    return item
