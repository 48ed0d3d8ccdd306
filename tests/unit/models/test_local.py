"""The local chat model, over random weights: whatever they want to say, the contract of every backend holds."""

from __future__ import annotations

import json
import math
import threading
from enum import Enum
from typing import Annotated, Literal

import pytest
import tiny_models
import torch
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from labwright import lease
from labwright.errors import AnswerInvalid, ModelMissing
from labwright.models.ask import Prompt, Session, ask, choose, score
from labwright.models.calls import CallLog
from labwright.models.checkpoints import load_checkpoint
from labwright.models.local import LocalChat, local_chat
from labwright.models.options import Options

ASKED = [SystemMessage("You answer in JSON."), HumanMessage("Which genes predict survival?")]


class Kind(Enum):
    GENE = "gene"
    PROTEIN = "protein"


class Size(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int = Field(ge=0, le=99)
    unit: Literal["mm", "cm"]


class Gene(BaseModel):
    model_config = ConfigDict(extra="forbid")
    symbol: Annotated[str, StringConstraints(min_length=2, max_length=8)]
    name: Annotated[str, StringConstraints(pattern=r"^(Test|Compare) [a-z]{1,5}$")]
    kind: Kind
    sizes: list[Size] = Field(min_length=1, max_length=3)
    known: bool
    note: Annotated[str, StringConstraints(max_length=4)] | None


class Endless(BaseModel):
    """Random weights do not end its text before the tokens run out."""

    text: Annotated[str, StringConstraints(min_length=500)]


@pytest.fixture(scope="module")
def chat(tmp_path_factory) -> LocalChat:
    return local_chat(load_checkpoint(str(tiny_models.save(tmp_path_factory.mktemp("tiny") / "base"))))


@pytest.fixture
def session(chat, tmp_path) -> Session:
    return Session(role="design", backend="tiny:m", chat=chat, log=CallLog(tmp_path / "calls.sqlite"))


def text(chat: LocalChat, asked=ASKED, **options) -> str:
    return str(chat.invoke(asked, **{"max_tokens": 12, **options}).text)


@pytest.mark.parametrize("seed", range(12))
def test_random_weights_write_valid_json_of_the_schema_at_the_first_try(session, seed):
    seeded = Session(role="design", backend="tiny:m", chat=session.chat, log=session.log, seed=seed)
    said = ask(seeded, Prompt("p", "h", "JSON.", "A gene."), Gene, max_tokens=400)
    assert said.decided_by == "model"
    assert session.log.totals().calls == 1


def test_a_batch_under_a_schema_is_valid_in_every_row(chat):
    form = {"type": "json_schema", "json_schema": {"name": "Gene", "schema": Gene.model_json_schema()}}
    replies = chat.batch(["a", "Which of these genes is known, and how large is it?", "b c"], max_tokens=400, seed=1,
                         temperature=1.5, response_format=form)  # fmt: skip
    assert len({Gene.model_validate_json(str(r.text)).symbol for r in replies}) > 1
    assert all(r.response_metadata["finish_reason"] == "stop" for r in replies)


def test_any_json_object_is_one(chat):
    said = text(chat, response_format={"type": "json_object"}, max_tokens=300, seed=3, temperature=0.2)
    assert isinstance(json.loads(said), dict)


def test_running_out_of_tokens_inside_a_schema_is_an_invalid_answer(session):
    with pytest.raises(AnswerInvalid, match="no valid answer in 3 tries"):
        ask(session, Prompt("p", "h", "s", "u"), Endless, max_tokens=10)
    assert session.log.totals().generated_tokens == 30
    held = Endless(text="x" * 500)
    given = ask(session, Prompt("p", "h", "s", "u2"), Endless, max_tokens=10, fallback=lambda: held)
    assert (given.value, given.decided_by) == (held, "fallback")


def test_a_schema_that_cannot_be_enforced_is_refused(session, chat):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no-such-type"}}}
    with pytest.raises(ValueError, match="the schema cannot be enforced"):
        text(chat, response_format=form)


def test_closed_questions_are_the_softmax_of_the_first_token(session, chat):
    asked = Prompt("p", "h", "Answer yes or no.", "Is it a gene?")
    prompt = chat._prompt([SystemMessage(asked.system), HumanMessage(asked.user)])
    decoder = chat.decoder
    ids = decoder.tokenizer(prompt, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        p = decoder.model(ids).logits[0, -1].softmax(-1)
    top = p.topk(20)
    words = {decoder.tokenizer.decode([i]): v for i, v in zip(top.indices.tolist(), top.values.tolist(), strict=True)}
    one, two = [w for w in words if w.isalnum()][:2]
    said = choose(session, asked, (one, two), fallback={one: 0.5, two: 0.5})
    assert said.decided_by == "model"
    assert said.value[one] == pytest.approx(words[one] / (words[one] + words[two]), rel=1e-3)
    assert session.log.totals().generated_tokens == 1


def test_answers_without_mass_fall_back(session):
    said = choose(session, Prompt("p", "h", "s", "u"), ("qqqq", "wwww"), fallback={"qqqq": 0.9, "wwww": 0.1})
    assert (said.value, said.decided_by) == ({"qqqq": 0.9, "wwww": 0.1}, "fallback")
    assert 1 <= score(session, Prompt("p", "h", "s", "u"), fallback=2.5).value <= 5


def test_log_probabilities_have_openais_form_and_are_the_models(chat):
    reply = chat.invoke(ASKED, max_tokens=5, temperature=0, logprobs=True, top_logprobs=4)
    content = reply.response_metadata["logprobs"]["content"]
    assert len(content) == 5
    for entry in content:
        best = entry["top_logprobs"][0]
        assert (entry["token"], entry["logprob"]) == (best["token"], best["logprob"])  # greedy
        assert len(entry["top_logprobs"]) == 4
        assert sum(math.exp(t["logprob"]) for t in entry["top_logprobs"]) <= 1
        assert bytes(entry["bytes"]).decode() == entry["token"]
    assert "logprobs" not in chat.invoke(ASKED, max_tokens=1).response_metadata


def test_a_padded_batch_says_what_each_would_say_alone(chat):
    asked = ["Why?", "Which genes of the tumour predict the survival of patients with breast cancer?", "β"]
    options = {"max_tokens": 12, "temperature": 0, "logprobs": True, "top_logprobs": 2}
    for together, alone in zip(chat.batch(asked, **options), [chat.invoke(a, **options) for a in asked], strict=True):
        assert together.text == alone.text
        assert together.usage_metadata == alone.usage_metadata
        pairs = zip(*(r.response_metadata["logprobs"]["content"] for r in (together, alone)), strict=True)
        assert all(a["logprob"] == pytest.approx(b["logprob"], abs=1e-3) for a, b in pairs)
    assert chat.batch([]) == []


def test_the_cache_of_keys_changes_nothing(chat):
    decoder = chat.decoder
    reply = chat.invoke("Why?", max_tokens=8, temperature=0, logprobs=True)
    ids = decoder.tokenizer(chat._prompt([HumanMessage("Why?")]), return_tensors="pt")["input_ids"]
    for entry in reply.response_metadata["logprobs"]["content"]:
        with torch.inference_mode():
            log_p = decoder.model(ids, use_cache=False).logits[0, -1].log_softmax(-1)
        best = int(log_p.argmax())
        assert entry["token"] == decoder.tokenizer.decode([best])
        assert entry["logprob"] == pytest.approx(float(log_p[best]), abs=1e-4)
        ids = torch.cat([ids, torch.tensor([[best]])], dim=1)


def test_usage_counts_the_prompt_without_padding_and_the_answer(chat):
    usage = chat.invoke(ASKED, max_tokens=7, temperature=0).usage_metadata
    prompt = len(chat.decoder.tokenizer(chat._prompt(ASKED))["input_ids"])
    assert usage == {"input_tokens": prompt, "output_tokens": 7, "total_tokens": prompt + 7}


def test_a_seed_repeats_and_leaves_the_generator_alone(chat):
    state = torch.random.get_rng_state()
    assert text(chat, seed=5, temperature=1.5) == text(chat, seed=5, temperature=1.5)
    assert len({text(chat, seed=s, temperature=1.5) for s in range(4)}) > 1
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len({text(chat, temperature=1.5) for _ in range(4)}) > 1


def test_a_tiny_nucleus_is_greedy_and_a_penalty_changes_the_words(chat):
    greedy = text(chat, temperature=0, max_tokens=40)
    assert text(chat, temperature=1.0, top_p=1e-6, seed=1, max_tokens=40) == greedy
    assert text(chat, temperature=0, repetition_penalty=1.8, max_tokens=40) != greedy
    assert text(chat, temperature=0, repeat_penalty=1.0, max_tokens=40) == greedy


def test_a_stop_text_ends_the_answer_and_is_not_in_it(chat):
    whole = text(chat, temperature=0, max_tokens=30)
    stop = whole[9:12]
    reply = chat.invoke(ASKED, max_tokens=30, temperature=0, stop=["never in it", stop])
    assert str(reply.text) == whole[: whole.index(stop)]
    assert reply.response_metadata["finish_reason"] == "stop"
    assert reply.usage_metadata["output_tokens"] < 30
    assert "".join(str(c.text) for c in chat.stream(ASKED, max_tokens=30, temperature=0, stop=[stop])) == str(
        reply.text
    )


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.2, "seed": 4}])
def test_a_stream_is_the_answer_in_pieces(chat, options):
    pieces = list(chat.stream(ASKED, max_tokens=25, **options))
    whole = chat.invoke(ASKED, max_tokens=25, **options)
    assert "".join(str(p.text) for p in pieces) == str(whole.text)
    assert len([p for p in pieces if p.text]) > 2
    total = sum(pieces[1:], pieces[0])
    assert total.usage_metadata == whole.usage_metadata
    assert total.response_metadata["finish_reason"] == whole.response_metadata["finish_reason"]


def test_a_stream_that_nobody_reads_stops_the_model_and_frees_it(chat):
    assert text(chat, temperature=0)  # what a first call starts is there
    before = set(threading.enumerate())
    for _ in range(4):
        stream = chat.stream(ASKED, max_tokens=900)
        next(stream)
        stream.close()
        assert text(chat, temperature=0)  # would wait for ever if the stream kept the model
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert not [t.name for t in set(threading.enumerate()) - before if t.is_alive()]


def test_what_goes_wrong_in_a_stream_is_raised(chat):
    with pytest.raises(ValueError, match="the context of the model 1024"):
        list(chat.stream("gene " * 2000))


def test_a_prompt_that_does_not_fit_is_one_line_for_those_who_ask(session, chat):
    with pytest.raises(ModelMissing, match=r"tiny:m gives no usable answer \(the prompt has \d+ tokens, the context"):
        ask(session, Prompt("p", "h", "s", "gene " * 2000), Gene)


def test_an_answer_ends_with_the_context(chat):
    usage = chat.invoke("gene " * 150, max_tokens=5000, temperature=0.0).usage_metadata
    assert usage["total_tokens"] <= 1024
    assert usage["output_tokens"] <= 1024 - usage["input_tokens"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"temperature": 3}, "temperature"), ({"tempature": 1}, "tempature"), ({"max_tokens": 0}, "max_tokens"),
     ({"top_logprobs": 50, "logprobs": True}, "top_logprobs"), ({"response_format": {"type": "xml"}}, "response_format")],
)  # fmt: skip
def test_unknown_and_wrong_options_are_named(chat, options, message):
    with pytest.raises(ValueError, match=f"options of the request: .*{message}"):
        chat.invoke("x", **options)


def test_messages_that_no_template_knows_are_refused(chat):
    with pytest.raises(ValueError, match="no messages of the kinds tool"):
        chat.invoke([HumanMessage("x"), AIMessage("y"), ToolMessage("z", tool_call_id="1")])


def test_several_threads_get_the_answers_of_their_own_questions(chat):
    asked = ["Why?", "Which genes?", "β", "How many?"]
    alone = [text(chat, a, seed=2, temperature=1.0) for a in asked]
    found: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda a=a: found.update({a: text(chat, a, seed=2, temperature=1.0)})) for a in asked
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[a] for a in asked] == alone


def test_a_process_that_is_being_stopped_writes_no_further(chat, monkeypatch):
    monkeypatch.setattr(lease, "_STOPPED", threading.Event())
    lease.stop_waiting()
    with pytest.raises(KeyboardInterrupt):
        text(chat)


def test_the_end_of_a_turn_ends_the_answer_also_where_the_configuration_names_another(chat):
    decoder = chat.decoder
    ids = {decoder.tokenizer.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|endoftext|>")}
    assert ids <= decoder.ends


def test_options_take_the_names_of_both_servers():
    assert Options.model_validate({"max_completion_tokens": 3}).max_tokens == 3
    assert Options.model_validate({"repeat_penalty": 1.5}).repetition_penalty == 1.5
    assert Options.model_validate({"stop": "###"}).stop == ("###",)
