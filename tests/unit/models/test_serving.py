"""The served model as its clients see it: the openai package, langchain-openai, and clients that do wrong."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import httpx
import openai
import pytest
import tiny_models
import uvicorn
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from labwright.errors import KeyMissing
from labwright.lease import compute_lease
from labwright.models.ask import Prompt, Session, ask
from labwright.models.calls import CallLog
from labwright.models.checkpoints import load_checkpoint
from labwright.models.local import LocalChat, local_chat
from labwright.models.remote import openai_chat
from labwright.models.scripted import ScriptedChat
from labwright.models.serving import MOST_BYTES, Turns, key_of, make_app
from labwright.models.topla.chat import EnsembleChat
from labwright.models.topla.members import Member

KEY = "sesame-open"
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which genes?"}]


class Sizes(BaseModel):
    n: list[int] = Field(min_length=2, max_length=3)


FORM = {"type": "json_schema", "json_schema": {"name": "Sizes", "schema": Sizes.model_json_schema()}}


@contextmanager
def served(chat, model="m", **settings) -> Iterator[str]:
    app = make_app(chat, model, KEY, **{"lease": nullcontext, **settings})
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def chat(tmp_path_factory) -> LocalChat:
    return local_chat(load_checkpoint(str(tiny_models.save(tmp_path_factory.mktemp("tiny") / "base"))))


@pytest.fixture(scope="module")
def url(chat) -> Iterator[str]:
    with served(chat, chat.model_name) as address:
        yield address


@pytest.fixture
def client(url) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)


def post(url: str, body, key: str = KEY, **headers) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = {"Authorization": f"Bearer {key}", **headers}
    return httpx.post(f"{url}/chat/completions", content=content, headers=head, timeout=30)


def test_the_openai_client_gets_the_models_own_answer(client, chat):
    said = client.chat.completions.create(model="base", messages=ASKED, max_tokens=9, temperature=0)
    own = chat.invoke([(m["role"], m["content"]) for m in ASKED], max_tokens=9, temperature=0)
    assert said.choices[0].message.content == str(own.text)
    assert said.choices[0].finish_reason == "length"
    assert said.usage.total_tokens == own.usage_metadata["total_tokens"]
    assert said.usage.completion_tokens == 9
    assert said.model == chat.model_name == client.models.list().data[0].id


def test_a_stream_has_the_same_text_and_ends_with_usage(client):
    options = {"model": "", "messages": ASKED, "max_completion_tokens": 20, "temperature": 1.0, "seed": 3}
    whole = client.chat.completions.create(**options)
    pieces = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == whole.choices[0].message.content
    assert len(pieces) > 3
    assert [p.choices[0].finish_reason for p in pieces if p.choices][-1] == whole.choices[0].finish_reason
    assert pieces[-1].usage == whole.usage


def test_structured_answers_and_probabilities_come_through(client):
    said = client.chat.completions.create(model="", messages=ASKED, max_tokens=200, seed=1, response_format=FORM)
    assert 2 <= len(Sizes.model_validate_json(said.choices[0].message.content).n) <= 3
    said = client.chat.completions.create(
        model="", messages=ASKED, max_tokens=1, temperature=0, logprobs=True, top_logprobs=5
    )
    top = said.choices[0].logprobs.content[0].top_logprobs
    assert [t.logprob for t in top] == sorted((t.logprob for t in top), reverse=True)
    assert len(top) == 5


def test_langchain_openai_and_those_who_ask_through_it_work_unchanged(url, tmp_path):
    remote = openai_chat(url, "base", KEY)
    session = Session(role="design", backend="served:m", chat=remote, log=CallLog(tmp_path / "c.sqlite"))
    said = ask(session, Prompt("p", "h", "s", "u"), Sizes, max_tokens=200)
    assert said.decided_by == "model"
    assert session.log.totals().calls == 1
    streamed = ChatOpenAI(model="base", base_url=url, api_key=KEY, temperature=0, max_tokens=6)
    assert "".join(str(p.text) for p in streamed.stream("Which?")) == str(streamed.invoke("Which?").text)


@pytest.mark.parametrize("key", ["x", "sesame", "sesame-opened", "сезам"])
def test_a_wrong_key_is_401_on_every_path(url, key):
    reply = httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {key}".encode()})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    reply = httpx.post(f"{url}/chat/completions", headers={"Authorization": f"Bearer {key}".encode()}, content=b"no")
    assert reply.status_code == 401
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=url, api_key="other", max_retries=0).models.list()


def test_an_oversized_request_is_413_whether_it_says_its_length_or_not(url):
    body = json.dumps({"messages": [{"role": "user", "content": "x" * MOST_BYTES}]}).encode()
    assert post(url, body).status_code == 413
    parts = (body[i : i + 65536] for i in range(0, len(body), 65536))
    head = {"Authorization": f"Bearer {KEY}"}
    reply = httpx.post(f"{url}/chat/completions", content=parts, headers=head)
    assert (reply.status_code, reply.json()["error"]["type"]) == (413, "invalid_request_error")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
        ({"n": 2}, "n: "),
        ({"temperature": 9}, "temperature"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"frequency_penalty": 1.0}, "frequency_penalty"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}}},
            "schema cannot",
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": [1]}}}, "response_format"),
        ({"messages": [{"role": "user", "content": "gene " * 3000}]}, "the context of the model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_answered_is_400_with_openais_error_object(url, changes, message, stream):
    reply = post(url, {"model": "", "messages": ASKED, "max_tokens": 3, "stream": stream, **changes})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"


def test_no_json_another_model_and_another_host_are_refused(url):
    assert post(url, b"{").status_code == 400
    reply = post(url, {"model": "gpt-4o", "messages": ASKED})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    assert post(url, {"messages": ASKED}, Host="evil.example").status_code == 400


def slow(seconds: float) -> ScriptedChat:
    return ScriptedChat(rules=[{"match": ".", "reply": "done"}], delay_s=seconds)


def test_requests_are_answered_one_by_one_and_too_many_are_sent_away():
    replies: list[int] = []
    with served(slow(0.3), turns=Turns(at_once=1, most=3)) as url:
        began = time.monotonic()
        threads = [
            threading.Thread(target=lambda: replies.append(post(url, {"messages": ASKED}).status_code))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(replies) == [200, 200, 200, 429, 429]
        assert time.monotonic() - began > 0.9
        assert post(url, {"messages": ASKED}).status_code == 200  # the queue is empty again


def test_the_lease_is_held_while_writing_and_given_back(chat, monkeypatch, tmp_path):
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setattr("labwright.lease.lease_is_exclusive", lambda cores=None: True)
    with served(chat, lease=compute_lease, turns=Turns(1)) as url:
        body = {"messages": ASKED, "max_tokens": 400, "stream": True}
        with httpx.stream(
            "POST", f"{url}/chat/completions", json=body, headers={"Authorization": f"Bearer {KEY}"}
        ) as reply:
            next(reply.iter_lines())
            with pytest.raises(TimeoutError), compute_lease(timeout_s=0):
                pass
        # The client left in the middle: the lease comes back without the rest being written.
        with compute_lease(timeout_s=20):
            pass
        assert post(url, {**body, "max_tokens": 5}).text.endswith("data: [DONE]\n\n")
        with compute_lease(timeout_s=5):
            pass


def test_the_key_of_a_variable_is_taken_without_its_blanks(monkeypatch):
    monkeypatch.setenv("TOY_KEY", " from-the-variable\n")
    assert key_of("TOY_KEY") == "from-the-variable"
    monkeypatch.setenv("TOY_KEY", " ")
    with pytest.raises(KeyMissing, match="set TOY_KEY"):
        key_of("TOY_KEY")


@pytest.fixture
def command(tmp_path, monkeypatch) -> list[str]:
    """The command over a scripted backend, started in the folder of its configuration."""
    (tmp_path / "rules.json").write_text(json.dumps({"rules": [{"match": ".", "reply": "TP53"}]}))
    (tmp_path / "labwright.toml").write_text('[backends.toy]\nkind = "scripted"\nscript = "rules.json"\n')
    monkeypatch.chdir(tmp_path)
    return [sys.executable, "-m", "labwright.cli", "models", "serve", "toy", "--port"]


def test_the_command_says_its_address_and_key_and_ends_cleanly_on_an_interrupt(command):
    process = subprocess.Popen([*command, "0"], stderr=subprocess.PIPE, text=True)
    try:
        address, said = process.stderr.readline(), process.stderr.readline()
        url, key = address.split(" at ")[1].strip(), said.rsplit(" ", 1)[1].strip()
        assert len(key) >= 32
        assert post(url, {"messages": ASKED}, key).json()["choices"][0]["message"]["content"] == "TP53"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()


def test_a_port_that_is_taken_is_one_line(command):
    with served(slow(0)) as url:
        port = url.rsplit(":", 1)[1].removesuffix("/v1")
        done = subprocess.run([*command, port], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"port {port} of 127.0.0.1 cannot be bound" in done.stderr


def test_an_ensemble_is_served_as_one_model():
    odds = [{"yes": 0.9, "no": 0.1}, {"yes": 0.2, "no": 0.8}]
    closed = [ScriptedChat(rules=[{"match": ".", "probabilities": o}]) for o in odds]
    written = [ScriptedChat(rules=[{"match": "drafts of", "reply": "both"}, {"match": ".", "reply": r}]) for r in "ab"]
    for chats, asked in ((closed, {"logprobs": True, "top_logprobs": 2, "max_tokens": 1}), (written, {})):
        with served(EnsembleChat(members=[Member(n, c) for n, c in zip("ab", chats, strict=True)])) as url:
            client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
            whole = client.chat.completions.create(model="m", messages=ASKED, **asked)
            pieces = list(client.chat.completions.create(
                model="m", messages=ASKED, stream=True, stream_options={"include_usage": True}, **asked))  # fmt: skip
        choice = whole.choices[0]
        if asked:
            assert (choice.logprobs.content[0].token, choice.message.content) == ("yes", "yes")
            assert math.exp(choice.logprobs.content[0].logprob) == pytest.approx(0.55)
        said = "".join(c.delta.content or "" for p in pieces for c in p.choices)
        assert said == choice.message.content == ("yes" if asked else "both")
        assert [c.finish_reason for p in pieces for c in p.choices if c.finish_reason] == ["stop"]
        assert pieces[-1].usage == whole.usage
        assert whole.usage.prompt_tokens > 0
