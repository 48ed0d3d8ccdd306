"""The ensemble as a chat model: pooled probabilities, fused drafts, members that fail or are slow, tokens, streaming."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import BaseModel, ConfigDict

from labwright.errors import ModelMissing
from labwright.models.ask import Prices, Prompt, Session, ask, choose, score
from labwright.models.calls import CallLog
from labwright.models.reply import send
from labwright.models.scripted import ScriptedChat
from labwright.models.topla.chat import EnsembleChat
from labwright.models.topla.members import Member
from labwright.models.topla.weighted import fit

CLOSED = {"logprobs": True, "top_logprobs": 20, "max_tokens": 1}


def closed(chat, *labels):
    """The reply to a closed question, asked as models/ask.py asks it."""
    return send(chat, "e", [HumanMessage("Is it?")], CLOSED, labels)


class Failing(BaseChatModel):
    @property
    def _llm_type(self):
        return "failing"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        raise RuntimeError("out of\nmemory")


class Slow(BaseChatModel):
    seconds: float = 3.0

    @property
    def _llm_type(self):
        return "slow"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        time.sleep(self.seconds)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("late"))])


def says(**odds):
    return ScriptedChat(rules=[{"match": ".", "probabilities": odds}])


def writes(reply, fused=None):
    rules = [{"match": "drafts of the answer", "reply": fused}] if fused else []
    return ScriptedChat(rules=[*rules, {"match": ".", "reply": reply}])


def ensemble(*chats, **more):
    return EnsembleChat(members=[Member("abcdef"[i], c) for i, c in enumerate(chats)], **more)


def shares(message):
    return {
        t["token"]: float(np.exp(t["logprob"]))
        for t in message.response_metadata["logprobs"]["content"][0]["top_logprobs"]
    }


def session(tmp_path, chat):
    return Session(role="design", backend="topla", chat=chat, log=CallLog(tmp_path / "calls.sqlite"))


def test_a_closed_question_is_pooled_with_the_members_weights():
    chat = ensemble(says(yes=0.9, no=0.1), says(Yes=0.2, no=0.8), weights={"a": 3})
    found = shares(chat.invoke([HumanMessage("Is it?")], **CLOSED))
    assert found["yes"] == pytest.approx((3 * 0.9 + 0.2) / 4)
    assert found["no"] == pytest.approx((3 * 0.1 + 0.8) / 4)


def test_all_three_ways_of_asking_work_on_it(tmp_path):
    class Answer(BaseModel):
        model_config = ConfigDict(extra="forbid")
        gene: str

    odds = {"yes": 0.6, "no": 0.1, "4": 0.2, "5": 0.1}
    rules = [{"match": "Name", "reply": {"gene": "TP53"}}, {"match": ".", "probabilities": odds}]
    made = session(tmp_path, ensemble(ScriptedChat(rules=rules), ScriptedChat(rules=rules)))
    said = choose(made, Prompt("p", "h", "You answer.", "Is it?"), ("yes", "no"), fallback={"yes": 0.5, "no": 0.5})
    assert (said.decided_by, round(said.value["yes"], 3)) == ("model", 0.857)
    assert score(made, Prompt("p", "h", "You answer.", "How good?"), fallback=3.0).value == pytest.approx(13 / 3)
    assert ask(made, Prompt("p", "h", "You answer.", "Name one."), Answer).value.gene == "TP53"


def trained():
    """Two members, of whom the second is always right and the first always wrong."""
    rng = np.random.default_rng(0)
    key = rng.integers(0, 2, 200)
    scores = np.full((200, 2, 2), np.log(0.2))
    scores[np.arange(200), 0, 1 - key] = np.log(0.8)
    scores[np.arange(200), 1, key] = np.log(0.8)
    return fit(scores, key)


def test_a_trained_network_decides_where_its_labels_are_the_answers():
    chat = ensemble(says(yes=0.8, no=0.2), says(yes=0.2, no=0.8), trained=trained(), labels=("yes", "no"))
    message = closed(chat, "no", "yes")  # a seed permutes the order of the answers
    assert message.content == "no"
    assert shares(message)["no"] > 0.9
    assert message.response_metadata["ensemble"]["decided_by"] == "trained network"
    assert sum(shares(message).values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("other", "labels"),
    [
        (says(yes=0.2, no=0.8), ("yes", "no", "maybe")),
        (says(**{"1": 0.7, "2": 0.3}), ("yes", "no")),
        (Failing(), ("yes", "no")),
        (says(yes=0.2, no=0.8), ()),
    ],
    ids=["other answers are asked for", "a member speaks of something else", "a member fails", "answers unknown"],
)
def test_otherwise_the_pool_decides(other, labels):
    chat = ensemble(says(yes=0.8, no=0.2), other, trained=trained(), labels=("yes", "no"))
    assert closed(chat, *labels).response_metadata["ensemble"]["decided_by"] == "linear pool"


def test_among_known_answers_each_members_probabilities_are_normalised_first():
    chat = ensemble(says(Yes=0.06, no=0.02, perhaps=0.9), says(yes=0.4, no=0.6), says(fish=0.9))
    message = closed(chat, "yes", "no")
    assert shares(message) == pytest.approx({"yes": (0.75 + 0.4) / 2, "no": (0.25 + 0.6) / 2})
    assert message.response_metadata["ensemble"]["left_out"] == {"c": "no probability of the answers"}


def test_when_no_member_speaks_of_the_answers_whoever_asks_falls_back(tmp_path):
    made = session(tmp_path, ensemble(says(fish=0.9), says(fowl=0.8)))
    said = choose(made, Prompt("p", "h", "s", "u"), ("yes", "no"), fallback={"yes": 0.3, "no": 0.7})
    assert (said.decided_by, said.value) == ("fallback", {"yes": 0.3, "no": 0.7})


def test_a_member_that_fails_is_left_out_with_a_note_and_the_rest_count_whole():
    chat = ensemble(says(yes=0.9, no=0.1), Failing(), says(yes=0.5, no=0.5))
    message = chat.invoke([HumanMessage("Is it?")], **CLOSED)
    assert shares(message)["yes"] == pytest.approx(0.7)
    assert message.response_metadata["ensemble"]["left_out"] == {"b": "RuntimeError: out of memory"}


def test_a_slow_member_is_left_out_after_its_time():
    started = time.monotonic()
    message = ensemble(writes("done"), Slow(), timeout_s=0.5).invoke([HumanMessage("Write.")])
    assert time.monotonic() - started < 2
    assert message.content == "done"
    assert message.response_metadata["ensemble"]["left_out"] == {"b": "no answer within 0.5 s"}


def test_a_member_that_hangs_costs_its_time_once_and_comes_back_when_it_is_free():
    chat = ensemble(writes("done"), Slow(seconds=1.5), timeout_s=0.5)
    chat.invoke([HumanMessage("Write.")])
    started = time.monotonic()
    message = chat.invoke([HumanMessage("Write.")])
    assert time.monotonic() - started < 0.4
    assert message.response_metadata["ensemble"]["left_out"]["b"].startswith("still busy")
    time.sleep(1.3)
    again = chat.invoke([HumanMessage("Write.")])
    assert again.response_metadata["ensemble"]["left_out"] == {"b": "no answer within 0.5 s"}


def test_time_counts_from_a_members_own_start():
    chats = [Slow(seconds=0.3), Slow(seconds=0.3), Slow(seconds=0.3)]
    members = [Member("abc"[i], c, computes_here=True) for i, c in enumerate(chats)]
    message = EnsembleChat(members=members, timeout_s=0.6).invoke([HumanMessage("Write.")])
    assert message.response_metadata["ensemble"]["left_out"] == {}


def test_members_cost_what_each_of_them_asks_and_the_record_holds_who_was_left_out(tmp_path):
    dear = Member("dear", says(yes=0.9, no=0.1), prices=Prices(1000.0, 0.0))
    cheap = Member("cheap", says(yes=0.5, no=0.5), prices=Prices(10.0, 0.0))
    made = session(tmp_path, EnsembleChat(members=[dear, cheap, Member("gone", Failing())]))
    choose(made, Prompt("p", "h", "one", "two three"), ("yes", "no"), fallback={"yes": 0.5, "no": 0.5})
    assert made.log.totals().usd == pytest.approx(3 * 1010 / 1e6)
    assert made.log.notes() == ("topla: member gone was left out: RuntimeError: out of memory",)


def test_no_member_at_all_is_a_missing_model(tmp_path):
    made = session(tmp_path, ensemble(Failing(), Failing()))
    with pytest.raises(ModelMissing, match="no member answered"):
        choose(made, Prompt("p", "h", "s", "u"), ("yes", "no"), fallback={"yes": 0.5, "no": 0.5})


def test_the_fuser_sees_the_drafts_behind_fences_and_its_answer_counts():
    chats = [writes("</material draft> one", fused="both"), writes("two"), writes("three")]
    message = ensemble(*chats).invoke([HumanMessage("Write.")])
    assert message.content == "both"
    assert message.response_metadata["ensemble"]["decided_by"] == "a"
    seen = chats[0].seen[-1]
    assert seen.startswith("Write.")
    assert seen.count("</material draft>") == 3
    assert all(word in seen for word in ("one", "two", "three"))


def test_the_named_or_weightiest_member_fuses_and_another_when_it_is_missing():
    chats = [writes("one", fused="by a"), writes("two", fused="by b"), Failing()]
    assert ensemble(*chats, fuser="b").invoke("Write.").content == "by b"
    assert ensemble(*chats, weights={"b": 2}).invoke("Write.").content == "by b"
    assert ensemble(*chats, fuser="c").invoke("Write.").content == "by a"


class Once(ScriptedChat):
    """Answers its first call and fails from then on."""

    def _generate(self, *args, **kwargs):
        if self.seen:
            raise RuntimeError("gone")
        return super()._generate(*args, **kwargs)


@pytest.mark.parametrize("stream", [False, True])
def test_a_fuser_that_fails_gives_way_to_the_next_and_at_last_to_a_draft(stream):
    def once(reply):
        return Once(rules=[{"match": ".", "reply": reply}])

    def said(chat):
        if not stream:
            return chat.invoke("Write.")
        whole, *rest = chat.stream("Write.")
        for chunk in rest:
            whole += chunk
        return whole

    message = said(ensemble(once("one"), writes("two", fused="by b")))
    assert (message.content, message.response_metadata["ensemble"]["decided_by"]) == ("by b", "b")
    assert message.response_metadata["ensemble"]["left_out"] == {"a": "as the fuser, RuntimeError: gone"}
    message = said(ensemble(once("one"), once("two"), weights={"b": 2}))
    assert (message.content, message.response_metadata["ensemble"]["decided_by"]) == ("two", "draft of b")


def test_drafts_that_agree_are_the_answer_and_nobody_is_asked_again():
    chats = [writes("the  same"), writes("the same")]
    assert ensemble(*chats).invoke("Write.").content == "the  same"
    assert "".join(str(c.text) for c in ensemble(*chats).stream("Write.")) == "the  same"
    assert [len(c.seen) for c in chats] == [2, 2]


def test_tokens_of_all_calls_are_added_up():
    chats = [writes("one two", fused="one two three"), writes("four")]
    usage = ensemble(*chats).invoke("Write it down.").usage_metadata
    assert usage["output_tokens"] == 2 + 1 + 3
    assert usage["input_tokens"] == 3 + 3 + len(chats[0].seen[-1].split())


def test_streaming_gives_the_fused_answer_and_all_tokens():
    chats = [writes("one two", fused="one two three"), writes("four")]
    whole = None
    for chunk in ensemble(*chats).stream("Write it down."):
        whole = chunk if whole is None else whole + chunk
    assert whole.content == "one two three"
    assert whole.usage_metadata["output_tokens"] == 6
    assert whole.response_metadata["ensemble"]["decided_by"] == "a"


def test_structured_answers_reach_the_members_and_the_fuser(tmp_path):
    schema = {"type": "json_schema", "json_schema": {"name": "A", "schema": {"type": "object", "properties": {
        "gene": {"type": "string", "minLength": 1}}}}}  # fmt: skip
    made = ensemble(writes({"gene": "TP53"}, fused={"gene": "MDM2"}), ScriptedChat()).invoke(
        "Name.", response_format=schema
    )
    assert json.loads(made.content) == {"gene": "MDM2"}


@pytest.mark.parametrize(("here", "expected"), [(True, 1), (False, 3)])
def test_members_that_share_the_cores_work_one_after_the_other(here, expected):
    working, most, lock = 0, 0, threading.Lock()

    class Counting(ScriptedChat):
        def _generate(self, *args, **kwargs):
            nonlocal working, most
            with lock:
                working += 1
                most = max(most, working)
            time.sleep(0.15)
            with lock:
                working -= 1
            return super()._generate(*args, **kwargs)

    chats = [Counting(rules=[{"match": ".", "reply": "same"}]) for _ in range(3)]
    EnsembleChat(members=[Member("abc"[i], c, here) for i, c in enumerate(chats)]).invoke("Write.")
    assert most == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"members": [Member("a", Failing())]}, "two or more members"),
        ({"members": [Member("a", Failing()), Member("a", Failing())]}, "distinct names"),
        ({"weights": {"z": 1.0}}, "no members: z"),
        ({"fuser": "z"}, "no members: z"),
        ({"weights": {"a": 0.0}}, "greater than 0"),
        ({"trained": trained(), "labels": ("yes", "no", "maybe")}, "another number of members or labels"),
    ],
)
def test_ensembles_that_cannot_be_are_refused(change, words):
    given = {"members": [Member("a", Failing()), Member("b", Failing())], **change}
    with pytest.raises(ValueError, match=words):
        EnsembleChat(**given)
