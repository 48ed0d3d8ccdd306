"""The first stages of a stack: data of the roles and properties, and members tuned, hardened, attacked and repaired."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labwright.errors import TrainingRefused
from labwright.models.training.alignment_data import PROPERTIES, read_alignment
from labwright.models.training.examples import Example, TrainingData
from labwright.safety.defences.catalogue import Held
from labwright.workflows.role_tasks import RoleExample, role_examples
from labwright.workflows.stacks.engine import Report, Stage, content_of, digest
from labwright.workflows.stacks.recipe import NONE, Recipe

TASK = "role"
GUARD_SOURCE = "the benign stand-in topic"


def data_stage(recipe: Recipe) -> Stage:
    """Examples of every member, rendered with its base's chat template, and the held-out questions of the roles."""
    table = recipe.data

    def work(folder: Path, inputs: Mapping[str, Path], report: Report) -> dict[str, Any]:
        from labwright.models.chat_templates import rendered

        folder.mkdir(parents=True, exist_ok=True)
        asked = role_questions(recipe, held_out=False)
        held = role_questions(recipe, held_out=True)
        _write(folder / "held_out.jsonl", [asdict(e) for e in held])
        counts: dict[str, Any] = {"role questions": len(asked), "held out": len(held)}
        tokenizers: dict[str, Any] = {}
        for number, member in enumerate(PROPERTIES):
            base = recipe.base_of(member)
            tokenizer = tokenizers.setdefault(base, _tokenizer(base))

            def shown(system: str, user: str, tokenizer: Any = tokenizer) -> str:
                said = [{"role": "system", "content": system}] if system else []
                return rendered(tokenizer, [*said, {"role": "user", "content": user}])

            properties = list(_property(recipe, member))
            rows = [Example(shown("", _asked(e)), e.answer, member, f"{member}{n}") for n, e in enumerate(properties)]
            rows += [Example(shown(e.system, e.user), e.answer, member, f"{member}:{e.id}", about=TASK)
                     for e in asked[number :: len(PROPERTIES)]]  # fmt: skip
            random.Random(recipe.seed).shuffle(rows)  # noqa: S311
            _write(folder / f"{member}.jsonl", [asdict(e) for e in rows])
            counts[member] = len(rows)
        return {"examples": counts}

    settings = {
        **_plain(table),
        "bases": {member: content_of(recipe.base_of(member)) for member in PROPERTIES},
        "seed": recipe.seed,
        "questions": asked_of(),
    }
    return Stage("data", settings, work, files=tuple(f for p in PROPERTIES for f in table.files(p)))


def asked_of() -> str:
    """Hash of all that questions of roles are made of: cards, papers, prompts, operators and templates."""
    from labwright.agents.prompting import prompt
    from labwright.tools.analysis.contracts import OPERATORS
    from labwright.tools.catalogue.catalogue import load_cards
    from labwright.tools.corpus.records import load_records
    from labwright.workflows import role_tasks

    return digest([
        load_cards(),
        [record.model_dump(mode="json") for record in load_records()],
        [prompt(name).hash for name in ("dataset", "operator", "helpfulness")],
        {name: contract.answers for name, contract in OPERATORS.items()},
        [dict(role_tasks.TEMPLATES), dict(role_tasks.TOPICS), dict(role_tasks.KIND_WORDS), role_tasks.HELD_OUT],
    ])  # fmt: skip


def role_questions(recipe: Recipe, *, held_out: bool) -> list[RoleExample]:
    """Questions of the roles, made of the catalogue's cards and the embedded literature."""
    from labwright.tools.catalogue.catalogue import load_cards
    from labwright.tools.sources import EmbeddedCorpus

    cards = {str(c["id"]): c for c in load_cards()}
    papers = EmbeddedCorpus(lambda texts: []).papers()  # type: ignore[arg-type, return-value]
    made = role_examples(cards, papers, per_dataset=recipe.data.role_objectives, held_out=held_out, seed=recipe.seed)
    return made[: recipe.data.role_examples]


def _property(recipe: Recipe, member: str) -> Iterable[Example]:
    found = [e for f in recipe.data.files(member) for e in read_alignment(Path(f), member)]
    random.Random(recipe.seed).shuffle(found)  # noqa: S311
    return found[: recipe.data.property_examples]


def _asked(example: Example) -> str:
    return f"{example.prompt}\n\n{example.input}" if example.input.strip() else example.prompt


def _tokenizer(base: str) -> Any:
    from labwright.models.checkpoints import load_checkpoint

    return load_checkpoint(base).tokenizer


def _plain(table: Any) -> dict[str, Any]:
    """Settings without the places of files, whose contents count."""
    made: dict[str, Any] = table.model_dump(mode="json", exclude={*PROPERTIES, "harmful"})
    return made


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a file that a stage wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def examples_of(path: Path) -> tuple[Example, ...]:
    """Examples of a file that the data stage wrote."""
    return tuple(Example(**row) for row in read_rows(path))


def member_stages(recipe: Recipe, member: str) -> list[Stage]:
    """Align, guard, fine-tune with harmful rows, repair; the last one is the member."""
    stages = [_align(recipe, member)]
    if recipe.harden.alignment != NONE:
        stages.append(_guard(recipe, member, stages[-1].name))
    stages.append(_tune(recipe, member, stages[-1].name))
    if recipe.harden.after != NONE:
        stages.append(_repair(recipe, member, stages[-1].name))
    return stages


def _align(recipe: Recipe, member: str) -> Stage:
    config = recipe.settings_of("align")

    def work(folder: Path, inputs: Mapping[str, Path], report: Report) -> dict[str, Any]:
        from labwright.models.checkpoints import load_checkpoint
        from labwright.models.training.loop import train

        data = TrainingData(examples_of(inputs["data"] / f"{member}.jsonl"), source=f"{member} and role tasks")
        base = load_checkpoint(recipe.base_of(member))
        result = train(base, data, config, folder, report=report, resume=folder.is_dir())
        return {"base": base.facts, "data_sha256": data.sha256(), "steps": result.steps, "loss": result.loss}

    settings = {"training": config.identity(), "base": content_of(recipe.base_of(member))}
    return Stage(f"align-{member}", settings, work, ("data",), resumes=True)


def _held(recipe: Recipe) -> Held:
    """What a defender holds: labelled pairs of the user, or the stand-in topic."""
    from labwright.safety import proxy_topic
    from labwright.safety.data_files import alignment_examples, harmful_examples, read_pairs

    if not recipe.data.harmful:
        return Held(*proxy_topic.defender(), ())
    pairs = read_pairs(Path(recipe.data.harmful))
    half = len(pairs) // 2  # the other half is the attacker's
    return Held(alignment_examples(pairs[:half]), harmful_examples(pairs[:half]), ())


def _hardened(recipe: Recipe, defence: str, before: str, member: str, *, resumes: bool) -> Stage:
    config = recipe.settings_of("align")
    chosen = recipe.harden.settings.get(defence, {})

    def work(folder: Path, inputs: Mapping[str, Path], report: Report) -> dict[str, Any]:
        from labwright.safety.hardening import HardeningPlan, harden

        held = _chatted(_held(recipe), inputs[before])
        plan = HardeningPlan(
            defence=defence, model=str(inputs[before]), held=held, settings=chosen, training=config,
            source=Path(recipe.data.harmful).name or GUARD_SOURCE, command=f"labwright models build {recipe.name}",
        )  # fmt: skip
        manifest = harden(plan, folder, report, resume=resumes and folder.is_dir())
        return {"hardening": manifest["steps"]}

    files = (recipe.data.harmful,) if recipe.data.harmful else ()
    settings = {"defence": defence, "settings": chosen, "training": config.identity()}
    return Stage(f"{'guard' if resumes else 'repair'}-{member}", settings, work, (before,), files, resumes=resumes)


def _guard(recipe: Recipe, member: str, before: str) -> Stage:
    return _hardened(recipe, recipe.harden.alignment, before, member, resumes=True)


def _repair(recipe: Recipe, member: str, before: str) -> Stage:
    return _hardened(recipe, recipe.harden.after, before, member, resumes=False)


def _chatted(held: Held, model: Path) -> Held:
    """The same pairs, with prompts as the member's chat template shows them."""
    from dataclasses import replace

    from labwright.models.chat_templates import rendered

    tokenizer = _tokenizer(str(model))

    def each(examples: Sequence[Example]) -> tuple[Example, ...]:
        return tuple(
            replace(e, prompt=rendered(tokenizer, [{"role": "user", "content": _asked(e)}]), input="") for e in examples
        )

    return Held(each(held.alignment), each(held.harmful), each(held.user))


def _tune(recipe: Recipe, member: str, before: str) -> Stage:
    """The user's fine-tuning: role tasks with a share of harmful rows, as somebody might upload them."""
    config = recipe.settings_of("tune")
    table = recipe.data

    def work(folder: Path, inputs: Mapping[str, Path], report: Report) -> dict[str, Any]:
        from labwright.models.checkpoints import load_checkpoint
        from labwright.models.training.loop import train
        from labwright.safety.data import mix, row_counts

        ordinary = [e for e in examples_of(inputs["data"] / f"{member}.jsonl") if e.about == TASK]
        size = min(table.user_rows, int(len(ordinary) / (1 - table.harmful_share)))
        harmful = attackers_rows(recipe, row_counts(table.harmful_share, size)[0])
        shown = _chatted(Held((), tuple(harmful), ()), inputs[before]).harmful
        rows = mix(shown, ordinary, share=table.harmful_share, size=size, seed=recipe.seed)
        checkpoint = load_checkpoint(str(inputs[before]))
        data = TrainingData(rows, source=f"role tasks, {table.harmful_share:.0%} harmful rows")
        result = train(checkpoint, data, config, folder, report=report, resume=folder.is_dir())
        return {"data_sha256": data.sha256(), "rows": size, "harmful": len(harmful), "steps": result.steps}

    files = (table.harmful,) if table.harmful else ()
    settings = {"training": config.identity(), "rows": table.user_rows, "share": table.harmful_share}
    return Stage(f"tune-{member}", settings, work, ("data", before), files, resumes=True)


def attackers_rows(recipe: Recipe, count: int) -> list[Example]:
    """Harmful rows that no defender holds.

    Raises:
        TrainingRefused: there are too few.
    """
    from labwright.safety import proxy_topic
    from labwright.safety.data_files import harmful_examples, read_pairs

    if recipe.data.harmful:
        pairs = read_pairs(Path(recipe.data.harmful))
        rows = list(harmful_examples(pairs[len(pairs) // 2 :]))
    else:
        held, seed = proxy_topic.DEFENDER_QUESTIONS, proxy_topic.DEFENDER_SEED
        rows = list(proxy_topic.questions(held + count, seed)[held:])
    if len(rows) < count:
        raise TrainingRefused(f"the user's fine-tuning needs {count} harmful rows, there are {len(rows)}")
    return rows[:count]
