"""Pieces of answers -> the JSON objects of OpenAI's two APIs, whole and as chunks of a stream.

Sources: CreateChatCompletionResponse, CreateChatCompletionStreamResponse and CreateCompletionResponse of the
OpenAI OpenAPI description. `seed` beside `id` is this server's own: the seed that was used.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from time import time
from typing import Any

from ostinato.server.answer import Piece, ShownToken
from ostinato.server.client import TextCodec
from ostinato.server.model import ServedModel
from ostinato.server.prepare import Job

LEAST_LOGPROB = -9999.0  # JSON has no infinity; OpenAI writes this for what cannot happen

Json = dict[str, Any]


class Format(ABC):
    """How one call is answered."""

    prefix: str  # of the answer's id
    whole_name: str  # the `object` of a whole answer
    chunk_name: str  # the `object` of a chunk

    def __init__(self, model: ServedModel, job: Job) -> None:
        self._codec = model.tokenizer
        self._job = job
        self._envelope: Json = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}",
            "created": int(time()),
            "model": model.name,
            "system_fingerprint": model.fingerprint,
            "seed": job.seed if job.seed < 2**63 else job.seed - 2**64,
        }

    def opening(self) -> Iterator[Json]:
        """Chunks before any text."""
        return iter(())

    def chunk(self, piece: Piece) -> Json:
        """A chunk with one piece of one choice."""
        return self._chunk([self.delta(piece)])

    def usage_chunk(self, generated: int) -> Json:
        """The chunk before the end, of a stream that asked for usage."""
        return {**self._chunk([]), "usage": self._usage(generated)}

    def whole(self, pieces: Sequence[Piece], generated: int) -> Json:
        """The answer, when it is not streamed. `pieces` in the order in which they came."""
        by_choice: list[list[Piece]] = [[] for _ in self._job.requests]
        for piece in pieces:
            by_choice[piece.choice].append(piece)
        choices = [self.choice(_join(choice)) for choice in by_choice]
        usage = self._usage(generated)
        return {**self._envelope, "object": self.whole_name, "choices": choices, "usage": usage}

    @abstractmethod
    def delta(self, piece: Piece) -> Json:
        """A choice in a chunk."""

    @abstractmethod
    def choice(self, piece: Piece) -> Json:
        """A choice of a whole answer."""

    def _chunk(self, choices: Sequence[Json]) -> Json:
        return {**self._envelope, "object": self.chunk_name, "choices": choices}

    def _usage(self, generated: int) -> Json:
        prompt = self._job.prompt_tokens
        return {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}


class ChatFormat(Format):
    """POST /v1/chat/completions."""

    prefix = "chatcmpl"
    whole_name = "chat.completion"
    chunk_name = "chat.completion.chunk"

    def opening(self) -> Iterator[Json]:
        for index in range(len(self._job.requests)):
            delta = {"role": "assistant", "content": ""}
            yield self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}])

    def delta(self, piece: Piece) -> Json:
        delta = {"content": piece.text} if piece.text else {}
        return {**self._common(piece), "delta": delta}

    def choice(self, piece: Piece) -> Json:
        message = {"role": "assistant", "content": piece.text, "refusal": None}
        return {**self._common(piece), "message": message}

    def _common(self, piece: Piece) -> Json:
        return {"index": piece.choice, "logprobs": self._logprobs(piece.tokens), "finish_reason": piece.finish}

    def _logprobs(self, tokens: Sequence[ShownToken]) -> Json | None:
        if self._job.logprobs < 0:
            return None
        return {"content": [self._token(shown) for shown in tokens], "refusal": None}

    def _token(self, shown: ShownToken) -> Json:
        event = shown.event
        best = [self._entry(token, logprob) for token, logprob in event.top]
        return {**self._entry(event.token, event.logprob), "top_logprobs": best}

    def _entry(self, token: int, logprob: float) -> Json:
        octets = self._codec.token_bytes(token)
        text = octets.decode(errors="replace")
        return {"token": text, "logprob": max(logprob, LEAST_LOGPROB), "bytes": list(octets)}


class CompletionFormat(Format):
    """POST /v1/completions. `text_offset` counts characters from the start of the choice's text."""

    prefix = "cmpl"
    whole_name = "text_completion"
    chunk_name = "text_completion"

    def delta(self, piece: Piece) -> Json:
        return self.choice(piece)

    def choice(self, piece: Piece) -> Json:
        logprobs = None if self._job.logprobs < 0 else self._logprobs(piece.tokens)
        return {
            "index": piece.choice, "text": piece.text, "logprobs": logprobs, "finish_reason": piece.finish,
        }  # fmt: skip

    def _logprobs(self, tokens: Sequence[ShownToken]) -> Json:
        events = [shown.event for shown in tokens]
        return {
            "tokens": [_written(self._codec, event.token) for event in events],
            "token_logprobs": [max(event.logprob, LEAST_LOGPROB) for event in events],
            "top_logprobs": [self._best([*event.top, (event.token, event.logprob)]) for event in events],
            "text_offset": [shown.offset for shown in tokens],
        }

    def _best(self, entries: Sequence[tuple[int, float]]) -> Mapping[str, float]:
        return {_written(self._codec, token): max(logprob, LEAST_LOGPROB) for token, logprob in entries}


def _join(pieces: Sequence[Piece]) -> Piece:
    """One choice's pieces as one."""
    tokens = [token for piece in pieces for token in piece.tokens]
    return Piece(pieces[0].choice, "".join(piece.text for piece in pieces), tokens, pieces[-1].finish)


def _written(codec: TextCodec, token: int) -> str:
    """A token as a key: its text, or its bytes in hexadecimal where they are only part of a character."""
    octets = codec.token_bytes(token)
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{octet:02x}" for octet in octets)
