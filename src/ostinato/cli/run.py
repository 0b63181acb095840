"""`ostinato run [MODEL] [PROMPT]`: one answer; standard input is read when it is not a terminal; else a chat."""

from __future__ import annotations

import argparse
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.options import BUILTIN, add_json, add_machine, add_sampling, machine, sampling
from ostinato.cli.output import is_terminal, print_json, printable

if TYPE_CHECKING:
    from ostinato.api import Model
    from ostinato.chat import ChatEncoder

STOPPED = 130  # the exit status of an answer that Ctrl-C ended
PATIENCE = 2.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", metavar="[MODEL] [PROMPT]", nargs="*", help="a GGUF file (default: the built-in model), a prompt"
    )
    parser.add_argument("--raw", action="store_true", help="continue the prompt as it is, without chat template")
    add_sampling(parser)
    add_machine(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    path, prompt = split_words(options.words)
    if not sys.stdin.isatty():
        prompt = join_prompt(prompt, _read_stdin())
        if not prompt:
            raise CliError("no prompt: give one, or something on standard input", USAGE)
    elif prompt is None and options.json:
        raise CliError("--json needs a prompt", USAGE)

    from ostinato.api import Model
    from ostinato.chat import ChatEncoder
    from ostinato.engine.loading import open_model

    opened = open_model(path, machine(options))
    with Model(opened) as model:
        template = None if options.raw else ChatEncoder.of(model.tokenizer)
        settings = {**sampling(options), "max_tokens": options.max_tokens or model.context}
        try:
            if prompt is None:
                from ostinato.cli.conversation import converse

                return converse(opened.spec.name or path.stem, model, template, settings)
            if options.json:
                return _print_json(path, opened.backend.name, model, template, prompt, settings)
            return _print_answer(model, encode_prompt(model, template, prompt), settings)
        finally:
            if template is not None:
                template.close()


def split_words(words: Sequence[str]) -> tuple[Path, str | None]:
    """(model, prompt): the first word is a model if it ends with .gguf or is a file that exists."""
    names_model = bool(words) and (words[0].endswith(".gguf") or _is_file(words[0]))
    path, rest = (Path(words[0]), words[1:]) if names_model else (BUILTIN, words)
    if len(rest) > 1:
        raise CliError(f"more than one prompt ({rest[0]!r}, {rest[1]!r}, ...); put it in quotes", USAGE)
    return path, rest[0] if rest else None


def _is_file(word: str) -> bool:
    """A long prompt is no path, whatever the system says to it."""
    try:
        return Path(word).is_file()
    except (OSError, ValueError):
        return False


def join_prompt(prompt: str | None, piped: str) -> str | None:
    """What was piped in comes after the prompt; alone, it is the prompt."""
    return "\n\n".join(filter(None, (prompt, piped.strip("\n")))) or None


def _read_stdin() -> str:
    """Bytes that are not UTF-8 become U+FFFD. Who waits for a pipe that nobody fills is told so."""
    if not select.select([sys.stdin], [], [], PATIENCE)[0]:
        print("ostinato: reading standard input until it ends (`< /dev/null` if there is none)", file=sys.stderr)
    return sys.stdin.buffer.read().decode(errors="replace")


def encode_prompt(model: Model, template: ChatEncoder | None, prompt: str) -> list[int]:
    """A question to a model that chats; text to continue, for one that does not."""
    if template is None:
        return model.tokenize(prompt)
    return template.encode([{"role": "user", "content": prompt}])


def _print_answer(model: Model, ids: Sequence[int], settings: dict[str, Any]) -> int:
    from ostinato.cli.interrupt import Interruptible

    with Interruptible() as interrupt:
        for piece in interrupt.until(model.stream(ids, **settings)):
            show(piece)
    print(flush=True)
    return STOPPED if interrupt.came else 0


def show(piece: str) -> None:
    """As it comes; on a terminal, without control characters."""
    sys.stdout.write(printable(piece) if is_terminal() else piece)
    sys.stdout.flush()


def _print_json(
    path: Path, backend: str, model: Model, template: ChatEncoder | None, prompt: str, settings: dict[str, Any]
) -> int:
    ids = encode_prompt(model, template, prompt)
    started = time.perf_counter()
    text = model.generate(ids, **settings)
    seconds = time.perf_counter() - started
    answer = {
        "model": str(path), "backend": backend, "text": text, "seed": settings["seed"], "prompt_tokens": len(ids),
        "completion_tokens": model.counters["generated_tokens"], "seconds": seconds,
    }  # fmt: skip
    print_json(answer)
    return 0
