"""Answers that take a while, as HTTP: one JSON object at the end, or server-sent events on the way.

Both watch the connection: when the client goes away, the work is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from ostinato.server.answer import Piece, answer, cancel
from ostinato.server.client import TokenStream
from ostinato.server.errors import ApiError
from ostinato.server.formats import Format
from ostinato.server.metrics import Metrics
from ostinato.server.model import ServedModel
from ostinato.server.prepare import Job

encode = msgspec.json.Encoder().encode


class Answer:
    """An ASGI response that runs a job. `streams` are submitted already, and belong to it."""

    def __init__(
        self, job: Job, streams: Sequence[TokenStream], model: ServedModel, metrics: Metrics, form: Format
    ) -> None:
        self._job, self._streams, self._model, self._metrics, self._form = job, streams, model, metrics, form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """However it ends, no sequence is left running."""
        try:
            await until_disconnect(receive, lambda: self._send(send))
        finally:
            cancel(self._streams)

    async def _send(self, send: Send) -> None:
        pieces: list[Piece] = []

        async def keep(piece: Piece) -> None:
            pieces.append(piece)

        generated = await self._run(keep)
        body = encode(self._form.whole(pieces, generated))
        await send(self._start(b"application/json", [(b"content-length", b"%d" % len(body))]))
        await send({"type": "http.response.body", "body": body})

    async def _run(self, emit: Callable[[Piece], Awaitable[None]]) -> int:
        return await answer(self._job, self._streams, self._model, self._metrics, emit)

    def _start(self, kind: bytes, more: Sequence[tuple[bytes, bytes]] = ()) -> dict[str, Any]:
        seed = b"%d" % self._job.seed
        headers = [(b"content-type", kind), (b"x-ostinato-seed", seed), *more]
        return {"type": "http.response.start", "status": 200, "headers": headers}


class EventStream(Answer):
    """The same as server-sent events: `data: {chunk}` for each piece, then `data: [DONE]`.

    A failure after the first byte is an event with an `error` object, and the last.
    """

    def __init__(
        self,
        job: Job,
        streams: Sequence[TokenStream],
        model: ServedModel,
        metrics: Metrics,
        form: Format,
        usage: bool,
    ) -> None:
        super().__init__(job, streams, model, metrics, form)
        self._usage = usage

    async def _send(self, send: Send) -> None:
        async def event(data: bytes) -> None:
            await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})

        async def emit(piece: Piece) -> None:
            await event(encode(self._form.chunk(piece)))

        await send(self._start(b"text/event-stream; charset=utf-8", [(b"cache-control", b"no-cache")]))
        for chunk in self._form.opening():
            await event(encode(chunk))
        try:
            generated = await self._run(emit)
            if self._usage:
                await event(encode(self._form.usage_chunk(generated)))
            await event(b"[DONE]")
        except ApiError as error:
            await event(encode(error.body()))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until_disconnect(receive: Receive, work: Callable[[], Awaitable[None]]) -> None:
    """Does the work, or as much of it as the client waits for. The request's body must have been read."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working = asyncio.ensure_future(work())
    watching = asyncio.ensure_future(gone())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
