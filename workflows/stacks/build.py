"""`labwright models build`: from a recipe to backends that play roles, with all that went into them on record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from labwright.config import BackendConfig, Config, Role, cache_dir
from labwright.errors import WrongUse
from labwright.models.training.alignment_data import PROPERTIES
from labwright.models.training.files import write_json, write_text
from labwright.models.training.results import Progress, silent
from labwright.workflows.stacks.engine import Build, Report, Stage, content_of
from labwright.workflows.stacks.members import data_stage, examples_of, member_stages, read_rows
from labwright.workflows.stacks.recipe import EnsembleTable, FuseTable, Recipe, SteerTable

RECORD, CONFIG = "stack.json", "labwright.toml"
EXPORTED = "model.gguf"


def build(recipe: Recipe, out: Path, report: Report = silent, *, root: Path | None = None) -> dict[str, Any]:
    """Build a stack, and leave labwright.toml and stack.json in a folder.

    Args:
        recipe: of :func:`labwright.workflows.stacks.recipe.read_recipe`.
        out: folder of the two files.
        report: shows progress.
        root: folder of the stages; in the cache by default.

    Returns:
        What stack.json holds: the stages with their keys, the backends and their lineage.

    Raises:
        WrongUse: another build of this stack is under way.
        HashMismatch: a finished stage was changed since.
        LabwrightError: as the stages raise; what was finished is used the next time.
    """
    home = root or cache_dir() / "stacks" / recipe.name
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / "build.lock", timeout=0):
            made = Build(home, report)
            made.run(stages(recipe))
    except Timeout as error:
        raise WrongUse(f"{home}: another build of {recipe.name} is under way; wait for it, or stop it") from error
    backends = backends_of(recipe, made)
    record = {
        "name": recipe.name,
        "base": recipe.base,
        "roles": dict(recipe.roles),
        "stages": {name: {"key": made.keys[name], "folder": str(folder), **_short(made.record(name))}
                   for name, folder in made.folders.items()},
        "reused": list(made.reused),
        "backends": {name: {"table": table, "lineage": lineage(made, name)} for name, table in backends.items()},
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / CONFIG, configuration(backends, dict(recipe.roles)))
    write_json(out / RECORD, record)
    return record


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"inputs": record["inputs"], "seconds": record["seconds"]}


def stages(recipe: Recipe) -> list[Stage]:
    """All stages of a recipe, inputs first."""
    found = [data_stage(recipe)]
    last = {}
    for member in PROPERTIES:
        mine = member_stages(recipe, member)
        found += mine
        last[member] = mine[-1].name
    if recipe.fuse is not None:
        found.append(_fused(recipe, recipe.fuse, last))
    if recipe.ensemble is not None:
        if recipe.gguf:
            found += [_exported(recipe, member, name) for member, name in last.items()]
        found.append(_ensemble(recipe, recipe.ensemble, last))
    if recipe.steer is not None:
        found.append(_steered(recipe.steer))
    return found


def _fused(recipe: Recipe, table: FuseTable, last: Mapping[str, str]) -> Stage:
    config = recipe.settings_of("fusion")

    def work(folder: Path, inputs: Mapping[str, Path], report: Report) -> dict[str, Any]:
        from labwright.models.h3fusion.build import BuildSettings
        from labwright.models.h3fusion.fuse import FusionPlan, fuse
        from labwright.models.training.examples import TrainingData

        rows = [e for p in PROPERTIES for e in examples_of(inputs["data"] / f"{p}.jsonl")]
        plan = FusionPlan(
            sources={p: str(inputs[last[p]]) for p in PROPERTIES},
            # A repair changes weights outside the experts too; their mean is added to what all share.
            build=BuildSettings(top_k=table.top_k, shared="average", seed=recipe.seed),
            fusion=table.settings,
            training=config,
        )
        data = TrainingData(tuple(rows), source="role tasks and properties")
        result = fuse(recipe.base, plan, data, folder, report, resume=folder.is_dir())
        return {"router_shares": result.record["router_shares"], "experts": result.record["experts"]}

    settings = {
        "training": config.identity(), "top_k": table.top_k, "fusion": table.settings.model_dump(mode="json"),
        "base": content_of(recipe.base),
    }  # fmt: skip
    return Stage("fused", settings, work, ("data", *(last[p] for p in PROPERTIES)), resumes=True)


def _exported(recipe: Recipe, member: str, before: str) -> Stage:
    def work(folder: Path, inputs: Mapping[str, Path], report: Report) -> dict[str, Any]:
        from labwright.models.checkpoints import load_checkpoint
        from labwright.models.gguf_export import export_gguf, read_dtype

        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = load_checkpoint(str(inputs[before]))
        export_gguf(checkpoint, folder / EXPORTED, read_dtype(recipe.gguf))
        return {"of": checkpoint.facts}

    return Stage(f"gguf-{member}", {"dtype": recipe.gguf}, work, (before,))


def _ensemble(recipe: Recipe, table: EnsembleTable, last: Mapping[str, str]) -> Stage:
    """Members and others asked closed questions of the roles, the best subset chosen and joined."""
    sources = {p: f"gguf-{p}" if recipe.gguf else last[p] for p in PROPERTIES}

    def work(folder: Path, inputs: Mapping[str, Path], report: Report) -> dict[str, Any]:
        from labwright.models.topla.collected import collect, prepare
        from labwright.models.topla.pool import read_pool, train_pool
        from labwright.models.topla.questions import Question
        from labwright.workflows.ensembles import member_session

        held = [r for r in read_rows(inputs["data"] / "held_out.jsonl") if r["answer"] in ("yes", "no")]
        asked = [
            Question(
                id=str(n), question=f"{r['system']}\n\n{r['user']}"[:4000], labels=("yes", "no"), answer=r["answer"]
            )
            for n, r in enumerate(held[: table.questions])
        ]
        config = Config(backends={n: BackendConfig(**t) for n, t in member_tables(recipe, inputs, sources).items()})
        prepare(folder, asked)
        for name in config.backends:
            report(Progress(note=f"asking {name}"))
            with member_session(config, name) as session:
                collect(folder, name, session)
        pool = read_pool(folder, keep_weak=True)
        built, chosen = train_pool(pool, folder / "trained")
        return {"questions": len(asked), "members": list(built.members), "joining": chosen.joining}

    others = {other: content_of(other) for other in table.others}
    settings = {**table.model_dump(mode="json"), "members": sources, "others": others}
    return Stage("ensemble", settings, work, ("data", *sources.values()), resumes=True)


def member_tables(recipe: Recipe, places: Mapping[str, Path], sources: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Backends of the ensemble: the members, and models that were not tuned here, each by its name."""
    tables: dict[str, dict[str, Any]] = {}
    for member, stage in sources.items():
        exported = places[stage] / EXPORTED
        embedded = exported.is_file()
        tables[member] = {
            "kind": "embedded" if embedded else "local",
            "model": str(exported if embedded else places[stage]),
        }
    for other in recipe.ensemble.others if recipe.ensemble is not None else ():
        path = Path(other)
        tables[path.stem if path.is_file() else other] = {"kind": "embedded", "model": other}
    return tables


def _steered(table: SteerTable) -> Stage:
    def work(folder: Path, inputs: Mapping[str, Path], report: Report) -> dict[str, Any]:
        from labwright.models.vision import load_vision
        from labwright.safety.steering.chat import asker, encoder, write_choice
        from labwright.safety.steering.evaluation import Plan, anchors, as_document, evaluate, read_items
        from labwright.safety.steering.extraction import extract

        checkpoint = load_vision(table.model)
        read = read_items(Path(table.anchors))
        found = extract(checkpoint.model, encoder(checkpoint), anchors(read), name=str(checkpoint.facts["model"]),
                        report=lambda done: report(Progress(note=f"{done} of {len(read)} anchors")))  # fmt: skip
        found.save(folder)
        items = read_items(Path(table.items))
        seen = evaluate(items, asker(checkpoint, found, 64), Plan(levels=(table.level,)),
                        lambda text: report(Progress(note=text)))  # fmt: skip
        write_choice(folder, seen.choices)
        return as_document(seen, {"model": checkpoint.facts})

    settings = {"level": table.level, "model": content_of(table.model)}
    return Stage("steered", settings, work, files=(table.anchors, table.items, *_images(table)))


def _images(table: SteerTable) -> tuple[str, ...]:
    """Pictures that anchors and items name: another picture under a name is another input."""
    from labwright.safety.steering.evaluation import read_items

    return tuple(i.image for file in (table.anchors, table.items) for i in read_items(Path(file)))


def backends_of(recipe: Recipe, made: Build) -> dict[str, dict[str, Any]]:
    """Backends of labwright.toml by name: what roles use, and members of the ensemble."""
    found: dict[str, dict[str, Any]] = {}
    if recipe.fuse is not None:
        found["fused"] = {"kind": "h3fusion", "model": str(made.folders["fused"])}
    if recipe.ensemble is not None:
        last = {p: member_stages(recipe, p)[-1].name for p in PROPERTIES}
        sources = {p: f"gguf-{p}" if recipe.gguf else last[p] for p in PROPERTIES}
        members = member_tables(recipe, made.folders, sources)
        chosen = made.record("ensemble")["facts"]["members"]
        found |= {name: table for name, table in members.items() if name in chosen}
        found["ensemble"] = {"kind": "topla", "model": str(made.folders["ensemble"] / "trained")}
    if recipe.steer is not None:
        found["steered"] = {"kind": "steered", "model": recipe.steer.model, "vectors": str(made.folders["steered"]),
                            "level": recipe.steer.level}  # fmt: skip
    return found


def lineage(made: Build, backend: str) -> dict[str, str]:
    """Every stage that a backend stands on, to its key."""
    start = next((s for s in (backend, f"gguf-{backend}") if s in made.keys), None)
    found: dict[str, str] = {}
    waiting = [start] if start else []
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = made.keys[name]
            waiting += list(made.record(name)["inputs"])
    return dict(sorted(found.items()))


def configuration(backends: Mapping[str, Mapping[str, Any]], roles: Mapping[Role, str]) -> str:
    """The text of labwright.toml; roles that the stack does not play go to the embedded model."""
    lines = ["# Written by `labwright models build`; stack.json beside it says what went into each backend.", ""]
    lines += ["[backends.embedded]", 'kind = "embedded"', 'model = "qwen2.5-coder-1.5b-instruct"', ""]
    for name, table in backends.items():
        lines += [f"[backends.{json.dumps(name)}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items()), ""]
    lines += ["[roles]", *(f"{role} = {json.dumps(part)}" for role, part in roles.items()), ""]
    if "steered" in backends:
        lines += ["[figures]", 'backend = "steered"', ""]
    return "\n".join(lines)
