"""The Python API: a model file, loaded into this process.

    with ostinato.load("model.gguf") as model:
        for piece in model.stream("Once upon a time", max_tokens=64):
            print(piece, end="")

Many prompts, or many threads, share one engine and its steps; an answer is the same in company as alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

from ostinato.backends.sampling import Sampling
from ostinato.engine.evaluate import embedding, logits, logprobs
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.engine.local import Stream, local_engine
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request, TokenEvent
from ostinato.text import StopMatcher

if TYPE_CHECKING:
    import numpy as np

    from ostinato.gguf.tokenizer import StreamDecoder

CAPACITY = 256  # sequences running and waiting
MAX_TOKENS = 256  # where nothing is said

Prompt = str | Sequence[int]


class Settings(TypedDict, total=False):
    """How an answer is made. What is left out has the value given here."""

    max_tokens: int  # 256
    temperature: float  # 0: greedy
    top_k: int  # 0: all
    top_p: float  # 1
    min_p: float  # 0
    presence_penalty: float  # 0
    frequency_penalty: float  # 0
    repetition_penalty: float  # 1
    logit_bias: Mapping[int, float]  # none
    seed: int | None  # None: a random one
    logprobs: int  # -1: none; n: of the token and of the n best (see `Model.events`)
    stop: str | Sequence[str]  # none; the answer ends before it
    ignore_eos: bool  # False; True: go on after the model's own end


def load(
    path: str | os.PathLike[str],
    backend: str | None = "cpu",
    *,
    threads: int = 0,
    context: int | None = None,
    max_sequences: int = 64,
    memory: str | None = None,
    gpu_memory: str | None = None,
    embed: bool = False,
) -> Model:
    """Loads a GGUF file. `backend` None takes the best one here; `threads` 0 one per core; `context` None what
    the model was trained for (at most 8192); `max_sequences` run side by side, others wait. `memory` is a
    budget for the process ("8GiB", or "50%" of the file): weights beyond it are read when they are needed, on the CPU.
    `gpu_memory` is one of a card's memory, for backend "cuda": experts beyond it lie in the machine's, of which
    `memory` then is the most that they may take.
    `embed`: embeddings instead of answers, from a model that generates but whose file says how to pool; encoders need
    no such word.

    Raises what `open_model` raises, or CompileError: ValueErrors all, each saying what is wrong and where.
    """
    options = Options(
        backend=backend, threads=threads, context=context, max_sequences=max_sequences, memory=memory, embed=embed,
        gpu_memory=gpu_memory,
    )  # fmt: skip
    return Model(open_model(path, options))


class Model:
    """A loaded model. Any number of threads may use it at once; `close` it, or use it in a `with`."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        with opened.closed_on_error():
            self.tokenizer = opened.tokenizer
            self._executable = opened.compile()
        self._engine, self._port = local_engine(opened, self._executable, CAPACITY)
        self._lock = threading.Lock()
        self._closed = False

    @property
    def context(self) -> int:
        """Positions of one sequence: prompt and answer."""
        return self._engine.capacity

    @property
    def vocab_size(self) -> int:
        return self._opened.programs.vocab_size

    @property
    def counters(self) -> dict[str, int]:
        """The engine's figures: steps, tokens, prefix hits, preemptions, ..."""
        return self._engine.counters()

    def tokenize(self, text: str, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """Ids of a text; with the BOS and EOS tokens that the file asks for unless `add_special` is False."""
        return self.tokenizer.encode(text, add_special, parse_special)

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of ids, control tokens shown."""
        return self.tokenizer.decode(ids)

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Float32 [len(ids), vocab]: row i is what may follow ids[: i + 1]. ValueError for ids that do not fit."""
        with self._lock:
            self._check_answers()
            return logits(self._engine, list(ids))

    def embed(self, text: Prompt) -> np.ndarray:
        """Float32 [width]: the embedding of a text (or of ids) by an encoder, as the file pools it, not normalised.
        ValueError for a model that is none, or a text that does not fit."""
        if not self._opened.programs.embeds:
            raise ValueError("this model generates text; embeddings come from an encoder, or with load(embed=True)")
        ids = self.tokenize(text) if isinstance(text, str) else list(text)
        with self._lock:
            self._check_open()
            return embedding(self._engine, ids)

    def logprobs(self, ids: Sequence[int], first: int = 0) -> np.ndarray:
        """Float64 [len(ids) - 1 - first]: element i is log p(ids[first + i + 1] | all before it). No logits are kept,
        so any context fits. ValueError for ids that do not fit."""
        with self._lock:
            self._check_answers()
            return logprobs(self._engine, list(ids), first)

    def generate(self, prompt: Prompt, **settings: Unpack[Settings]) -> str:
        """The answer to a prompt (text, or ids). Raises ValueError for a prompt or setting out of range."""
        return "".join(self.stream(prompt, **settings))

    def stream(self, prompt: Prompt, **settings: Unpack[Settings]) -> Answer:
        """The same in pieces as they come. Closing the iterator ends the answer."""
        request = self._request(prompt, settings)
        figures = Figures(len(request.prompt))
        return Answer(self._pieces(request, self._text(request, settings), figures), figures)

    def generate_many(self, prompts: Sequence[Prompt], **settings: Unpack[Settings]) -> list[str]:
        """Answers to many prompts, computed together; each is what `generate` would give."""
        requests = [self._request(prompt, settings) for prompt in prompts]
        texts = [self._text(request, settings) for request in requests]
        answers = [(text, self._start(request)) for text, request in zip(texts, requests, strict=True)]
        try:
            while open_answers := [(text, stream) for text, stream in answers if not text.done]:
                for text, stream in open_answers:
                    text.extend(self._wait(stream))
                    if text.done:
                        self._cancel(stream)
        finally:
            for _, stream in answers:
                self._cancel(stream)
        return [text.shown for text in texts]

    def events(self, prompt: Prompt, **settings: Unpack[Settings]) -> Iterator[TokenEvent]:
        """The answer token by token, with log-probabilities where `logprobs` asks for them. `stop` is about text,
        and not looked at here."""
        return self._events(self._request(prompt, settings))

    def close(self) -> None:
        """Gives the memory back. Answers not finished end with an error. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._executable.close()
                self._opened.file.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(self, prompt: Prompt, settings: Settings) -> Request:
        """Checks everything that a stranger may have said."""
        self._opened.check_answers()
        unknown = settings.keys() - Settings.__annotations__.keys()
        if unknown:
            raise TypeError(f"unknown setting {min(unknown)!r}; there are: {', '.join(Settings.__annotations__)}")
        ids = self.tokenize(prompt) if isinstance(prompt, str) else list(prompt)
        if not 1 <= len(ids) < self.context:
            raise ValueError(f"the prompt has {len(ids)} tokens; expected 1 to {self.context - 1} (the context)")
        if not all(0 <= id < self.vocab_size for id in ids):
            raise ValueError(f"the prompt names a token outside the vocabulary of {self.vocab_size}")
        sampling = _sampling(settings)
        sampling.check(self.vocab_size)
        stop_ids = () if settings.get("ignore_eos") else sorted(self.tokenizer.stop_ids)
        return Request(ids, settings.get("max_tokens", MAX_TOKENS), sampling, stop_ids)

    def _text(self, request: Request, settings: Settings) -> _Text:
        stop = settings.get("stop", ())
        continued = not self.tokenizer.is_control(request.prompt[-1])
        decoder = self.tokenizer.stream(skip_special=True, continued=continued)
        return _Text(decoder, StopMatcher([stop] if isinstance(stop, str) else stop))

    def _pieces(self, request: Request, text: _Text, figures: Figures) -> Generator[str]:
        started = time.perf_counter()
        stream = self._start(request)
        try:
            while not (text.done or figures.stopped):
                events = self._advance(stream)
                figures.count(events, time.perf_counter() - started)
                for piece in map(text.push, events):
                    if piece:
                        yield piece
        finally:
            self._cancel(stream)

    def _events(self, request: Request) -> Iterator[TokenEvent]:
        stream = self._start(request)
        try:
            while not stream.finish or stream.events:
                yield from self._wait(stream)
        finally:
            self._cancel(stream)

    def _start(self, request: Request) -> Stream:
        """Files a request; where every record is taken, the engine works until one is free."""
        while True:
            with self._lock:
                self._check_open()
                stream = self._port.submit(request)
                if stream is not None:
                    return stream
                self._engine.step()

    def _wait(self, stream: Stream) -> list[TokenEvent]:
        """The stream's next events, at least one; the engine works until they are there."""
        while not (events := self._advance(stream)):
            pass
        return events

    def _advance(self, stream: Stream) -> list[TokenEvent]:
        """The stream's events; where there are none, those after one more step (perhaps none)."""
        with self._lock:
            self._check_open()
            if not stream.events:
                self._engine.step()
            events = list(stream.events)
            stream.events.clear()
        if events and stream.failure:
            raise RuntimeError(stream.failure)
        return events

    def _cancel(self, stream: Stream) -> None:
        with self._lock:
            self._port.cancel(stream)

    def _check_answers(self) -> None:
        self._check_open()
        self._opened.check_answers()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the model is closed")


@dataclass
class Figures:
    """What is known of an answer so far. Seconds count from when its first piece was asked for."""

    prompt_tokens: int
    tokens: int = 0  # generated, with the one that ended the answer
    first_seconds: float = 0.0  # until the first token
    seconds: float = 0.0  # until the last one
    finish: FinishReason = FinishReason.NONE
    stopped: bool = False  # by `Answer.stop`

    def count(self, events: Sequence[TokenEvent], seconds: float) -> None:
        """Events came, so many seconds after the start."""
        if not events:
            return
        self.first_seconds = self.first_seconds or seconds
        self.seconds = seconds
        self.tokens += sum(event.token >= 0 for event in events)
        self.finish = events[-1].finish


class Answer(Iterator[str]):
    """An answer in pieces as they come, and its `figures`."""

    def __init__(self, pieces: Generator[str], figures: Figures) -> None:
        self._pieces, self.figures = pieces, figures

    def __next__(self) -> str:
        return next(self._pieces)

    def stop(self) -> None:
        """The answer ends before its next token. May be called from another thread, or from a signal handler."""
        self.figures.stopped = True

    def close(self) -> None:
        """The answer ends here."""
        self._pieces.close()


class _Text:
    """Token events -> text, up to a stop string."""

    def __init__(self, decoder: StreamDecoder, stops: StopMatcher) -> None:
        self._decoder, self._stops = decoder, stops
        self.shown = ""
        self.done = False

    def push(self, event: TokenEvent) -> str:
        """What may be shown now; nothing once it is done. The token that ends an answer is not part of its text."""
        if self.done:
            return ""
        text = ""
        if event.token >= 0 and event.finish is not FinishReason.STOP:
            text = self._decoder.push(event.token)
        if event.finish:
            text += self._decoder.flush()
        piece, stopped = self._stops.push(text)
        if event.finish and not stopped:
            piece += self._stops.flush()
        self.done = stopped or bool(event.finish)
        self.shown += piece
        return piece

    def extend(self, events: Sequence[TokenEvent]) -> None:
        """Pushes several."""
        for event in events:
            self.push(event)


def _sampling(settings: Settings) -> Sampling:
    seed = settings.get("seed")
    return Sampling(
        temperature=settings.get("temperature", 0.0),
        top_k=settings.get("top_k", 0),
        top_p=settings.get("top_p", 1.0),
        min_p=settings.get("min_p", 0.0),
        presence_penalty=settings.get("presence_penalty", 0.0),
        frequency_penalty=settings.get("frequency_penalty", 0.0),
        repetition_penalty=settings.get("repetition_penalty", 1.0),
        seed=int.from_bytes(os.urandom(8)) if seed is None else seed,
        logprobs=settings.get("logprobs", -1),
        logit_bias=tuple(settings.get("logit_bias", {}).items()),
    )
