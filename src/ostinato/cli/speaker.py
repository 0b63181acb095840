"""A loaded model that answers: messages to ids, the answer as it comes, and what it took."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.interrupt import Interruptible
from ostinato.cli.output import columns, is_terminal, printable
from ostinato.cli.progress import draws
from ostinato.cli.settings import for_model
from ostinato.cli.spinner import Spinner
from ostinato.cli.wrap import Wrapper

if TYPE_CHECKING:
    from ostinato.api import Figures, Model
    from ostinato.chat import ChatEncoder
    from ostinato.engine.loading import Opened, Options
    from ostinato.gguf.reader import GGUFFile
    from ostinato.gguf.tokenizer import Tokenizer
    from ostinato.templates.renderer import Renderer


@dataclass(frozen=True)
class Spoken:
    """An answer, whole or stopped. `cached`: tokens of the prompt that were known from before."""

    text: str
    figures: Figures
    cached: int
    seed: int
    stopped: bool  # by Ctrl-C
    cut: bool  # by the length of the context
    load_seconds: float  # 0 for all but the first answer: the model was loaded once

    @property
    def reason(self) -> str:
        """Why it ended."""
        if self.stopped:
            return "interrupted"
        return "length" if self.figures.finish.name == "LENGTH" else "stop"


class Speaker:
    """The model, and the template that its chats are written in; without one, texts are continued as they are."""

    def __init__(self, path: Path, options: Options, raw: bool) -> None:
        from ostinato.gguf.reader import open_gguf

        started = time.perf_counter()
        with Spinner(f"loading {path.name}"):
            file, renderer = open_gguf(path), None
            try:
                renderer = None if raw else _renderer(file)
                opened = _open(path, options, file)
                self.template: ChatEncoder | None = _encoder(opened.tokenizer, renderer)
                self.model: Model = _load(opened)
            except BaseException:
                if renderer is not None:
                    renderer.close()
                file.close()
                raise
        self._load_seconds = time.perf_counter() - started
        self.spec, self.backend = opened.spec, opened.backend.name
        self.name = opened.spec.name or path.stem

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.template is not None:
            self.template.close()
        self.model.close()

    def encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a prompt. Raises ChatError, ValueError."""
        if self.template is not None:
            return self.template.encode(messages)
        if messages[0]["role"] == "system":
            raise ValueError("there is no chat template, so there can be no system message")
        return self.model.tokenize(messages[-1]["content"])

    def say(self, ids: Sequence[int], values: Mapping[str, Any], quiet: bool = False) -> Spoken:
        """Answers, on standard output as it comes (unless `quiet`); Ctrl-C ends the answer. Raises ValueError."""
        settings = for_model(values, self.model.context)
        hits = self.model.counters["prefix_hits"]
        answer = self.model.stream(ids, **settings)
        pieces: list[str] = []
        write = _writer()
        with Interruptible(answer.stop) as interrupt, Spinner() as spinner:
            for piece in answer:
                pieces.append(piece)
                if not quiet:
                    spinner.stop()
                    write(piece)
        figures = answer.figures
        cut = figures.finish.name == "LENGTH" and figures.tokens < settings["max_tokens"] - (
            values["max_tokens"] is None
        )
        cached = self.model.counters["prefix_hits"] - hits
        load_seconds, self._load_seconds = self._load_seconds, 0.0
        return Spoken("".join(pieces), figures, cached, settings["seed"], interrupt.came, cut, load_seconds)


# The parts of a model, each importing what it needs: the process that renders templates starts while the engine and
# NumPy are still being imported here.


def _renderer(file: GGUFFile) -> Renderer | None:
    """Of the file's chat templates, starting; None where it has none. (What is wrong with them, the tokenizer says.)"""
    from ostinato.gguf.tokenizer import TokenizerError, chat_templates

    with suppress(TokenizerError):
        if sources := chat_templates(file):
            from ostinato.templates.renderer import Renderer

            renderer = Renderer(sources)
            renderer.start()
            return renderer
    return None


def _open(path: Path, options: Options, file: GGUFFile) -> Opened:
    """Raises what `open_model` raises, and ModelError for an encoder."""
    if options.backend != "reference":  # only it multiplies with NumPy, whose BLAS takes 10 ms to start its threads
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from ostinato.engine.loading import open_model

    opened = open_model(path, options, file)
    opened.check_answers()
    return opened


def _encoder(tokenizer: Tokenizer, renderer: Renderer | None) -> ChatEncoder | None:
    if renderer is None:
        return None
    from ostinato.chat import ChatEncoder

    return ChatEncoder.of(tokenizer, renderer)


def _load(opened: Opened) -> Model:
    from ostinato.api import Model

    return Model(opened)


def _writer() -> Callable[[str], None]:
    """Writes pieces as they come; on a terminal words stay whole, and control characters are shown, not obeyed."""
    wrapper = Wrapper(columns) if draws(is_terminal()) else None

    def write(piece: str) -> None:
        shown = printable(piece) if is_terminal() else piece
        sys.stdout.write(wrapper.push(shown) if wrapper is not None else shown)
        sys.stdout.flush()

    return write


def rates(spoken: Spoken) -> dict[str, float]:
    """What an answer took. The prompt ends with the first token; what was cached was not computed."""
    figures = spoken.figures
    generating = figures.seconds - figures.first_seconds
    computed = figures.prompt_tokens - spoken.cached
    return {
        "load_seconds": spoken.load_seconds,
        "prompt_tokens": figures.prompt_tokens,
        "cached_tokens": spoken.cached,
        "prompt_seconds": figures.first_seconds,
        "prompt_tokens_per_second": computed / figures.first_seconds if figures.first_seconds else 0.0,
        "completion_tokens": figures.tokens,
        "completion_seconds": generating,
        "completion_tokens_per_second": (figures.tokens - 1) / generating if generating else 0.0,
    }


def report(spoken: Spoken) -> str:
    """The same for people, as Ollama prints it."""
    found = rates(spoken)
    known = f" ({spoken.cached} of them known from before)" if spoken.cached else ""
    rows = {
        "total duration": _duration(spoken.load_seconds + spoken.figures.seconds),
        **({"load duration": _duration(spoken.load_seconds)} if spoken.load_seconds else {}),
        "prompt eval count": f"{found['prompt_tokens']} token(s){known}",
        "prompt eval duration": _duration(found["prompt_seconds"]),
        "prompt eval rate": f"{found['prompt_tokens_per_second']:.2f} tokens/s",
        "eval count": f"{found['completion_tokens']} token(s)",
        "eval duration": _duration(found["completion_seconds"]),
        "eval rate": f"{found['completion_tokens_per_second']:.2f} tokens/s",
    }
    return "\n".join(f"{name + ':':22}{value}" for name, value in rows.items())


def _duration(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms" if seconds < 1 else f"{seconds:.3f} s"
