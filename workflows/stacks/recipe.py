"""Recipes of stacks: which members are tuned on what, how they are hardened, and what is made of them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labwright.config import Role
from labwright.errors import ConfigInvalid
from labwright.models.h3fusion.fusing import FusionSettings
from labwright.models.training.alignment_data import PROPERTIES
from labwright.models.training.config import TrainingConfig
from labwright.safety.defences.catalogue import STAGES

NONE = "none"
Part = Literal["fused", "ensemble", "steered"]
USUAL_ROLES: dict[Role, Part] = {"reviewer": "fused", "search": "ensemble", "judge": "ensemble"}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataTable(_Table):
    """`[data]`: what is learned."""

    role_objectives: int = Field(40, ge=1)
    """Most synthetic objectives of each data set of the catalogue."""
    role_examples: int = Field(1500, ge=6)
    """Most questions of roles that a member learns."""
    helpful: tuple[str, ...] = ()
    """Files of examples, in any form that `labwright models align` reads."""
    harmless: tuple[str, ...] = ()
    honest: tuple[str, ...] = ()
    property_examples: int = Field(1000, ge=2)
    """Most examples of a property."""
    harmful: str = ""
    """File of labelled pairs; empty for the benign stand-in topic."""
    user_rows: int = Field(400, ge=10)
    """Rows of the user's fine-tuning."""
    harmful_share: float = Field(0.1, ge=0, le=0.5)
    """Of those rows."""

    def files(self, member: str) -> tuple[str, ...]:
        """Files of a property."""
        return tuple(getattr(self, member))


class HardenTable(_Table):
    """`[harden]`: the defences; `none` leaves a stage out, for comparison."""

    alignment: str = "booster"
    """Of the alignment."""
    after: str = "antidote"
    """Of what comes out of the user's fine-tuning."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Defence to its settings."""


class FuseTable(_Table):
    """`[fuse]`: the mixture of the three members."""

    top_k: int = Field(2, ge=1)
    settings: FusionSettings = FusionSettings()


class EnsembleTable(_Table):
    """`[ensemble]`: the members joined with models that were not tuned here."""

    others: tuple[str, ...] = ("qwen2.5-coder-1.5b-instruct",)
    """Names of `labwright models list` or GGUF files."""
    questions: int = Field(200, ge=20)
    """Closed questions of roles that members are measured, chosen and joined on."""


class SteerTable(_Table):
    """`[steer]`: a vision-language model around which vectors are taken; without one nothing reads figures."""

    model: str = Field(min_length=1)
    anchors: str = Field(min_length=1)
    items: str = Field(min_length=1)
    level: Literal["dataset", "sample"] = "dataset"


class Recipe(_Table):
    """All of a recipe file; paths are taken from its folder."""

    name: str = Field(pattern=r"^[\w-]{1,40}$")
    base: str = "smollm2-135m-instruct"
    """What every member starts from."""
    bases: dict[str, str] = Field(default_factory=dict)
    """Member to another base."""
    seed: int = Field(0, ge=0)
    data: DataTable = DataTable()
    training: TrainingConfig = TrainingConfig(
        template="none", stop_marker="", append_eos=True, too_long="drop", epochs=1, max_tokens=512, save="merged",
        checkpoint_every=50, log_every=10,
    )  # fmt: skip
    """Of every training; the template is the base's own in any case."""
    align: dict[str, Any] = Field(default_factory=dict)
    """Settings of the alignments' training that differ."""
    tune: dict[str, Any] = Field(default_factory=dict)
    """Of the user's fine-tuning."""
    fusion: dict[str, Any] = Field(default_factory=dict)
    """Of the fusion's training."""
    harden: HardenTable = HardenTable()
    fuse: FuseTable | None = FuseTable()
    ensemble: EnsembleTable | None = EnsembleTable()
    steer: SteerTable | None = None
    gguf: Literal["", "f16", "q8_0"] = "q8_0"
    """Export of the ensemble's members, which llama.cpp runs several times faster; empty keeps them in this process."""
    roles: dict[Role, Part] = Field(default_factory=lambda: dict(USUAL_ROLES))

    def settings_of(self, stage: Literal["align", "tune", "fusion"]) -> TrainingConfig:
        """Settings of a stage's training.

        Raises:
            ConfigInvalid: a setting is unknown or wrong.
        """
        table = {**self.training.model_dump(), **getattr(self, stage), "seed": self.seed}
        # What a role asks is rendered with the base's own template before it is kept, system text included.
        table |= {"template": "none", "stop_marker": "", "append_eos": True, "too_long": "drop", "save": "merged"}
        try:
            return TrainingConfig.model_validate(table)
        except ValidationError as error:
            raise ConfigInvalid(f"[{stage}]: {_words(error)}; see docs/stack.md") from error

    def base_of(self, member: str) -> str:
        """What a member starts from."""
        return self.bases.get(member, self.base)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe, with its paths made absolute.

    Raises:
        ConfigInvalid: it cannot be read; a table, a file or a member is missing or wrong; bases differ though they are
            to be fused; or a role goes to a part that is not built.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"{path}: cannot be read as TOML: {error}") from error
    if isinstance(table.get("training"), dict):
        table["training"] = {**Recipe.model_fields["training"].default.model_dump(), **table["training"]}
    for name in ("fuse", "ensemble"):
        if table.get(name) is False:
            table[name] = None
    try:
        recipe = Recipe.model_validate(table)
    except ValidationError as error:
        raise ConfigInvalid(f"{path}: {_words(error)}; see docs/stack.md") from error
    found = _placed(recipe, path.resolve().parent)
    _check(found, path)
    return found


def _placed(recipe: Recipe, home: Path) -> Recipe:
    """The recipe with every path that is one made absolute; names of models stay names."""

    def place(given: str) -> str:
        there = home / Path(given).expanduser()
        return str(there) if given and there.exists() else given

    data = recipe.data.model_copy(
        update={
            **{p: tuple(place(f) for f in recipe.data.files(p)) for p in PROPERTIES},
            "harmful": place(recipe.data.harmful),
        }
    )
    steer = recipe.steer and recipe.steer.model_copy(
        update={k: place(getattr(recipe.steer, k)) for k in ("model", "anchors", "items")}
    )
    others = recipe.ensemble and recipe.ensemble.model_copy(
        update={"others": tuple(map(place, recipe.ensemble.others))}
    )
    bases = {member: place(base) for member, base in recipe.bases.items()}
    return recipe.model_copy(
        update={"data": data, "steer": steer, "ensemble": others, "base": place(recipe.base), "bases": bases}
    )


def _check(recipe: Recipe, path: Path) -> None:
    for message in _wrong(recipe):
        raise ConfigInvalid(f"{path}: {message}; see docs/stack.md")
    for stage in ("align", "tune", "fusion"):
        recipe.settings_of(stage)


def _wrong(recipe: Recipe) -> list[str]:
    """What is wrong with a recipe beyond the form of its tables, in words."""
    return [*_wrong_files(recipe), *_wrong_bases(recipe), *_wrong_defences(recipe), *_wrong_roles(recipe)]


def _wrong_files(recipe: Recipe) -> list[str]:
    found = []
    for member in PROPERTIES:
        files = recipe.data.files(member)
        if not files:
            found.append(f"[data] {member}: no file, so the member {member} is missing; name one or more")
        found += [f"[data] {member}: {f}: no such file" for f in files if not Path(f).is_file()]
    others = {"[data] harmful": recipe.data.harmful}
    if recipe.steer is not None:
        others |= {"[steer] anchors": recipe.steer.anchors, "[steer] items": recipe.steer.items}
    return [*found, *(f"{what}: {f}: no such file" for what, f in others.items() if f and not Path(f).is_file())]


def _wrong_bases(recipe: Recipe) -> list[str]:
    found = []
    if strange := sorted(set(recipe.bases) - set(PROPERTIES)):
        found.append(f"bases: {', '.join(strange)} is no member; members are {', '.join(PROPERTIES)}")
    if recipe.fuse is not None and len({recipe.base_of(m) for m in PROPERTIES}) > 1:
        found.append("bases differ, and a fusion needs one base with one tokenizer; set fuse = false, or give one base")
    return found


def _wrong_roles(recipe: Recipe) -> list[str]:
    built = {"fused": recipe.fuse, "ensemble": recipe.ensemble, "steered": recipe.steer}
    return [
        f"[roles] {role}: the part {part} is not built by this recipe"
        for role, part in recipe.roles.items()
        if built[part] is None
    ]


def _wrong_defences(recipe: Recipe) -> list[str]:
    wanted = {"alignment": ("alignment", recipe.harden.alignment), "after": ("after fine-tuning", recipe.harden.after)}
    found = []
    for key, (stage, defence) in wanted.items():
        fitting = [name for name, at in STAGES.items() if at == stage and name != "safe_lora"]
        if defence not in (*fitting, NONE):
            found.append(f"[harden] {key} = {defence!r}: one of {', '.join(fitting)}, {NONE}")
    return found


def _words(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:4])
