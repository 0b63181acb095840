"""Token events -> pieces of text: decoding, stop strings, the tokens that belong to each piece.

A job's sequences run side by side; each piece goes to `emit` as soon as it may be shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from ostinato.engine.records_table import NOT_FINITE, UNREADABLE, FinishReason
from ostinato.engine.request import TokenEvent
from ostinato.engine.supervisor import EngineDownError, Overloaded
from ostinato.server.client import TokenStream
from ostinato.server.errors import ApiError
from ostinato.server.metrics import Metrics
from ostinato.server.model import ServedModel
from ostinato.server.prepare import Job
from ostinato.text import StopMatcher

RETRY_AFTER = 1  # seconds
NO_ENGINE = "there is no engine: {}"


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token of the answer; its text begins `offset` characters into the answer."""

    event: TokenEvent
    offset: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What may be shown next of one choice. The last one carries why it ended: "stop" or "length"."""

    choice: int
    text: str
    tokens: Sequence[ShownToken]
    finish: str | None


Emit = Callable[[Piece], Awaitable[None]]


def submit(job: Job, model: ServedModel) -> list[TokenStream]:
    """Starts all sequences of a job, or none. Raises ApiError."""
    streams: list[TokenStream] = []
    try:
        for request in job.requests:
            streams.append(model.engine.submit(request))  # noqa: PERF401 (what was started must be ended)
    except Overloaded as error:
        cancel(streams)
        raise ApiError(429, f"{error}; try again", code="overloaded", retry_after=RETRY_AFTER) from error
    except EngineDownError as error:
        cancel(streams)
        raise ApiError(503, NO_ENGINE.format(error), code="engine_down") from error
    except ValueError as error:
        cancel(streams)
        raise ApiError(400, str(error), code="invalid_value") from error
    return streams


async def answer(job: Job, streams: Sequence[TokenStream], model: ServedModel, metrics: Metrics, emit: Emit) -> int:
    """Runs a job to its end; returns the number of tokens generated. Raises ApiError when the engine failed; then,
    and when it is cancelled, the caller ends the streams."""
    choices = [_Choice(index, stream, job, model) for index, stream in enumerate(streams)]
    try:
        async with asyncio.TaskGroup() as group:
            for choice in choices:
                group.create_task(choice.run(emit, metrics))
    except* ApiError as failures:
        first = failures.exceptions[0]
        raise first from None
    finally:
        metrics.tokens(job.prompt_tokens, sum(choice.count for choice in choices))
    return sum(choice.count for choice in choices)


def cancel(streams: Sequence[TokenStream]) -> None:
    """Ends all of them; harmless for those that have ended."""
    for stream in streams:
        stream.cancel()


class _Choice:
    """One sequence on its way to text."""

    def __init__(self, index: int, stream: TokenStream, job: Job, model: ServedModel) -> None:
        self.count = 0
        self._index = index
        self._stream = stream
        continued = not model.tokenizer.is_control(job.requests[index].prompt[-1])
        self._decoder = model.tokenizer.stream(skip_special=True, continued=continued)
        self._stops = StopMatcher(job.stops)
        self._keep = job.logprobs >= 0
        self._held: list[ShownToken] = []
        self._offset = 0

    async def run(self, emit: Emit, metrics: Metrics) -> None:
        started = last = perf_counter()
        async for event in self._stream:
            now = perf_counter()
            if event.token >= 0:
                metrics.token(first=self.count == 0, seconds=now - (started if self.count == 0 else last))
                self.count += 1
            last = now
            piece = self._take(event)
            if piece.text or piece.tokens or piece.finish:
                await emit(piece)
            if piece.finish:
                return
        raise ApiError(500, "the engine ended the answer without saying why", code="engine_error")

    def _take(self, event: TokenEvent) -> Piece:
        """The next piece. The token that ends an answer is not part of its text."""
        text = ""
        if event.token >= 0 and event.finish is not FinishReason.STOP:
            text = self._decoder.push(event.token)
            if self._keep:
                self._held.append(ShownToken(event, self._offset))
        finish = _finish(event.finish, event.reason)
        if finish:
            text += self._decoder.flush()
        self._offset += len(text)
        shown, stopped = self._stops.push(text)
        if stopped:
            self._stream.cancel()
            finish = "stop"
        elif finish:
            shown += self._stops.flush()
        return Piece(self._index, shown, self._release(shown, finish, stopped), finish)

    def _release(self, shown: str, finish: str | None, stopped: bool) -> Sequence[ShownToken]:
        """Tokens go out with the text they are part of; those of a stop string alone never do."""
        if not shown and (stopped or not finish):
            return ()
        tokens, self._held = self._held, []
        return tokens


def _finish(finish: FinishReason, reason: str) -> str | None:
    """As the API words it. Raises ApiError for an end that is no answer."""
    match finish:
        case FinishReason.NONE:
            return None
        case FinishReason.STOP:
            return "stop"
        case FinishReason.LENGTH:
            return "length"
        case FinishReason.FAULT:
            message = "the engine failed twice while computing this request alone; the request was given up"
            raise ApiError(500, message, code="engine_fault")
        case FinishReason.NUMBERS:
            raise ApiError(500, NOT_FINITE, code="not_finite")
        case FinishReason.WEIGHTS:
            raise ApiError(500, UNREADABLE.format(reason), code="weights_unreadable")
        case FinishReason.CANCELLED:
            raise ApiError(503, "the server is shutting down", code="cancelled", retry_after=RETRY_AFTER)
    if reason:
        raise ApiError(503, NO_ENGINE.format(reason), code="engine_down")
    raise ApiError(500, "the engine refused the request", code="engine_error")
