"""Whatever a connection does, no sequence is left running."""

from __future__ import annotations

import asyncio

import pytest

from ostinato.engine.request import Request
from ostinato.server.answer import submit
from ostinato.server.formats import CompletionFormat
from ostinato.server.metrics import Metrics
from ostinato.server.model import ServedModel
from ostinato.server.prepare import Job
from ostinato.server.responses import Answer, EventStream
from tests.server.fakes import VOCAB, ByteCodec, FakeEngine


@pytest.fixture
def model() -> ServedModel:
    engine = FakeEngine()
    engine.script = lambda request: iter(b"a" * 100)
    engine.delay = 0.01
    return ServedModel("fake", 200, VOCAB, ByteCodec(), None, engine)


def response(model: ServedModel, stream: bool) -> Answer:
    """Two sequences, submitted."""
    job = Job([Request(b"a", 50), Request(b"a", 50)], 2, 0, (), -1)
    parts = (job, submit(job, model), model, Metrics(model.engine.info), CompletionFormat(model, job))
    return EventStream(*parts, usage=False) if stream else Answer(*parts)


async def never() -> dict[str, str]:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_has_left_already(model: ServedModel, stream: bool) -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        await asyncio.sleep(0)

    asyncio.run(response(model, stream)({"type": "http"}, gone, send))
    assert model.engine.cancels == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_that_breaks(model: ServedModel, stream: bool) -> None:
    async def send(message: object) -> None:
        raise OSError("broken")

    model.engine.script = lambda request: iter(b"a" * 100)
    model.engine.delay = 0.0
    with pytest.raises(OSError, match="broken"):
        asyncio.run(response(model, stream)({"type": "http"}, never, send))
    assert model.engine.live - model.engine.cancels == 0


def test_a_client_that_never_reads(model: ServedModel) -> None:
    """The answer waits at the connection, cancellable: when the server ends it, the sequences end."""

    async def stuck(message: object) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(response(model, True)({"type": "http"}, never, stuck))
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert model.engine.cancels == 2
