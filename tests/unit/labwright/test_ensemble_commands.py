"""`labwright models ensemble` from the command line: the whole way, and every input that nothing sound can come of."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labwright.cli import app
from labwright.config import load_config
from labwright.errors import LabwrightError
from labwright.models.topla.recipe import read_recipe
from labwright.workflows.backends import OpenBackends

LABELS = ["yes", "no", "maybe"]
SKILL = {"a": 0.75, "b": 0.75, "c": 0.7, "weak": 0.0}


def run(*given: str | Path, fails: int = 0):
    """What a command prints as JSON, or the one line that it fails with."""
    done = CliRunner().invoke(app, ["models", "ensemble", *map(str, given), *([] if fails else ["--json"])])
    if not fails:
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)
    assert isinstance(done.exception, LabwrightError), done.output
    assert done.exception.exit_code == fails
    assert "\n" not in str(done.exception)
    return str(done.exception)


def write(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def questions(n=40, answers=LABELS):
    rng = random.Random(0)
    return [
        {"id": f"q{i}", "question": f"Does drug {i} help?", "labels": LABELS, "answer": rng.choice(answers)}
        for i in range(n)
    ]


def scripts(folder: Path, rows, skill=SKILL) -> None:
    """labwright.toml with scripted backends that know so many of the answers."""
    tables = []
    for number, (name, share) in enumerate(skill.items()):
        rng = random.Random(number)
        rules = []
        for row in rows:
            said = row["answer"] if rng.random() < share else rng.choice(LABELS) if share else "maybe"
            odds = {label: 0.6 if label == said else 0.2 for label in LABELS}
            rules.append({"match": row["question"].replace("?", r"\?"), "probabilities": odds})
        (folder / f"{name}.json").write_text(json.dumps({"rules": rules}))
        tables.append(f'[backends.{name}]\nkind = "scripted"\nscript = "{folder / name}.json"\n')
    (folder / "labwright.toml").write_text("".join(tables))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def collected(place, rows=None, skill=SKILL):
    rows = rows or questions()
    scripts(place, rows, skill)
    members = [part for name in skill for part in ("--member", name)]
    return run("collect", write(place / "q.jsonl", rows), *members)


def test_from_questions_to_a_backend_that_answers(place):
    assert [m["member"] for m in collected(place)["members"]] == list(SKILL)
    pruned = run("prune", "ensemble", "--top", "2")
    assert list(pruned["excluded"]) == ["weak"]
    assert "no more than the most frequent answer" in pruned["excluded"]["weak"]
    assert len(pruned["subsets"]) == 2
    assert pruned["looked_at"] == 4
    trained = run("train", "ensemble")
    assert trained["members"] == pruned["subsets"][0]["members"]
    found = run("eval", "ensemble")
    assert found["n"] + trained["chosen_on"] == 40
    assert found["answers"][found["ensemble"]]["accuracy"] > found["majority"]
    assert all(cost["tokens"] > 0 for cost in found["costs"].values())
    page = (place / "ensemble" / "report.html").read_text()
    assert "Not in the pool: weak (right on" in page
    used = run("use", "ensemble", "--name", "all of them")
    assert used["members"] == trained["members"]
    backend = OpenBackends(load_config(environment={})).alone("all of them")
    assert backend.facts["trained"] == read_recipe(place / "ensemble" / "trained").model_dump(mode="json")
    assert "is there already" in run("use", "ensemble", "--name", "all of them", fails=2)


def test_a_member_that_says_one_answer_whatever_is_asked_takes_part_once_it_is_set_right(place):
    rows = questions(90)
    collected(place, rows, {"a": 0.7, "b": 0.7})
    path = place / "ensemble" / "scores" / "b.jsonl"
    answers = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        no, yes, maybe = (row["probabilities"][i] / 100 for i in (1, 0, 2))
        answers.append({**row, "probabilities": [yes, no, maybe + 0.99]})  # the right answer still stands out, of two
    path.write_text("".join(f"{json.dumps(a)}\n" for a in answers))
    trained = run("train", "ensemble")
    assert trained["excluded"] == {}
    assert set(trained["scalings"]["b"]) == {"slope", "offsets"}
    found = run("eval", "ensemble")
    assert found["unscaled_accuracy"]["b"] < 0.4 < found["answers"]["b"]["accuracy"]
    assert "as given" in (place / "ensemble" / "report.html").read_text()


def test_collecting_again_asks_nobody_and_another_model_by_that_name_is_refused(place):
    collected(place, questions(6))
    before = (place / "ensemble" / "scores" / "a.jsonl").read_bytes()
    run("collect", "q.jsonl", "--member", "a")
    assert (place / "ensemble" / "scores" / "a.jsonl").read_bytes() == before
    toml = place / "labwright.toml"
    toml.write_text(toml.read_text().replace("a.json", "b.json", 1))
    assert "use another name" in run("collect", "q.jsonl", "--member", "a", fails=2)
    assert "no backend is called z" in run("collect", "q.jsonl", "--member", "z", fails=2)
    assert "holds answers to other questions" in run(
        "collect", write(place / "other.jsonl", questions(9)), "--member", "b", fails=2
    )


def test_what_the_ensemble_was_trained_on_must_be_there_when_it_is_measured(place):
    collected(place)
    run("train", "ensemble", "--member", "a", "--member", "b")
    assert "trained on other answers" in run("eval", "ensemble", fails=2)
    run("eval", "ensemble", "--member", "a", "--member", "b")
    path = place / "ensemble" / "scores" / "b.jsonl"
    path.write_text(path.read_text().replace("0.6", "0.59"))
    assert "trained on other answers" in run("eval", "ensemble", "--member", "a", "--member", "b", fails=2)
    assert "no ensemble there" in run("eval", "ensemble", "--trained", str(place), fails=4)


@pytest.mark.parametrize(
    ("rows", "skill", "words"),
    [
        (questions(), {"a": 1.0}, "at least two members, 1 can take part"),
        (questions(), {"a": 0.8, "weak": 0.0}, "at least two members, 1 can take part; weak: right on"),
        (questions(3), dict.fromkeys("abcdef", 1.0), "fewer than 6 members"),
        (questions(answers=["yes"]), {"a": 0.9, "b": 0.9}, "at least two members, 0 can take part"),
        (questions(1), {"a": 1.0, "b": 1.0}, "cannot be halved"),
        ([*questions(), {**questions()[0], "id": "again"}], {"a": 0.9, "b": 0.9}, "occur twice"),
    ],
    ids=["one member", "one strong member", "fewer questions than members", "one answer", "one question", "a double"],
)
def test_too_little_to_choose_on_is_one_clear_line(place, rows, skill, words):
    collected(place, rows, skill)
    assert words in run("prune", "ensemble", fails=2)


def test_one_answer_alone_teaches_nothing_even_to_weak_members(place):
    collected(place, questions(answers=["yes"]), {"a": 0.9, "b": 0.9})
    assert "one label" in run("train", "ensemble", "--keep-weak", fails=2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: {**row, "probabilities": [float("nan"), 0.5, 0.5]}, "not numbers"),
        (lambda row: {**row, "labels": ["yes", "no", "perhaps"]}, "answered other labels"),
        (lambda row: {**row, "id": "gone"}, "have no answer"),
        (lambda row: {**row, "prompt": "another"}, "answers to different prompts"),
        (lambda row: {**row, "probabilities": [1.0]}, "answered other labels"),
        (lambda row: {"id": row["id"]}, r"a line is no answer (backend: Field required)"),
    ],
    ids=["NaN", "other labels", "an answer is absent", "another prompt", "too few", "no answer"],
)
def test_answers_that_do_not_fit_are_refused(place, change, words):
    collected(place, questions(6), {"a": 0.9, "b": 0.9})
    path = place / "ensemble" / "scores" / "b.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write(path, [change(rows[0]), *rows[1:]])
    assert words in run("prune", "ensemble", fails=2)


@pytest.mark.parametrize("score", ["1,2", "a,b,c", "-1,1,0", "0,0,0", "nan,1,0"])
def test_scores_that_mean_nothing_are_refused(place, score):
    collected(place, questions(6), {"a": 1.0, "b": 1.0})
    assert "--score" in run("prune", "ensemble", "--score", score, fails=2)
