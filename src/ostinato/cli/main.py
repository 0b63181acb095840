"""`ostinato`: which command was called, and what an error looks like.

    0 done    1 an error, on one line    2 wrong usage    130 stopped by Ctrl-C

Only the standard library is imported before a command runs: `--help` and `ps` answer in a blink.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from ostinato import __version__
from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.output import one_line

# Command -> what it does. Its module, of the same name, has add_arguments(parser) and run(arguments) -> exit status.
COMMANDS = {
    "run": "answer a prompt, or chat",
    "serve": "serve a model over HTTP (OpenAI's API)",
    "ps": "list the models being served",
    "show": "what a model file is: metadata, tensors, program",
    "tokenize": "text to token ids",
    "perplexity": "how surprised a model is by a text, as llama-perplexity counts",
    "bench": "how fast a model runs here",
    "doctor": "what this machine can do, and what would be chosen",
}
INTERRUPTED = 130  # 128 + SIGINT, as shells count


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status."""
    _mend_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = next((word for word in given if not word.startswith("-")), None)
    if name not in COMMANDS:
        _parser().parse_args(given)
        _parser().print_help()
        return 0
    place = given.index(name)
    _parser().parse_args([*given[:place], name])
    module = importlib.import_module(f"ostinato.cli.{name}")
    return _guarded(module, _command_parser(name, module).parse_intermixed_args(given[place + 1 :]))


class _Parser(argparse.ArgumentParser):
    """Says what is wrong on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    """All commands by name."""
    parser = _Parser(
        prog="ostinato",
        description="An inference engine for GGUF language models.",
        epilog="`ostinato COMMAND --help` tells more about each.",
    )
    parser.add_argument("--version", action="version", version=f"ostinato {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for command, text in COMMANDS.items():
        commands.add_parser(command, help=text)
    return parser


def _command_parser(name: str, module: ModuleType) -> argparse.ArgumentParser:
    """One command's arguments. Parsed intermixed: `run MODEL --raw PROMPT` means what it says."""
    text = COMMANDS[name]
    parser = _Parser(prog=f"ostinato {name}", description=text[0].upper() + text[1:] + ".")
    module.add_arguments(parser)
    return parser


def _guarded(module: ModuleType, options: argparse.Namespace) -> int:
    """Runs the command. Whatever goes wrong is one line on standard error; OSTINATO_DEBUG=1 shows the traceback."""
    try:
        status: int = module.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return 1
    except Exception as error:
        if os.environ.get("OSTINATO_DEBUG") == "1":
            raise
        print(f"ostinato: {_one_line(error)}", file=sys.stderr)
        _flush_or_forget()
        return error.status if isinstance(error, CliError) else 1
    return status


def _mend_streams() -> None:
    """Closed streams (`<&-`, `>&-`) become empty ones; what a terminal cannot show becomes a question mark."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (open as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _flush_or_forget() -> None:
    """What was printed before an error goes out, if it can."""
    try:
        sys.stdout.flush()
    except OSError:
        _forget_stdout()


def _one_line(error: Exception) -> str:
    """The text of an error that was foreseen; the kind as well, of one that was not."""
    text = one_line(" ".join(str(error).split()))
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, (CliError, OSError, ValueError, RuntimeError)) and text:
        return text
    return f"internal error: {type(error).__name__}: {text} (OSTINATO_DEBUG=1 shows where)"


def _forget_stdout() -> None:
    """Whoever read us has left (`| head`): what is still buffered goes nowhere, without complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
