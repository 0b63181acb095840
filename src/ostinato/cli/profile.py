"""`ostinato profile MODEL TEXT... -o FILE`: which experts texts want, saved for later starts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.cli.options import add_machine, machine
from ostinato.cli.progress import progress
from ostinato.cli.spinner import Spinner
from ostinato.cli.target import add_force, check_target

if TYPE_CHECKING:
    from ostinato.engine.routing import Recorder
    from ostinato.memory.routing import Routing

MODEL_HELP = "a GGUF file of a mixture of experts"
TEXT_HELP = "text files, or - for standard input"
WINDOW_HELP = "tokens that are read as one text (default: the model's own, at most 8192)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help=MODEL_HELP)
    parser.add_argument("text", metavar="TEXT", nargs="+", help=TEXT_HELP)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="where the profile goes")
    add_machine(parser, context=WINDOW_HELP)
    add_force(parser, "FILE")


def run(options: argparse.Namespace) -> int:
    from ostinato.memory.heat import stacks_of

    check_target(options.output, options.force, [options.model, *map(Path, options.text)])
    routing = record(options, options.text)
    routing.profile.save(options.output)
    print(f"{options.output}: {stacks_of(routing.parcels)}, as {routing.tokens} tokens wanted them")
    return 0


def record(options: argparse.Namespace, names: Sequence[str]) -> Routing:
    """Runs the texts of these names through the model."""
    from dataclasses import replace

    from ostinato.engine.loading import open_model
    from ostinato.engine.routing import Recorder

    texts = [sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes() for name in names]
    with Spinner(f"loading {options.model.name}"):
        opened = open_model(options.model, replace(machine(options), max_sequences=1))
        with opened.closed_on_error():
            ids = [opened.tokenizer.encode(text, add_special=True) for text in texts]
            recorder = Recorder(opened)
    with recorder:
        return _record(recorder, ids)


def _record(recorder: Recorder, texts: Sequence[Sequence[int]]) -> Routing:
    """Under a progress bar."""
    from ostinato.memory.routing import joined

    parts: list[Routing] = []
    with progress("reading", sum(map(len, texts)), "tokens") as bar:
        for ids in texts:
            for part in recorder.record(ids):
                parts.append(part)
                bar.advance(part.tokens)
    return joined(parts)
