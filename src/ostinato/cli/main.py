"""`ostinato`: which command was called, and what an error looks like.

    0 done    1 an error, on a line or two    2 wrong usage    130 stopped by Ctrl-C

Only the standard library is imported before a command runs: `--help` and `ps` answer in a blink.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from ostinato import __version__
from ostinato.cli.errors import USAGE, CliError, near_file
from ostinato.cli.output import one_line

# Command -> what it does. Its module, of the same name, has add_arguments(parser) and run(arguments) -> exit status.
COMMANDS = {
    "run": "answer a prompt, or chat",
    "serve": "serve a model over HTTP (OpenAI's API)",
    "ps": "list the models being served",
    "show": "what a model file is: an overview, metadata, tensors, program",
    "tokenize": "text to token ids",
    "detokenize": "token ids to text",
    "convert": "a Hugging Face checkpoint to a GGUF file",
    "quantize": "a smaller file of a model, as llama-quantize makes it",
    "perplexity": "how surprised a model is by a text, as llama-perplexity counts",
    "bench": "how fast a model runs here",
    "experts": "which experts of a mixture are wanted, layer by layer",
    "profile": "which experts texts want, saved for later starts",
    "checksums": "what experts are verified with when they are read",
    "doctor": "what this machine can do, and what would be chosen",
    "completion": "a script that completes commands and options in a shell",
}
# Collections come after so many new objects instead of 700: a command makes objects by the thousand while it starts,
# and nearly all stay.
OBJECTS = 50_000
INTERRUPTED = 130  # 128 + SIGINT, as shells count

OVERVIEW = f"""\
Ostinato {__version__} answers with GGUF language models, for one person or for many at once.

  ostinato run                               chat with the built-in model
  ostinato run model.gguf "Why is it blue?"  one answer
  ostinato serve model.gguf                  OpenAI's API, at http://127.0.0.1:8080/v1
  ostinato show model.gguf                   what a model is, and the memory it needs
  ostinato doctor                            what this machine can do

`ostinato --help` lists all commands, `ostinato COMMAND --help` tells more about each.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status."""
    gc.set_threshold(OBJECTS)
    _mend_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["help"]:
        given = [*given[1:], "--help"]
    name = next((word for word in given if not word.startswith("-")), None)
    if name not in COMMANDS:
        return _no_command(given, name)
    place = given.index(name)
    early = _parser().parse_args(given[:place])
    module = importlib.import_module(f"ostinato.cli.{name}")
    options = command_parser(name, module).parse_intermixed_args(given[place + 1 :])
    return _guarded(module, options, early.debug or options.debug or os.environ.get("OSTINATO_DEBUG") == "1")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")


def _no_command(given: Sequence[str], name: str | None) -> int:
    """An option that needs none, nothing at all, or a word that is no command."""
    if name is not None and not {"-h", "--help", "--version"} & set(given[: given.index(name)]):
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean `ostinato {near[0]}`?" if near else "`ostinato --help` lists them"
        print(f"ostinato: there is no command {one_line(name)[:60]!r}; {hint}", file=sys.stderr)
        return USAGE
    _parser().parse_args([word for word in given if word != name])
    sys.stdout.write(OVERVIEW)
    return 0


def _parser() -> argparse.ArgumentParser:
    """What may stand before a command; its help lists the commands."""
    width = max(map(len, COMMANDS))
    parser = _Parser(
        prog="ostinato",
        usage="ostinato COMMAND ...",
        description="An inference engine for GGUF language models.",
        epilog="commands:\n"
        + "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
        + "\n\n`ostinato COMMAND --help` tells more about each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ostinato {__version__}")
    _add_debug(parser)
    return parser


def command_parser(name: str, module: ModuleType) -> argparse.ArgumentParser:
    """One command's arguments. Parsed intermixed: `run MODEL --raw PROMPT` means what it says."""
    text = COMMANDS[name]
    parser = _Parser(prog=f"ostinato {name}", description=text[0].upper() + text[1:] + ".")
    module.add_arguments(parser)
    _add_debug(parser)
    return parser


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _guarded(module: ModuleType, options: argparse.Namespace, debug: bool) -> int:
    """Runs the command. Whatever goes wrong is a line or two on standard error, or a traceback with `debug`."""
    try:
        status: int = module.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # after the ^C that the terminal shows
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return 1
    except Exception as error:
        if debug:
            raise
        print(f"ostinato: {_plainly(error)}", file=sys.stderr)
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


def _plainly(error: Exception) -> str:
    """The text of an error that was foreseen; the kind as well, of one that was not."""
    text = one_line(" ".join(str(error).split()))
    if isinstance(error, MemoryError):
        return "there is not enough memory; a smaller --context needs less"
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{one_line(os.fsdecode(error.filename))}: "
        text = where + error.strerror
    if isinstance(error, (CliError, OSError, ValueError, RuntimeError)) and text:
        return text + near_file(error)
    return f"internal error: {type(error).__name__}: {text}\n(--debug shows where; please report it)"


def _forget_stdout() -> None:
    """Whoever read us has left (`| head`): what is still buffered goes nowhere, without complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
