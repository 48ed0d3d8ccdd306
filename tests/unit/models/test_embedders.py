"""Encoders by configuration: names that keep vectors apart, unit rows, and one clear line for what is missing."""

from __future__ import annotations

import json
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from labwright.config import IndexConfig
from labwright.errors import ConfigInvalid, KeyMissing, ModelMissing
from labwright.models.embedders import encoder


class Server(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = [
            {"object": "embedding", "index": n, "embedding": [float(len(t)), 3.0]} for n, t in enumerate(asked["input"])
        ]
        body = json.dumps(
            {
                "object": "list",
                "data": rows[::-1],
                "model": asked["model"],
                "usage": {"prompt_tokens": 1, "total_tokens": 1},
            }
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_gives_unit_rows_in_the_order_of_the_texts() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = IndexConfig(embedder="openai", model="m", base_url=f"http://127.0.0.1:{server.server_port}/v1")
    name, encode = encoder(config)
    vectors = encode(["abcd"] + ["x"] * 99)
    server.shutdown()
    assert name == "openai:m"
    assert vectors.shape == (100, 2)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[0], [0.8, 0.6])


def test_a_server_that_fails_or_forgets_a_text_is_named() -> None:
    class Forgetful(Server):
        kept = 1

        def do_POST(self) -> None:
            if self.path.startswith("/broken"):
                self.send_response(400)
                self.end_headers()
                return
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(
                {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}]}
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forgetful)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(ModelMissing, match="returned 1 vectors for 2 texts"):
        encoder(IndexConfig(embedder="openai", model="m", base_url=f"{address}/v1"))[1](["a", "b"])
    with pytest.raises(ModelMissing, match=f"server at {address}/broken failed"):
        encoder(IndexConfig(embedder="openai", model="m", base_url=f"{address}/broken"))[1](["a"])
    server.shutdown()


def test_any_sentence_transformers_model_gives_unit_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    class SentenceTransformer:
        """The part of the library's class that is used."""

        def __init__(self, name: str) -> None:
            if name != "known":
                raise OSError(f"{name} is not a local folder")

        def encode(self, texts: list[str], *, batch_size: int, show_progress_bar: bool) -> np.ndarray:
            assert batch_size > 0
            assert not show_progress_bar
            return np.asarray([[float(len(text)), 3.0] for text in texts])

    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = SentenceTransformer
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    name, encode = encoder(IndexConfig(embedder="sentence-transformers", model="known"))
    assert name == "sentence-transformers:known"
    assert np.allclose(encode(["abcd"]), [[0.8, 0.6]])
    assert encode(["a", "b"]).dtype == np.float32
    with pytest.raises(ModelMissing, match="model 'unknown' cannot be loaded: unknown is not a local folder"):
        encoder(IndexConfig(embedder="sentence-transformers", model="unknown"))


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigInvalid, match="needs a `model`"):
        encoder(IndexConfig(embedder="openai"))
    with pytest.raises(ConfigInvalid, match="needs a `base_url`"):
        encoder(IndexConfig(embedder="openai", model="m"))
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(KeyMissing, match="SOME_KEY"):
        encoder(IndexConfig(embedder="openai", model="m", base_url="http://127.0.0.1:1/v1", api_key_env="SOME_KEY"))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ModelMissing, match="not installed"):
        encoder(IndexConfig(embedder="sentence-transformers", model="m"))
    assert encoder(IndexConfig())[0] == "all-minilm-l6-v2"
