"""The PubMedQA ensemble with members that are scripted or tiny: resumed, none of the training questions asked, figures from rows."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_models

from labwright.config import BackendConfig, Config
from labwright.errors import SomethingMissing
from labwright.eval.suites import ensemble_pubmedqa_data, ensemble_summary
from labwright.eval.suites.ensemble_figures import figures_of
from labwright.eval.suites.ensemble_members import MEMBERS, MemberPlan, Tuning, examples, settings, tune
from labwright.eval.suites.ensemble_pubmedqa import ENSEMBLE, MEMBER, join, measure
from labwright.eval.suites.ensemble_pubmedqa_data import LABELS, pubmedqa
from labwright.eval.suites.rows import Rows
from labwright.models.checkpoints import load_checkpoint
from labwright.models.topla.collected import closed_prompt, collect, load, prepare
from labwright.models.topla.pool import read_pool
from labwright.workflows.ensembles import member_session


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Made-up questions in PubMedQA's form: 40 that are asked, 10 that are trained on."""
    rng = random.Random(0)
    entries = {
        str(1000 + i): {
            "QUESTION": f"Does drug {i} help?",
            "CONTEXTS": ["Begin " + "word " * 200, f"Drug {i} was given."],
            "LONG_ANSWER": "Drugs help patients.",
            "final_decision": rng.choices(LABELS, (5, 3, 2))[0],
        }
        for i in range(50)
    }
    (tmp_path / "pubmedqa").mkdir()
    (tmp_path / "pubmedqa" / "pqal_train.json").write_text(json.dumps(entries))
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(tmp_path))
    monkeypatch.setattr(ensemble_pubmedqa_data, "ASKED", 40)
    monkeypatch.chdir(tmp_path)
    return pubmedqa()


@dataclass(frozen=True)
class Scripted(MemberPlan):
    """A member that follows a script."""

    script: str = ""

    def backend(self, home: Path) -> BackendConfig:
        return BackendConfig(kind="scripted", script=self.script)


def scripted(folder: Path, name: str, skill: float, questions) -> Scripted:
    rng = random.Random(name)
    rules = []
    for question in questions:
        said = question.answer if rng.random() < skill else rng.choice(LABELS)
        odds = {label: 0.6 if label == said else 0.2 for label in LABELS}
        rules.append({"match": question.question.replace("?", r"\?"), "probabilities": odds})
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"rules": rules, "log_path": str(folder / f"{name}.log")}))
    return Scripted(name, name, 1e6, None, str(path))


def test_the_parts_share_no_question_and_contexts_end_where_the_abstract_ends(data):
    assert (len(data.asked), len(data.trained_on)) == (40, 10)
    assert not {q.id for q in data.asked} & {q.id for q in data.trained_on}
    assert all(q.context.endswith("was given.") for q in data.asked)
    assert {len(q.context.split()) for q in data.asked} == {100}
    assert pubmedqa() == data


def test_the_pool_has_four_members_of_which_two_are_tuned():
    assert len(MEMBERS) >= 4
    assert sum(m.tuning is not None for m in MEMBERS) >= 2


def test_missing_data_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(tmp_path))
    with pytest.raises(SomethingMissing, match="LABWRIGHT_TEST_DATA"):
        pubmedqa()


def test_members_are_asked_once_and_the_figures_come_from_the_rows(data, tmp_path):
    rows, said = Rows(tmp_path / "rows.jsonl"), []
    pool = [scripted(tmp_path, n, s, data.asked) for n, s in (("a", 0.8), ("b", 0.8), ("c", 0.75), ("weak", 0.0))]
    measure(rows, said.append, pool, tmp_path / "home")
    assert [r["name"] for r in rows.all() if r["kind"] == MEMBER] == ["a", "b", "c", "weak"]
    asked = (tmp_path / "a.log").read_text().splitlines()
    assert len(asked) == 40
    assert not any(q.question in text for text in asked for q in data.trained_on)
    measure(rows, said.append, pool, tmp_path / "home")
    assert len((tmp_path / "a.log").read_text().splitlines()) == 40
    assert said[0].startswith("PubMedQA: roughly")
    row = next(r for r in rows.all() if r["kind"] == ENSEMBLE)
    assert row["chosen_on"] + len(row["right"]["a"]) == 40
    assert set(row["excluded"]) == {"weak"}
    figures = {f["name"]: f for f in figures_of(rows.all(), "raw")}
    right = row["right"][row["best_member"]]
    assert figures["pubmedqa_best_member_acc"]["value"] == round(right.count("1") / len(right), 4)
    ours = figures["pubmedqa_ensemble_acc"]
    assert ours["low"] <= ours["value"] <= ours["high"]
    assert figures["pubmedqa_gain"]["value"] == pytest.approx(
        ours["value"] - figures["pubmedqa_best_member_acc"]["value"], abs=1e-4
    )
    assert figures["pubmedqa_members"]["value"] == 3
    assert "not weak: right on" in figures["pubmedqa_members"]["note"]
    assert figures["pubmedqa_ensemble_tokens"]["value"] == pytest.approx(
        sum(row["tokens"][m] for m in row["members"]), abs=0.01
    )


def test_an_interrupted_member_goes_on_and_the_page_is_written_where_there_is_a_place(data, tmp_path):
    home = tmp_path / "home"
    pool = [scripted(tmp_path, n, s, data.asked) for n, s in (("a", 0.8), ("b", 0.8))]
    measure(Rows(tmp_path / "rows.jsonl"), print, pool, home)
    path = home / "scores" / "b.jsonl"
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:15]))
    (tmp_path / "b.log").unlink()
    measure(Rows(tmp_path / "other.jsonl"), print, pool, home)
    assert len((tmp_path / "b.log").read_text().splitlines()) == 25
    (tmp_path / "pages").mkdir()
    join(read_pool(home), tmp_path / "pages" / "p.html")
    assert "PubMedQA" in (tmp_path / "pages" / "p.html").read_text()


def test_a_member_is_tuned_on_the_prompt_that_it_is_asked(data, tmp_path):
    base = tiny_models.save(tmp_path / "base")
    plan = MemberPlan("tuned", str(base), 1e5, Tuning(("1.mlp.gate_proj",), 1.0, 1e-3, bagged=True))
    words = load_checkpoint(str(base)).tokenizer
    made = examples(data.trained_on, words, plan)
    assert len(made.train) == len(data.trained_on)
    assert len({e.id.split(":")[0] for e in made.train}) < len(data.trained_on)  # drawn with replacement
    question = next(q for q in data.trained_on if q.id == made.train[0].id.split(":")[0])
    assert closed_prompt(question).user in made.train[0].prompt
    assert made.train[0].prompt.endswith("<|im_start|>assistant\n")
    assert made.train[0].answer == question.answer
    assert settings(plan, "<|im_end|>").stop_marker == "<|im_end|>"
    said = []
    record = tune(plan, data.trained_on[:2], tmp_path / "adapters", said.append)
    assert record["data"]["examples"] == 2
    assert said
    before = len(said)
    assert tune(plan, data.trained_on[:2], tmp_path / "adapters", said.append) == record
    assert len(said) == before
    table = plan.backend(tmp_path / "adapters")
    assert (table.kind, Path(table.adapter, "adapter_config.json").is_file()) == ("local", True)
    prepare(tmp_path / "home", data.asked[:2])
    with member_session(Config(backends={"tuned": table}), "tuned") as session:
        collect(tmp_path / "home", "tuned", session)
    assert "+tuned@" in load(tmp_path / "home").models["tuned"]


def test_the_summary_models_free_and_forced_scores_stand_beside_members_and_fuser(data, tmp_path):
    answers = {"a": "Drugs help patients.", "b": "Nothing is known."}
    members = {}
    for name, answer in answers.items():
        rules = [
            {"match": "drafts of the answer", "reply": {"answer": "Drugs help."}},
            {"match": ".", "reply": {"answer": answer}},
        ]
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"rules": rules, "log_path": str(tmp_path / f"{name}.log")}))
        members[name] = BackendConfig(kind="scripted", script=str(path))
    rows = Rows(tmp_path / "rows.jsonl")
    for _ in range(2):
        ensemble_summary.measure(rows, lambda text: None, members, tmp_path / "open", epochs=1)
    (row,) = rows.all()
    assert row["trained_on"] + row["epoch_chosen_on"] + len(row["scores"]["free_rouge_1"]) == 50
    assert len((tmp_path / "b.log").read_text().splitlines()) == 50 + 8
    figures = {f["name"]: f for f in figures_of(rows.all(), "raw")}
    assert figures["summary_member_rouge_1_a"]["value"] == 1.0
    assert figures["summary_fuser_rouge_1"]["value"] == 0.8
    assert "no result" in figures["summary_teacher_forced_rouge_1"]["note"]
    assert 0 <= figures["summary_free_rouge_1"]["value"] <= 1
