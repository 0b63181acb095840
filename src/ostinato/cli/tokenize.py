"""`ostinato tokenize MODEL TEXT`: the token ids of a text, separated by spaces."""

from __future__ import annotations

import argparse
import os
import sys

from ostinato.cli.options import add_json
from ostinato.cli.output import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a GGUF file; one with a vocabulary only will do")
    parser.add_argument("text", metavar="TEXT", help="the text, or - for standard input, taken as it is")
    parser.add_argument("--special", action="store_true", help="add the BOS and EOS tokens the model asks for")
    parser.add_argument("--parse-special", action="store_true", help="read <|im_end|> and the like as tokens")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from ostinato.gguf.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_gguf(options.model)
    text = sys.stdin.buffer.read() if options.text == "-" else os.fsencode(options.text)
    ids = tokenizer.encode(text, options.special, options.parse_special)
    if options.json:
        pieces = [tokenizer.token_bytes(id).decode(errors="replace") for id in ids]
        print_json({"ids": ids, "pieces": pieces})
    else:
        print(*ids)
    return 0
