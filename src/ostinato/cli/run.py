"""`ostinato run [MODEL] [PROMPT]`: one answer; standard input is read when it is not a terminal; else a chat."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.options import BUILTIN, add_json, add_machine, add_settings, machine, settings
from ostinato.cli.output import one_line, print_json

if TYPE_CHECKING:
    from ostinato.cli.settings import Values
    from ostinato.cli.speaker import Speaker, Spoken

STOPPED = 130  # the exit status of an answer that Ctrl-C ended
PATIENCE = 2.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", metavar="[MODEL] [PROMPT]", nargs="*", help="a GGUF file (default: the built-in model), a prompt"
    )
    parser.add_argument("--raw", action="store_true", help="continue the prompt as it is, without chat template")
    add_settings(parser)
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

    from ostinato.cli.speaker import Speaker
    from ostinato.cli.typeahead import unechoed

    with unechoed() if prompt is None else nullcontext():
        speaker = Speaker(path, machine(options), options.raw)
    with speaker:
        if prompt is None:
            from ostinato.cli.conversation import converse

            return converse(speaker, settings(options))
        return _answer(speaker, path, prompt, settings(options), options.json)


def split_words(words: Sequence[str]) -> tuple[Path, str | None]:
    """(model, prompt): the first word is a model if it ends with .gguf or is a file that exists."""
    names_model = bool(words) and (words[0].endswith(".gguf") or _is_file(words[0]))
    if words and words[0] and not names_model:  # a path of no characters is the folder one is in
        _refuse_folder(words[0])
    path, rest = (Path(words[0]), words[1:]) if names_model else (BUILTIN, words)
    if len(rest) > 1 and not names_model:
        raise CliError(f"there is no model file {rest[0]!r}; if it begins the prompt, put it in quotes", USAGE)
    if len(rest) > 1:
        raise CliError(f"more than one prompt ({rest[0]!r}, {rest[1]!r}, ...); put it in quotes", USAGE)
    return path, rest[0] if rest else None


def _refuse_folder(word: str) -> None:
    """A checkpoint, or a path that is a folder, was meant as a model; a plain word is a prompt, folder or not."""
    try:
        path = Path(word)
        checkpoint = (path / "config.json").is_file()
        refused = checkpoint or (os.sep in word and path.is_dir())
    except (OSError, ValueError):
        return
    if refused:
        hint = "; `ostinato convert` makes one of this checkpoint" if checkpoint else ""
        raise CliError(f"{one_line(word)}: a folder, not a model file{hint}", USAGE)


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


def _answer(speaker: Speaker, path: Path, prompt: str, values: Values, as_json: bool) -> int:
    """One answer, as it comes; or whole, as JSON."""
    from ostinato.cli.session import Session
    from ostinato.cli.speaker import rates, report

    session = Session(speaker.name, values, [{"role": "user", "content": prompt}])
    spoken = speaker.say(speaker.encode(session.prompt()), values, quiet=as_json)
    if as_json:
        print_json(_json(speaker, path, spoken, rates(spoken)))
    else:
        print(flush=True)
    if spoken.cut:
        print(f"ostinato: the answer is cut: the context of {speaker.model.context} tokens is full", file=sys.stderr)
    if values["verbose"]:
        print(f"\n{report(spoken)}", file=sys.stderr)
    return STOPPED if spoken.stopped else 0


def _json(speaker: Speaker, path: Path, spoken: Spoken, figures: dict[str, float]) -> dict[str, object]:
    return {
        "model": str(path), "backend": speaker.backend, "text": spoken.text, "finish": spoken.reason,
        "seed": spoken.seed, **figures, "seconds": spoken.figures.seconds,
    }  # fmt: skip
