"""What the server needs of an engine and of a tokenizer. engine/supervisor.py and gguf/tokenizer.py fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ostinato.engine.request import Request, TokenEvent


class TokenStream(Protocol):
    """The events of one request, in order; the last carries a finish reason."""

    def __aiter__(self) -> TokenStream: ...

    async def __anext__(self) -> TokenEvent: ...

    def cancel(self) -> None:
        """Ends the sequence; harmless when it has ended."""


class EngineClient(Protocol):
    """An engine that may die and be started again, unseen."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def submit(self, request: Request) -> TokenStream:
        """Raises Overloaded when the queue is full, EngineDownError when there is no engine and will be none,
        ValueError for a request that can never run."""

    def info(self) -> Mapping[str, Any]:
        """engine_pid, backend, restarts, ready, down, memory_bytes, and counters by name."""


class Decoder(Protocol):
    """Token ids -> text, never half a character."""

    def push(self, id: int) -> str: ...

    def flush(self) -> str: ...


class TextCodec(Protocol):
    """The part of a tokenizer that serving needs."""

    def encode(self, text: str, add_special: bool = False, parse_special: bool = False) -> Sequence[int]: ...

    def token_bytes(self, id: int) -> bytes: ...

    def is_control(self, id: int) -> bool: ...

    def stream(self, skip_special: bool = False, continued: bool = False) -> Decoder: ...
