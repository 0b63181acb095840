"""A server on a loopback port, on a thread of its own, over a fake engine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import openai
import pytest
import uvicorn

from ostinato.chat import ChatEncoder, ChatTemplate
from ostinato.server.model import ServedModel
from ostinato.server.run import configuration, listen, url_of
from tests.server.fakes import EOS, VOCAB, ByteCodec, FakeEngine

CONTEXT = 200
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


@dataclass
class Served:
    """A running server and ways to talk to it."""

    url: str
    engine: FakeEngine

    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20)


@contextlib.contextmanager
def run_server(template: str | None = TEMPLATE) -> Iterator[Served]:
    """Starts and stops the server."""
    engine = FakeEngine()
    chat = ChatEncoder(ChatTemplate(template), ByteCodec()) if template is not None else None
    model = ServedModel("fake", CONTEXT, VOCAB, ByteCodec(), chat, engine, stop_ids=(EOS,))
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(configuration(model))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield Served(url_of(listener), engine)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()
        if chat is not None:
            chat.close()


def wait_until(condition: object, seconds: float = 20.0) -> None:
    """Fails when the condition does not come true in time."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def module_server() -> Iterator[Served]:
    with run_server() as served:
        yield served


@pytest.fixture
def served(module_server: Served) -> Iterator[Served]:
    """A server whose engine is as new; at the end no sequence may be left running."""
    fresh = FakeEngine()
    module_server.engine.__dict__.update(fresh.__dict__)
    yield module_server
    wait_until(lambda: module_server.engine.live - module_server.engine.cancels <= 0)
