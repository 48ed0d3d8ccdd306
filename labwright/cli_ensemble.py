"""The commands `labwright models ensemble ...`: from members' answers to an ensemble that plays a role."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli_screen import Counter, Screen, emit, printable, table

if TYPE_CHECKING:
    from labwright.models.topla.building import Compared
    from labwright.models.topla.collected import Collected
    from labwright.models.topla.pool import Pool
    from labwright.models.topla.pruning import Pruning, Weights
    from labwright.models.topla.recipe import Recipe

ensemble_app = typer.Typer(no_args_is_help=True, help="Ensembles of models, chosen and joined by measured answers.")
Folder = Annotated[Path, typer.Argument(help="Folder of `collect`.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Config = Annotated[Path | None, typer.Option(help="labwright.toml to use.")]
Only = Annotated[list[str] | None, typer.Option("--member", help="Look at this member only; may be repeated.")]
Weak = Annotated[bool, typer.Option("--keep-weak", help="Also members no better than the most frequent answer.")]
Score = Annotated[str, typer.Option(help="What counts in a subset's score: diversity,accuracy,size.")]
SCORE = "0.5,0.5,0"
TRAINED, PAGE = "trained", "report.html"


@ensemble_app.command("collect")
def ensemble_collect(
    questions: Annotated[Path, typer.Argument(help="JSON lines of closed questions; see docs/ensembles.md.")],
    member: Annotated[list[str], typer.Option(help="A backend of labwright.toml; repeat it.")],
    out: Annotated[Path, typer.Option(help="Folder of the answers.")] = Path("ensemble"),
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Ask members closed questions of known answer; what is answered already is not asked again."""
    from labwright.config import load_config
    from labwright.models.topla.collected import collect, load, prepare
    from labwright.models.topla.questions import read_questions
    from labwright.workflows.ensembles import member_session

    loaded = load_config(config)
    for name in member:
        loaded.table_of(name)  # a wrong name is known before the first question is asked
    prepare(out, read_questions(questions))
    for name in member:
        with member_session(loaded, name) as session, Counter(name, "questions") as screen:
            collect(out, name, session, screen.report)
    found = load(out, member)
    rows = _member_rows(found)
    if as_json:
        emit({"folder": str(out.resolve()), "questions": len(found.questions), "members": rows})
    else:
        table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def _member_rows(found: Collected) -> list[dict[str, Any]]:
    from labwright.models.topla.questions import keys

    right = (found.scores.argmax(axis=2) == keys(found.questions)[:, None]).mean(axis=0)
    return [
        {
            "member": name,
            "model": found.models[name],
            "accuracy": round(float(accuracy), 4),
            "unanswered": found.unanswered[name],
            "seconds": round(found.seconds[name], 3),
            "tokens": round(found.tokens[name], 1),
        }
        for name, accuracy in zip(found.members, right, strict=True)
    ]


@ensemble_app.command("prune")
def ensemble_prune(
    folder: Folder,
    member: Only = None,
    score: Score = SCORE,
    top: Annotated[int, typer.Option(min=1, help="Subsets that are shown.")] = 5,
    keep_weak: Weak = False,
    as_json: Json = False,
) -> None:
    """Rank subsets of the members by focal diversity and plurality accuracy, on the half that chooses."""
    pool = _pool(folder, member, keep_weak)
    pruning = pool.prune(_weights(score))
    shown = _subset_rows(pool, pruning, top)
    correlation = {name: round(r, 4) for name, r in pruning.correlation().items()}
    if as_json:
        emit({"subsets": shown, "looked_at": len(pruning.subsets), "correlation": correlation,
              "excluded": pool.excluded, "chosen_on": len(pool.choosing[1])})  # fmt: skip
        return
    _say_excluded(pool)
    table(
        ("members", "focal diversity", "plurality accuracy", "score"),
        [(", ".join(r["members"]), r["diversity"], r["accuracy"], r["score"]) for r in shown],
    )
    typer.echo(f"{len(pruning.subsets)} subsets on {len(pool.choosing[1])} questions; correlation of diversity with")
    typer.echo("accuracy: " + (", ".join(f"{k} {v:+.2f}" for k, v in correlation.items()) or "undefined"))


def _subset_rows(pool: Pool, pruning: Pruning, top: int) -> list[dict[str, Any]]:
    from labwright.models.topla.pruning import named

    best = pruning.best(top)
    return [
        {
            "members": names,
            "diversity": round(one.diversity, 4),
            "accuracy": round(one.accuracy, 4),
            "score": round(one.score, 4),
        }
        for one, names in zip(best, named(best, pool.members), strict=True)
    ]


@ensemble_app.command("train")
def ensemble_train(
    folder: Folder,
    member: Only = None,
    score: Score = SCORE,
    keep_weak: Weak = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the ensemble; FOLDER/trained by default.")] = None,
    as_json: Json = False,
) -> None:
    """Choose members and a way of joining them, on the half that chooses, and save the ensemble."""
    from labwright.models.topla.pool import train_pool

    pool = _pool(folder, member, keep_weak)
    place = out or folder / TRAINED
    with Screen() as screen:
        screen.say(f"choosing among {len(pool.members)} members on {len(pool.choosing[1])} questions")
        _, recipe = train_pool(pool, place, _weights(score))
    if as_json:
        emit({"folder": str(place.resolve()), **recipe.model_dump(mode="json")})
        return
    _say_excluded(pool)
    table(("member", "weight", "slope", *recipe.labels), [_joined(recipe, m) for m in recipe.members])
    folds = ", ".join(f"{name} {share:.1%}" for name, share in recipe.cross_validated.items())
    typer.echo(f"joined by: {recipe.joining} (cross-validated: {folds})")
    typer.echo(f"{place}: measure it with `labwright models ensemble eval {folder}`")


def _joined(recipe: Recipe, member: str) -> tuple[str, ...]:
    """A member's weight, and the slope and offsets that set its probabilities right."""
    scaling = recipe.scalings[member]
    return member, f"{recipe.weights[member]:.3f}", f"{scaling.slope:.2f}", *(f"{o:+.2f}" for o in scaling.offsets)


@ensemble_app.command("eval")
def ensemble_eval(
    folder: Folder,
    member: Only = None,
    keep_weak: Weak = False,
    trained: Annotated[Path | None, typer.Option(help="Folder of `train`; FOLDER/trained by default.")] = None,
    page: Annotated[Path | None, typer.Option(help="HTML page to write; FOLDER/report.html by default.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a trained ensemble on the half that chose nothing, and write a page about it."""
    from dataclasses import asdict

    from labwright.eval.ensemble_page import Cost, ensemble_page
    from labwright.models.topla.pool import compare_pool, read_trained

    pool = _pool(folder, member, keep_weak)
    built = read_trained(pool, trained or folder / TRAINED)
    compared = compare_pool(pool, built)
    found = pool.collected
    costs = {m: Cost(found.seconds[m], found.tokens[m], found.unanswered[m]) for m in pool.members}
    place = page or folder / PAGE
    title = folder.resolve().name
    html = ensemble_page(title, pool.members, built, compared, costs, len(pool.choosing[1]), pool.excluded)
    place.write_text(html, encoding="utf-8")
    if as_json:
        shown = {m: asdict(cost) for m, cost in costs.items()}
        emit({"page": str(place.resolve()), "members": list(built.members), **_figures(compared), "costs": shown})
        return
    _show_figures(compared)
    typer.echo(f"page: {place}")


def _figures(compared: Compared) -> dict[str, Any]:
    qualities = {**compared.members, **compared.joined}
    return {
        "n": compared.n,
        "majority": compared.majority,
        "ensemble": compared.ensemble,
        "best_member": compared.best_member,
        "gain": dict(zip(("value", "low", "high"), compared.gain, strict=True)),
        "calibration_error": compared.calibration.error,
        "answers": {
            name: {"accuracy": q.accuracy, "low": q.low, "high": q.high, "macro_f1": q.macro_f1}
            for name, q in qualities.items()
        },
        "unscaled_accuracy": {name: q.accuracy for name, q in compared.unscaled.items()},
    }


def _show_figures(compared: Compared) -> None:
    def row(name: str, note: str) -> tuple[str, str, str, str, str]:
        q = {**compared.members, **compared.joined}[name]
        return name, f"{q.accuracy:.3f}", f"{q.low:.3f} to {q.high:.3f}", f"{q.macro_f1:.3f}", note

    notes = {compared.best_member: "best member of the choosing half", compared.ensemble: "the ensemble"}
    names = [*compared.members, *compared.joined]
    table(("answers", "accuracy", "95 % interval", "macro-F1", ""), [row(n, notes.get(n, "")) for n in names])
    value, low, high = compared.gain
    typer.echo(
        f"{compared.n} questions that chose nothing; the most frequent answer is right on {compared.majority:.3f}; "
        f"ensemble over best member {value:+.3f} [{low:+.3f}, {high:+.3f}]"
    )


@ensemble_app.command("use")
def ensemble_use(
    folder: Annotated[Path, typer.Argument(help="Folder of `train`, or the one that holds it as `trained`.")],
    name: Annotated[str, typer.Option(help="Name of the backend.")] = "ensemble",
    fuser: Annotated[str, typer.Option(help="Member that writes open answers.")] = "",
    config: Annotated[Path, typer.Option(help="labwright.toml to add it to.")] = Path("labwright.toml"),
    as_json: Json = False,
) -> None:
    """Add a trained ensemble to labwright.toml as a backend."""
    from labwright.config import load_config
    from labwright.errors import WrongUse
    from labwright.models.topla.recipe import RECIPE, read_recipe

    place = folder if (folder / RECIPE).is_file() or not (folder / TRAINED).is_dir() else folder / TRAINED
    recipe = read_recipe(place)
    before = load_config(config) if config.is_file() else load_config(environment={})
    if name in before.backends:
        raise WrongUse(f"{config}: [backends.{name}] is there already; give another --name, or remove it")
    for one in recipe.members:
        before.table_of(one)
    if fuser and fuser not in recipe.members:
        raise WrongUse(f"--fuser {fuser}: no member; members are {', '.join(recipe.members)}")
    fields = {"kind": "topla", "model": str(place.resolve()), **({"fuser": fuser} if fuser else {})}
    lines = [f"[backends.{_key(name)}]", *(f"{k} = {json.dumps(v)}" for k, v in fields.items())]
    _append(config, "\n".join(lines) + "\n")
    load_config(config, environment={})
    if as_json:
        emit({"config": str(config.resolve()), "name": name, "table": fields, "members": list(recipe.members)})
        return
    typer.echo(f"{config}: [backends.{name}] added: {', '.join(recipe.members)}, joined by {recipe.joining}")
    typer.echo(f'give it a role under [roles], such as judge = "{name}", or try `labwright models chat {name}`')


def _key(name: str) -> str:
    """A TOML key; quoted where it has to be."""
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else json.dumps(name)


def _append(config: Path, text: str) -> None:
    there = config.read_text(encoding="utf-8") if config.is_file() else ""
    gap = "" if not there else "\n" if there.endswith("\n") else "\n\n"
    scratch = config.with_name(f"{config.name}.new")
    scratch.write_text(there + gap + text, encoding="utf-8")
    scratch.replace(config)


def _pool(folder: Path, members: Sequence[str] | None, keep_weak: bool) -> Pool:
    from labwright.models.extras import require

    require("local", "choosing an ensemble")
    from labwright.models.topla.pool import read_pool

    return read_pool(folder, members=members or (), keep_weak=keep_weak)


def _say_excluded(pool: Pool) -> None:
    for name, reason in pool.excluded.items():
        typer.echo(printable(f"not in the pool: {name}, {reason}"), err=True)


def _weights(score: str) -> Weights:
    from labwright.errors import WrongUse
    from labwright.models.topla.pruning import Weights

    try:
        diversity, accuracy, size = (float(part) for part in score.split(","))
    except ValueError as error:
        raise WrongUse(f"--score {score!r}: three numbers, diversity,accuracy,size, such as {SCORE}") from error
    if not all(0 <= w < float("inf") for w in (diversity, accuracy, size)) or diversity + accuracy == 0:
        raise WrongUse(f"--score {score!r}: numbers of 0 or more, and not diversity and accuracy both 0")
    return Weights(diversity, accuracy, size)
