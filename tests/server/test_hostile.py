"""Bodies and paths that no client library would send."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from ostinato.server.body import MAX_BODY
from tests.server.conftest import Served

CHAT = "/v1/chat/completions"
HEAD = b'{"messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, "invalid_json"),
        (b"{", None, "invalid_json"),
        (b"\xff\xfe", None, "invalid_json"),
        (b'{"messages":[{"role":"user","content":"\xff"}]}', None, "invalid_json"),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', None, "invalid_json"),
        (HEAD + b',"temperature":NaN}', None, "invalid_json"),
        (HEAD + b',"temperature":1e999}', "temperature", "invalid_value"),
        (HEAD + b',"seed":99999999999999999999}', "seed", "invalid_value"),
        (HEAD + b',"n":1.5}', "n", "invalid_value"),
        (HEAD + b',"n":true}', "n", "invalid_value"),
        (HEAD + b',"metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "invalid_json"),
        (HEAD + b',"metadata":' + b'{"a":' * 100_000, None, "invalid_json"),
        (b"[" * 100_000, "body", "invalid_value"),
        (b"null", "body", "invalid_value"),
        (b"{}", "messages", "missing_required_parameter"),
        (b'{"messages":[]}', "messages", "invalid_value"),
        (b'{"messages":[{"role":"user"}]}', "messages[0].content", "missing_required_parameter"),
        (b'{"messages":[{"role":"robot","content":"hi"}]}', "messages[0].role", "invalid_value"),
        (b'{"messages":[{"role":"user","content":"hi","x":1}]}', "messages[0].x", "unknown_parameter"),
        (
            b'{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}',
            "messages[0].content[0].type",
            "invalid_value",
        ),
        (HEAD + b',"stream":true,"stream_options":{"x":1}}', "stream_options.x", "unknown_parameter"),
        (HEAD + b',"logit_bias":{"a":1}}', "logit_bias", "invalid_value"),
        (HEAD + b',"a`b":1}', "a`b", "unknown_parameter"),
        (b'{"messages":[{"role":"user","content":"hi","tool_calls":[{}]}]}', "messages[0].tool_calls", None),
    ],
)  # fmt: skip
def test_bad_chat_bodies(served: Served, body: bytes, param: str | None, code: str | None) -> None:
    with served.http() as client:
        answer = client.post(CHAT, content=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert code is None or error["code"] == code
    assert served.engine.requests == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"prompt":[]}', "prompt"),
        (b'{"prompt":[1,"a"]}', "prompt: mixes"),
        (b'{"prompt":[[1],"a"]}', "prompt: mixes"),
        (b'{"prompt":[[]]}', "prompt[0]"),
        (b'{"prompt":[-1]}', "prompt[0]"),
        (b'{"prompt":[258]}', "the vocabulary has 258"),
        (b'{"prompt":["a","b"],"n":100}', "at most 128"),
        (b'{"prompt":"a","echo":true}', "echo: not supported"),
        (b'{"prompt":"a","suffix":"b"}', "suffix: not supported"),
        (b'{"prompt":"a","best_of":3}', "best_of: not supported"),
        (b'{"prompt":"a","messages":[]}', "messages"),
        (b'{"prompt":"a","logit_bias":{"258":1}}', "the vocabulary has 258"),
    ],
)
def test_bad_completion_bodies(served: Served, body: bytes, words: str) -> None:
    with served.http() as client:
        answer = client.post("/v1/completions", content=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert served.engine.requests == []


def test_a_body_that_is_too_long(served: Served) -> None:
    with served.http() as client:
        answer = client.post(CHAT, content=b" " * (MAX_BODY + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"


def test_paths_and_methods_that_are_not_there(served: Served) -> None:
    with served.http() as client:
        for method, path, status in (
            ("GET", "/", 404),
            ("GET", "/v1/embeddings", 404),
            ("GET", CHAT, 405),
            ("DELETE", "/v1/models", 405),
            ("GET", "/v1/models/../../etc/passwd", 404),
        ):
            answer = client.request(method, path)
            assert answer.status_code == status
            assert path.removesuffix("/") in answer.json()["error"]["message"] or status == 404


def test_broken_connections_leave_the_server_well(served: Served) -> None:
    address = urlsplit(served.url)
    for data in (
        b"",
        b"\x00" * 1000,
        b"POST " + CHAT.encode() + b" HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{",
        b"POST / HTTP/1.1\r\n" + b"a: " + b"b" * 200_000 + b"\r\n\r\n",
    ):
        with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
            connection.sendall(data)
    with served.http() as client:
        assert client.get("/health").json() == {"status": "ok"}
