"""A tokenizer of bytes and an engine that answers from a script, in the server's own process."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Callable, Mapping
from typing import Any

from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request, TokenEvent
from ostinato.engine.supervisor import EngineDownError, Overloaded

BOS, EOS, VOCAB = 256, 257, 258
SPECIAL = {"<s>": BOS, "</s>": EOS}


class ByteDecoder:
    """UTF-8 as it comes, never half a character."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        return self._decoder.decode(bytes([id])) if id < 256 else ""

    def flush(self) -> str:
        return self._decoder.decode(b"", final=True)


class ByteCodec:
    """A token is a byte; <s> and </s> are tokens of their own."""

    def encode(self, text: str, add_special: bool = False, parse_special: bool = False) -> list[int]:
        ids = [BOS] if add_special else []
        while text:
            mark = next((m for m in SPECIAL if parse_special and text.startswith(m)), None)
            ids += [SPECIAL[mark]] if mark else list(text[0].encode())
            text = text[len(mark) if mark else 1 :]
        return ids

    def token_bytes(self, id: int) -> bytes:
        return bytes([id]) if id < 256 else b""

    def control_texts(self) -> list[str]:
        return []

    def is_control(self, id: int) -> bool:
        return id >= 256

    def stream(self, skip_special: bool = False, continued: bool = False) -> ByteDecoder:
        assert skip_special
        return ByteDecoder()


def echo(request: Request) -> list[int]:
    """The prompt's bytes, upper case, then the end."""
    text = bytes(id for id in request.prompt if id < 256).decode(errors="replace")
    return [*text.upper().encode(), EOS]


class FakeStream:
    """Plays the tokens of a script."""

    def __init__(self, engine: FakeEngine, request: Request) -> None:
        self.cancelled = False
        self._engine = engine
        self._request = request
        self._tokens = iter(engine.script(request))
        self._index = -1
        self._over = False

    def __aiter__(self) -> FakeStream:
        return self

    async def __anext__(self) -> TokenEvent:
        await asyncio.sleep(self._engine.delay)
        if self._over:
            raise StopAsyncIteration
        event = self._next()
        self._over = event.finish is not FinishReason.NONE
        if self._over:
            self._engine.live -= 1
        return event

    def _next(self) -> TokenEvent:
        self._index += 1
        token = next(self._tokens, None)
        if self.cancelled:
            return TokenEvent(0, self._index, -1, FinishReason.CANCELLED)
        if token is None:
            return TokenEvent(0, self._index, -1, self._engine.broken_end)
        finish = FinishReason.NONE
        if token in self._request.stop_ids:
            finish = FinishReason.STOP
        elif self._index + 1 >= self._request.max_tokens:
            finish = FinishReason.LENGTH
        wanted = self._request.sampling.logprobs
        top = tuple(((token + i) % 256, -0.5 - i) for i in range(max(wanted, 0)))
        return TokenEvent(0, self._index, token, finish, -0.5 if wanted >= 0 else float("nan"), top)

    def cancel(self) -> None:
        if not (self.cancelled or self._over):
            self.cancelled = True
            self._engine.cancels += 1


class FakeEngine:
    """`script` gives a request's tokens; one that runs out ends with `broken_end`."""

    def __init__(self) -> None:
        self.script: Callable[[Request], Any] = echo
        self.delay = 0.0
        self.broken_end = FinishReason.FAULT
        self.capacity = 256
        self.ready = True
        self.down = ""
        self.store: dict[str, int] = {}  # counters of one
        self.live = 0
        self.cancels = 0
        self.requests: list[Request] = []

    async def start(self) -> None:
        self.ready = True

    async def stop(self) -> None:
        self.down = "stopped"

    def submit(self, request: Request) -> FakeStream:
        if self.down:
            raise EngineDownError(self.down)
        if self.live >= self.capacity:
            raise Overloaded(f"all {self.capacity} sequence records are taken")
        self.live += 1
        self.requests.append(request)
        return FakeStream(self, request)

    def info(self) -> Mapping[str, Any]:
        return {
            "engine_pid": 4711, "backend": "fake", "restarts": 2, "ready": self.ready, "down": self.down,
            "memory_bytes": 1 << 20, "running": self.live, "waiting": 0, "free_blocks": 7, "steps": 3,
            **self.store,
        }  # fmt: skip
