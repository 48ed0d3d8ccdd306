"""Examples, their files, their templates and the labels that a loss is computed on."""

from __future__ import annotations

import json

import pytest
import tiny_models
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.errors import TrainingRefused
from labwright.models.training.alignment_data import (
    mixed_set,
    property_labels,
    read_alignment,
    read_truthfulqa,
    split_by_question,
)
from labwright.models.training.config import TrainingConfig
from labwright.models.training.encoding import MASKED, collate, encode, encode_example
from labwright.models.training.examples import Example, TrainingData, check, duplicates, question_key, read_examples
from labwright.models.training.order import Endless, Plan, epoch_order
from labwright.models.training.templates import alpaca_prompt, render

TOKENIZER = tiny_models.tokenizer()
TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40).filter(str.strip)


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_two_alpaca_prompts_are_those_of_the_paper():
    assert alpaca_prompt("Add {input} to {prompt}") == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nAdd {input} to {prompt}\n\n### Response:"
    )
    assert alpaca_prompt("Sum", "1 {prompt}") == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request."
        "\n\n### Instruction:\nSum\n\n### Input:\n1 {prompt}\n\n### Response:"
    )


@given(
    prompt=TEXT,
    answer=TEXT,
    about=TEXT | st.just(""),
    template=st.sampled_from(["alpaca", "chat", "none"]),
    longest=st.integers(2, 200),
)
@settings(max_examples=150, deadline=None)
def test_labels_are_the_answer_and_nothing_but_the_answer(prompt, answer, about, template, longest):
    config = TrainingConfig(template=template, max_tokens=longest)
    row, cut = encode_example(Example(prompt, answer, input=about), TOKENIZER, config)
    asked, said, special = render(Example(prompt, answer, input=about), TOKENIZER, config)
    prompt_ids = TOKENIZER(asked, add_special_tokens=special)["input_ids"]
    answer_ids = TOKENIZER(said, add_special_tokens=False)["input_ids"]
    assert list(row.input_ids) == (prompt_ids + answer_ids)[:longest]
    kept = max(0, longest - len(prompt_ids))
    assert [label for label in row.labels if label != MASKED] == answer_ids[:kept]
    assert all(label == MASKED for label in row.labels[: len(prompt_ids)])
    assert all(label in (MASKED, token) for label, token in zip(row.labels, row.input_ids, strict=True))
    assert cut == (len(prompt_ids) + len(answer_ids) > longest)
    if template != "chat":
        assert said == answer + "###END"
    else:
        assert said.strip().startswith(answer.strip())
        assert said.endswith("<|im_end|>")


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_padding_is_masked_in_attention_and_in_labels(pairs):
    config = TrainingConfig(template="none", max_tokens=400)
    rows = [encode_example(Example(p, a), TOKENIZER, config)[0] for p, a in pairs]
    batch = collate(rows, pad_id=0)
    assert batch.input_ids.shape == (len(rows), max(len(r.input_ids) for r in rows))
    for i, row in enumerate(rows):
        n = len(row.input_ids)
        assert tuple(batch.input_ids[i, :n].tolist()) == row.input_ids
        assert tuple(batch.labels[i, :n].tolist()) == row.labels
        assert batch.attention_mask[i].tolist() == [1] * n + [0] * (batch.input_ids.shape[1] - n)
        assert (batch.labels[i, n:] == MASKED).all()
    filler = collate(rows[:1], pad_id=0, filler=True)
    assert (filler.real, filler.answer_tokens()) == (0, 0)


def test_an_answer_that_is_cut_off_entirely_is_refused_or_counted():
    fits, not_ = Example("a", "yes", id="fits"), Example("word " * 60, "yes", id="long")
    config = TrainingConfig(template="none", max_tokens=30)
    with pytest.raises(TrainingRefused, match="max_tokens = 30 for long"):
        encode([fits, not_], TOKENIZER, config)
    dropping = config.model_copy(update={"too_long": "drop"})
    encoding = encode([fits, not_], TOKENIZER, dropping)
    assert [r.id for r in encoding.rows] == ["fits"]
    assert encoding.dropped == ("long",)
    with pytest.raises(TrainingRefused, match="every label is masked"):
        encode([not_], TOKENIZER, dropping)
    assert encode([Example("a", "word " * 60)], TOKENIZER, config).truncated == 1


def test_a_chat_template_that_rewrites_answers_is_refused():
    template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    with pytest.raises(TrainingRefused, match="rewrites answers"):
        render(Example("a", "yes"), tiny_models.tokenizer(template=template), TrainingConfig(template="chat"))
    with pytest.raises(TrainingRefused, match="no chat template"):
        render(Example("a", "yes"), tiny_models.tokenizer(template=None), TrainingConfig(template="chat"))


def test_files_say_which_line_is_wrong(tmp_path):
    path = write(
        tmp_path / "x.jsonl", [{"prompt": "a", "answer": "b\u2028c"}, {"prompt": "a", "input": "t", "answer": "d"}]
    )
    first, second = read_examples(path)
    assert (first.id, first.answer, second.input) == ("x.jsonl:1", "b\u2028c", "t")
    path.write_text(
        '{"prompt": "a", "answer": "b"}\n\n{"prompt": "a"}\n[1]\n{"prompt": "a", "answer": 3}\n{"q": "a"}\n{'
    )
    with pytest.raises(TrainingRefused) as raised:
        read_examples(path)
    for said in (
        "line 3: answer missing",
        "line 4: not a JSON object",
        "line 5: answer must be text",
        "line 6: unknown field q",
        "line 7: not JSON",
    ):
        assert said in str(raised.value)
    path.write_text("\n")
    with pytest.raises(TrainingRefused, match="no example"):
        read_examples(path)


def test_empty_and_leaking_data_are_refused():
    one = Example("What is a gene?", "A stretch of DNA.", id="one")
    with pytest.raises(TrainingRefused, match="no training example"):
        check(TrainingData(()))
    with pytest.raises(TrainingRefused, match="one has an empty answer"):
        check(TrainingData((Example("a", " ", id="one"),)))
    with pytest.raises(TrainingRefused, match="1 of 1 held-out questions are also trained on, such as 'two'"):
        check(TrainingData((one,), (Example("what  IS a gene?\n", "Something else.", id="two"),)))
    check(TrainingData((one,), (Example("What is a gene?", "x", input="in yeast"),)))
    assert duplicates([one, one, Example("what is a GENE?", "A stretch of  DNA."), Example("a", "b")]) == 2


def test_the_hash_of_data_sees_every_field_and_the_split():
    one, two = Example("a", "b"), Example("c", "d")
    hashes = {
        TrainingData(*sets).sha256()
        for sets in (
            ((one, two), ()),
            ((two, one), ()),
            ((one,), (two,)),
            ((Example("a", "b", "honest"), two), ()),
            ((Example("a", "b", input="x"), two), ()),
        )
    }
    assert len(hashes) == 5


def test_labels_of_a_mixed_set_right_and_faithful():
    """Test vector 7 of the notes on H3Fusion's released code."""
    assert property_labels((4, 3, 2)) == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert property_labels((2, 3, 4)) == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert property_labels((4, 3, 2), "faithful") == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert property_labels((2, 3, 4), "faithful") == [0, 0, 1, 1, 1, 1, 1, 2, 2]
    sets = {"helpful": [Example("a", "1")] * 2, "honest": [Example("b", "2", "x")]}
    assert [(e.prompt, e.property) for e in mixed_set(sets)] == [("a", "helpful"), ("a", "helpful"), ("b", "honest")]
    three = {name: [Example(name, "1")] * n for name, n in (("helpful", 4), ("harmless", 3), ("honest", 2))}
    assert {e.property for e in mixed_set(three, "faithful")} == {"helpful", "harmless"}


@given(st.lists(st.tuples(st.integers(0, 30), TEXT), min_size=30, max_size=60))
@settings(max_examples=30, deadline=None)
def test_a_split_never_parts_the_answers_to_one_question(pairs):
    examples = [Example(f"question {q}", a) for q, a in pairs]
    try:
        train, heldout = split_by_question(examples, 0.5)
    except TrainingRefused:
        return
    assert not {question_key(e) for e in train} & {question_key(e) for e in heldout}
    assert len(train) + len(heldout) == len(examples)


def test_the_three_public_forms_are_read(tmp_path):
    tasks = write(
        tmp_path / "tasks.jsonl",
        [
            {
                "id": "t",
                "instruction": "Sum",
                "instances": [
                    {"input": "1 2", "output": "3"},
                    {"input": "1", "output": ""},
                    {"input": "", "output": "0"},
                ],
            }
        ],
    )
    assert read_alignment(tasks, "helpful") == (
        Example("Sum", "3", "helpful", "t.1", "1 2"),
        Example("Sum", "0", "helpful", "t.3"),
    )
    replies = tmp_path / "replies.json"
    replies.write_text('[{"instruction": "Harm?", "output": "No."}, {"instruction": "x", "output": ""}]')
    assert read_alignment(replies, "harmless") == (Example("Harm?", "No.", "harmless", "replies.json:1"),)
    table = tmp_path / "qa.csv"
    table.write_text('Question,Best Answer,Correct Answers\r\n"A,\nB?",b,a; b;\r\nC?,c,c; d\r\nE?,e,e\r\n')
    assert read_alignment(table, "honest") == (
        Example("A,\nB?", "a", "honest", "q1.1"),
        Example("A,\nB?", "b", "honest", "q1.2"),
    )
    assert [e.answer for e in read_truthfulqa(table, half="test")] == ["c", "e"]
    own = write(tmp_path / "own.jsonl", [{"prompt": "a", "answer": "b"}])
    assert read_alignment(own, "honest")[0].property == "honest"
    for name, text in (
        ("a.txt", ""),
        ("b.json", "{}"),
        ("c.csv", "x,y\n1,2\n3,4\n"),
        ("d.jsonl", '{"instances": 3}\n'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(TrainingRefused):
            read_alignment(tmp_path / name, "honest")
    with pytest.raises(TrainingRefused, match="teaches helpful, and honest was asked for"):
        read_alignment(write(own, [{"prompt": "a", "answer": "b", "property": "helpful"}]), "honest")


def test_published_files_have_their_known_sizes(test_data):
    """Counts: Self-Instruct's 175 seeds, 2,483 safe replies, TruthfulQA's 817 questions."""
    assert len(read_alignment(test_data / "alignment/helpful_seed_tasks.jsonl", "helpful")) == 175
    assert len(read_alignment(test_data / "alignment/harmless_safe_replies.json", "harmless")) == 2483
    honest = test_data / "alignment/honest_truthfulqa.csv"
    train, test = read_truthfulqa(honest), read_truthfulqa(honest, half="test")
    assert len({e.prompt for e in train}) == 408
    assert len(test) == 409
    assert not {question_key(e) for e in train} & {question_key(e) for e in test}


@given(n=st.integers(1, 40), per_step=st.integers(1, 12), epochs=st.integers(1, 3), seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_each_epoch_sees_every_example_once_in_an_order_of_its_own(n, per_step, epochs, seed):
    plan = Plan(n, per_step, seed, float(epochs), None)
    seen = [i for step in range(plan.steps) for i in plan.rows(step)]
    assert len(seen) == n * epochs
    for epoch in range(epochs):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))
        assert seen[epoch * n : (epoch + 1) * n] == epoch_order(n, seed, epoch)
    endless = Endless(n, per_step, seed, "attack")
    drawn = [i for step in range(3 * n) for i in endless.rows(step)]
    assert sorted(drawn[:n]) == list(range(n))
    assert len(drawn) == 3 * n * per_step


def test_orders_differ_by_seed_epoch_and_name():
    assert len({tuple(epoch_order(50, *key)) for key in ((0, 0), (1, 0), (0, 1), (0, 0, "a"), (0, 0, "b"))}) == 5
    assert Plan(10, 4, 0, 0.5, None).steps == 2
    assert Plan(10, 4, 0, 3.0, 5).steps == 5
