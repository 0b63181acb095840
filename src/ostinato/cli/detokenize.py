"""`ostinato detokenize MODEL IDS`: the text of token ids, byte for byte."""

from __future__ import annotations

import argparse
import re
import sys

from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.options import add_json
from ostinato.cli.output import is_terminal, print_json, printable

SEPARATORS = re.compile(r"[\s,\[\]]+")  # "1 2 3", "1,2,3" and "[1, 2, 3]" are the same
LARGEST = 10  # digits of an id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a GGUF file; one with a vocabulary only will do")
    parser.add_argument("ids", metavar="IDS", nargs="+", help="ids, or - for standard input")
    parser.add_argument("--skip-special", action="store_true", help="leave control tokens out")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from ostinato.gguf.tokenizer import Tokenizer

    text = sys.stdin.read() if options.ids == ["-"] else " ".join(options.ids)
    ids = parse_ids(text)
    raw = Tokenizer.from_gguf(options.model).decode_bytes(ids, options.skip_special)
    if options.json:
        print_json({"ids": ids, "text": raw.decode(errors="replace")})
    elif is_terminal():
        print(printable(raw.decode(errors="replace")))
    else:
        sys.stdout.flush()
        _write(raw)
    return 0


def parse_ids(text: str) -> list[int]:
    """Raises CliError for a word that is no id."""
    words = [word for word in SEPARATORS.split(text) if word]
    for word in words:
        if not (word.isdecimal() and word.isascii() and len(word) <= LARGEST):
            raise CliError(f"{word[:40]!r} is no token id; ids are whole numbers", USAGE)
    return [int(word) for word in words]


def _write(raw: bytes) -> None:
    """The very bytes, where standard output takes bytes."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(raw.decode(errors="replace"))
    else:
        buffer.write(raw)
