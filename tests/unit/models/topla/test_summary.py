"""TOPLA-Summary: its sequence and mask as specified, a tiny model that learns to pick an answer, and what is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from labwright.cli import app
from labwright.config import BackendConfig, Config, load_config
from labwright.errors import HashMismatch, ModelMissing, WrongUse
from labwright.models.scripted import ScriptedChat
from labwright.models.topla.chat import EnsembleChat
from labwright.models.topla.drafts import Drafted, parted, read_drafts, rouge_1
from labwright.models.topla.members import Member
from labwright.models.topla.summary import SummarySettings, _batch, load_summary, summary_scores, train_summary
from labwright.models.topla.summary_text import global_mask, last_sentences, marks, own_tokenizer, source_ids
from labwright.workflows.backends import OpenBackends

TINY = SummarySettings(
    vocabulary=300, width=32, layers=1, window=8, source_tokens=64, target_tokens=8, learning_rate=3e-3, batch=8,
    epochs=25, patience=25,
)  # fmt: skip


def drafts(n=160):
    """Member `a` is always right, member `b` is right by chance."""
    rng = random.Random(0)
    rows = []
    for i in range(n):
        said = {name: rng.choice(["yes", "no"]) for name in "ab"}
        rows.append(Drafted(id=str(i), question=rng.choice(["drug", "gene"]), answers=said, target=said["a"]))
    return rows


@pytest.fixture(scope="module")
def trained():
    rows = drafts()
    seen = []
    made = train_summary(rows[:120], rows[120:140], TINY, lambda *progress: seen.append(progress))
    return made, rows[140:], seen


def test_the_mask_of_the_specification():
    ids = [0, 50265, 100, 101, 102, 50266, 50267, 7, 8, 50268, 50269, 9, 50270, 2]
    assert global_mask(ids, 50265, 50266) == [0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_marks_follow_the_vocabulary_in_order_and_cannot_be_spelled():
    words = own_tokenizer(["Does it help? Yes."], 2, 300)
    first = len(words) - 6
    assert words.convert_tokens_to_ids(marks(2)) == list(range(first, first + 6))
    ids = source_ids(words, "help [EOQ]?", ["</s> yes", ""], 60)
    assert [i for i in ids if i >= first] == list(range(first, first + 6))
    assert ids.count(words.eos_token_id) == 1
    assert ids[0] == words.bos_token_id


def test_long_texts_fit_and_answers_keep_their_end():
    words = own_tokenizer(["a b c d e f g h. Last."], 2, 300)
    ids = source_ids(words, "q " * 500, ["a " * 500 + "yes", "b"], 64)
    assert len(ids) <= 64
    assert "yes" in words.decode(ids)
    with pytest.raises(ValueError, match="hold no question"):
        source_ids(words, "q", ["a", "b"], 10)


def test_sentences_are_the_last_six_with_their_stops_unless_the_released_way_is_asked_for():
    text = " ".join(f"S{i}." for i in range(9))
    assert last_sentences(text) == "S3. S4. S5. S6. S7. S8."
    assert last_sentences("#### a.b", released=True) == " ab"
    assert last_sentences(text, released=True) == " S4 S5 S6 S7 S8"


def test_it_learns_which_member_to_believe_and_writes_it_freely(trained):
    made, unseen, seen = trained
    free = [str(made.write(r.question, r.answers).text) for r in unseen]
    assert free == [r.target for r in unseen]
    assert any(r.answers["a"] != r.answers["b"] for r in unseen)
    assert seen[-1][2] < seen[0][2]
    usage = made.write(unseen[0].question, unseen[0].answers).usage_metadata
    assert usage["input_tokens"] == len(made.source(unseen[0].question, unseen[0].answers))
    assert 0 < usage["output_tokens"] <= TINY.target_tokens + 1


def test_teacher_forcing_gives_each_token_the_right_ones_before_it(trained):
    made, unseen, _ = trained
    row = unseen[0].model_copy(update={"target": "no yes gene"})
    batch = _batch(made, [row])
    labels = batch.pop("labels")
    before = torch.cat([torch.tensor([[made.tokenizer.bos_token_id]]), labels[:, :-1]], dim=1)
    with torch.inference_mode():
        said = made.model(**batch, decoder_input_ids=before).logits.argmax(dim=-1)[0]
    assert made.teacher_forced(row) == made.tokenizer.decode(said, skip_special_tokens=True).strip()
    assert labels[0, -1] == made.tokenizer.eos_token_id


def test_the_question_is_seen_from_everywhere_and_padding_changes_nothing(trained):
    made, unseen, _ = trained
    short, long = unseen[0], unseen[1].model_copy(update={"question": "gene " * 20})
    together, alone = _batch(made, [short, long]), _batch(made, [short])
    assert together["global_attention_mask"].sum(dim=1).tolist()[0] == int(alone["global_attention_mask"].sum())
    with torch.inference_mode():
        both, one = made.model(**together).logits, made.model(**alone).logits
    assert torch.allclose(both[0, : one.shape[1]], one[0], atol=1e-4)


def test_saved_and_read_back_it_writes_the_same_and_refuses_others(trained, tmp_path):
    made, unseen, _ = trained
    made.save(tmp_path / "s", {"free_rouge_1": 0.5})
    again = load_summary(tmp_path / "s", members=["b", "a"])
    row = unseen[0]
    assert again.write(row.question, row.answers).text == made.write(row.question, row.answers).text
    with pytest.raises(ModelMissing, match="trained on answers of a, b, not of a, c"):
        load_summary(tmp_path / "s", members=["a", "c"])
    with pytest.raises(ModelMissing, match="no summary model there"):
        load_summary(tmp_path, members=["a", "b"])
    weights = tmp_path / "s" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(HashMismatch, match="not the weights"):
        load_summary(tmp_path / "s", members=["a", "b"])


def test_a_users_base_is_trained_on_and_must_be_one(trained, tmp_path):
    made, unseen, _ = trained
    made.save(tmp_path / "base", {})
    settings = TINY.model_copy(update={"base": str(tmp_path / "base"), "epochs": 1})
    tuned = train_summary(unseen[:4], unseen[4:6], settings)
    assert tuned.members == ("a", "b")
    with pytest.raises(WrongUse, match="lower source_tokens"):
        train_summary(unseen[:4], unseen[4:6], settings.model_copy(update={"source_tokens": 4096}))
    with pytest.raises(ModelMissing, match="no LED checkpoint"):
        train_summary(unseen[:4], unseen[4:6], settings.model_copy(update={"base": str(tmp_path)}))


def test_figures_name_the_free_score_the_forced_one_and_each_members(trained):
    made, unseen, _ = trained
    assert summary_scores(made, unseen) == {
        "free_rouge_1": [1.0] * len(unseen),
        "teacher_forced_rouge_1": [1.0] * len(unseen),
        "member_rouge_1:a": [1.0] * len(unseen),
        "member_rouge_1:b": [float(r.answers["b"] == r.target) for r in unseen],
    }


def test_the_ensemble_writes_with_it_unless_a_schema_is_asked_for(trained):
    made = trained[0]
    rules = [{"match": "drafts of the answer", "reply": "fused"}]
    members = [
        Member(n, ScriptedChat(rules=[*rules, {"match": ".", "reply": r}])) for n, r in (("a", "yes"), ("b", "no"))
    ]
    chat = EnsembleChat(members=members, summary=made)
    for message in (chat.invoke("drug"), next(chat.stream("drug"))):
        assert (message.content, message.response_metadata["ensemble"]["decided_by"]) == ("yes", "summary model")
        assert message.usage_metadata["input_tokens"] > 2
    assert chat.invoke("drug", response_format={"type": "text"}).content == "fused"


def test_from_open_questions_to_a_folder_for_a_backend(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": str(i), "question": f"Drug {i}?", "target": "It helps.", "context": "A trial."} for i in range(20)]
    Path("q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for name, rules in (
        ("a", [{"match": "Drug", "reply": {"answer": "It helps. "}}]),
        ("b", [{"match": ".", "reply": "no"}]),
    ):
        Path(f"{name}.json").write_text(json.dumps({"rules": rules, "log_path": f"{name}.log"}))
        with Path("labwright.toml").open("a") as out:
            out.write(f'[backends.{name}]\nkind = "scripted"\nscript = "{name}.json"\n')

    def run(*given):
        return CliRunner().invoke(app, ["models", "ensemble", *given, "--json"])

    drafting = ("draft", "q.jsonl", "--member", "a", "--member", "b", "--out", "d")
    done = run(*drafting)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["without_answer"] == {"a": 0, "b": 20}  # b never gives what the schema asks for
    assert read_drafts(Path("d/drafts.jsonl"))[3].answers == {"a": "It helps.", "b": ""}
    asked = Path("a.log").read_bytes()
    assert run(*drafting).exit_code == 0
    assert Path("a.log").read_bytes() == asked
    done = run("summary", "d/drafts.jsonl", "--out", "s", "--epochs", "1")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["figures"]["member_rouge_1:a"] == 1.0
    tables = load_config(environment={}).backends
    ensemble = BackendConfig(kind="topla", members=("a", "b"), summary="s")
    backend = OpenBackends(Config(backends={**tables, "e": ensemble})).open("e")
    assert (backend.computes_here, backend.facts["summary"]["model"]) == (True, "s")
    again = run("summary", "d/drafts.jsonl", "--out", "s")
    assert isinstance(again.exception, WrongUse)
    assert "is not empty" in str(again.exception)


ROW = {"id": "1", "question": "q", "answers": {"a": "x", "b": "y"}, "target": "t"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([ROW, ROW], "ids occur twice"),
        ([ROW, {**ROW, "id": "2", "question": " Q"}], "questions occur twice"),
        ([ROW, {**ROW, "id": "2", "question": "r", "answers": {"a": "x"}}], "other members than 1"),
        ([{**ROW, "target": ""}], "line 1: target"),
        ([], "holds no drafts"),
    ],
)
def test_files_that_are_no_drafts_are_refused(tmp_path, rows, words):
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(WrongUse, match=words):
        read_drafts(path)


def test_parts_share_no_row_and_too_few_are_refused():
    rows = drafts(20)
    parts = parted(rows)
    assert [len(p) for p in parts] == [14, 3, 3]
    assert sorted(r.id for p in parts for r in p) == sorted(r.id for r in rows)
    with pytest.raises(WrongUse, match="too few"):
        parted(rows[:3])


def test_rouge_1_by_hand():
    assert rouge_1("the the cat", "the cat sat") == pytest.approx(2 * 2 / 6)
    assert rouge_1("", "x") == 0.0
    assert rouge_1("A b.", "a B") == 1.0
