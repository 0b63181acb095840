"""`ostinato perplexity MODEL TEXT`: how surprised a model is by a text, comparable with llama-perplexity."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.cli.errors import CliError
from ostinato.cli.options import add_json, add_machine, machine, positive
from ostinato.cli.output import print_json
from ostinato.cli.progress import progress
from ostinato.cli.spinner import Spinner

if TYPE_CHECKING:
    from ostinato.api import Model
    from ostinato.perplexity import Estimate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a GGUF file")
    parser.add_argument("text", metavar="TEXT", help="a text file, or - for standard input")
    parser.add_argument("--chunks", type=positive, metavar="N", help="score the first N windows only")
    add_machine(parser, context="tokens of a window, of which the second half is scored (default: 512)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from ostinato.api import Model
    from ostinato.engine.loading import open_model
    from ostinato.perplexity import CONTEXT, MIN_CONTEXT

    context = CONTEXT if options.context is None else options.context
    if context < MIN_CONTEXT:
        raise CliError(f"--context {context}; expected at least {MIN_CONTEXT}", 2)
    text = _read(options.text)
    with Spinner(f"loading {options.model.name}"):
        model = Model(open_model(options.model, replace(machine(options), context=context, max_sequences=1)))
    with model:
        started = time.perf_counter()
        *_, last = _estimates(model, text, context, options.chunks)
        _print(options, context, last, time.perf_counter() - started)
    return 0


def _read(name: str) -> bytes:
    """The text; without its last line end, as llama.cpp's tools read files."""
    text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    return text.removesuffix(b"\n")


def _estimates(model: Model, text: bytes, context: int, windows: int | None) -> Iterator[Estimate]:
    """Running estimates, under a progress bar."""
    from ostinato.perplexity import estimates

    ids = model.tokenizer.encode(text, add_special=True)
    ids = ids[: windows * context] if windows else ids
    with progress("scoring", len(ids) // context * context, "tokens") as bar:
        for estimate in estimates(model, ids, context):
            bar.advance(context)
            bar.note = f"PPL {estimate.perplexity:.4f}"
            yield estimate


def _print(options: argparse.Namespace, context: int, last: Estimate, seconds: float) -> None:
    if options.json:
        print_json(
            {
                "model": str(options.model), "text": options.text, "perplexity": last.perplexity, "error": last.error,
                "context": context, "windows": last.windows, "scored_tokens": last.tokens, "seconds": seconds,
            }
        )  # fmt: skip
        return
    print(f"Final estimate: PPL = {last.perplexity:.4f} +/- {last.error:.5f}")
    rate = last.windows * context / seconds
    print(f"{last.windows} windows of {context} tokens, {last.tokens} scored, {rate:.1f} tokens/s")
