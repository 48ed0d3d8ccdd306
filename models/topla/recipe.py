"""What makes models an ensemble, as one file: which models, how much each counts, how their answers are joined.

`recipe.json` stands in the ensemble's folder, beside the trained network (models/topla/saved.py). It is read without
torch, so that an ensemble that pools probabilities works without the extra `local`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from labwright.errors import ModelMissing
from labwright.models.topla.scaling import Scaling

Joining = Literal["linear pool", "trained network"]
RECIPE = "recipe.json"
TRAIN = "`labwright models ensemble train`"


class Recipe(BaseModel):
    """A trained ensemble, without the weights of its network."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[2] = 2
    members: tuple[str, ...] = Field(min_length=2)
    """Names, in the order in which the network was trained."""
    models: dict[str, str]
    """Member to the model that it was, with its hash where there is one."""
    scalings: dict[str, Scaling]
    """Member to how its probabilities of these labels are set right."""
    weights: dict[str, float]
    """Member to its weight in the linear pool, above 0."""
    labels: tuple[str, ...] = Field(min_length=2)
    """Answers of the questions that it was trained on."""
    joining: Joining
    """What joins answers to questions of these labels; other closed questions are pooled."""
    questions: str
    """Name of the folder of questions and answers."""
    chosen_on: int = Field(ge=1)
    """Questions that chose and trained it."""
    scored_by: dict[str, float]
    """What counted in the score of a subset: diversity, accuracy, size."""
    cross_validated: dict[str, float]
    """Way of joining to its accuracy in cross-validation."""
    excluded: dict[str, str]
    """Model of the pool that could not become a member, to the reason."""
    data_sha256: str
    """Of the scores and answers of these questions."""

    @model_validator(mode="after")
    def _is_of_its_members(self) -> Self:
        names = set(self.members)
        if len(names) < len(self.members) or any(
            set(each) != names for each in (self.models, self.scalings, self.weights)
        ):
            raise ValueError("members are distinct, and each has a model, a scaling and a weight")
        if any(len(s.offsets) != len(self.labels) for s in self.scalings.values()):
            raise ValueError("a scaling has an offset for each label")
        if any(not w > 0 for w in self.weights.values()):
            raise ValueError("weights are greater than 0")
        return self

    def sha256(self) -> str:
        """Hash of everything above: two ensembles that answer differently never share one."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write it into the ensemble's folder, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f"{RECIPE}.new"
        scratch.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        scratch.replace(folder / RECIPE)

    def require_names(self, names: Iterable[str], where: str) -> None:
        """Refuse other members than those that were trained; their order does not matter.

        Args:
            names: of the members that are there.
            where: the ensemble, for the message.

        Raises:
            ModelMissing: a member is absent or spare.
        """
        if set(names) != set(self.members):
            raise ModelMissing(
                f"{where}: trained for {', '.join(self.members)}, not for {', '.join(names)}; "
                f"name these members, or train it again with {TRAIN}"
            )

    def require(self, models: Mapping[str, str], where: str) -> None:
        """Refuse other members, or other models by the same names.

        Args:
            models: member to the model that it is now.
            where: the ensemble, for the message.

        Raises:
            ModelMissing: a member is absent, spare, or another model.
        """
        self.require_names(models, where)
        for name in self.members:
            if models[name] != self.models[name]:
                raise ModelMissing(
                    f"{where}: member {name} is {models[name]}, but {self.models[name]} was trained on; "
                    f"put that model back, or collect its answers and train again with {TRAIN}"
                )


def read_recipe(folder: Path) -> Recipe:
    """The recipe of an ensemble's folder.

    Raises:
        ModelMissing: there is none, or it is not one.
    """
    path = folder / RECIPE
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelMissing(f"{path}: no ensemble there ({error.strerror}); make one with {TRAIN}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors()[:3])
        raise ModelMissing(f"{path}: not the recipe of an ensemble: {wrong}; make it again with {TRAIN}") from error


def model_of(facts: Mapping[str, Any]) -> str:
    """A backend's model as a member is known by: what it is called, with the start of its weights' hash.

    Example:
        >>> model_of({"kind": "embedded", "model": "m.gguf", "sha256": "ab" * 32})
        'm.gguf@abababababab'
    """
    name, digest = str(facts["model"]), str(facts.get("sha256", ""))[:12]
    return name if not digest or digest in name else f"{name}@{digest}"
