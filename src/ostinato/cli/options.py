"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.engine.loading import Options

BUILTIN = Path(__file__).resolve().parent.parent / "models" / "ostinato-tiny.gguf"


def add_machine(parser: argparse.ArgumentParser, context: str = "positions of a sequence: prompt and answer") -> None:
    """--backend --threads --context --run-steps; `context` says what it counts."""
    group = parser.add_argument_group("machine")
    group.add_argument("--backend", metavar="NAME", help="one that `ostinato doctor` lists (default: the best)")
    group.add_argument("--threads", type=positive, metavar="N", help="threads (default: one per core)")
    group.add_argument(
        "--run-steps", type=positive, metavar="N", help="decode steps a device does by itself (default: 50 ms of them)"
    )
    group.add_argument("--context", type=positions, metavar="N", help=context)


def machine(options: argparse.Namespace) -> Options:
    """What `add_machine` took, as the engine wants it."""
    from ostinato.engine.loading import Options

    return Options(
        backend=options.backend,
        threads=options.threads or 0,
        context=options.context,
        run_steps=options.run_steps or 0,
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How an answer is made."""
    group = parser.add_argument_group("answer")
    group.add_argument("--temperature", type=float, default=0.7, metavar="X", help="0 is greedy (default: 0.7)")
    group.add_argument("--top-k", type=int, default=0, metavar="K", help="keep the K most probable tokens")
    group.add_argument("--top-p", type=float, default=1.0, metavar="P", help="keep the best that sum up to P")
    group.add_argument("--min-p", type=float, default=0.0, metavar="P", help="keep those of P x the best one's")
    group.add_argument("--seed", type=int, metavar="N", help="makes an answer repeatable (default: random)")
    group.add_argument("--max-tokens", type=positive, metavar="N", help="at most so long (default: to the end)")
    group.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before TEXT; repeatable")


def sampling(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_sampling` took, as ostinato.api.Settings; a seed is drawn where none was given."""
    import secrets

    seed = secrets.randbits(32) if options.seed is None else options.seed
    names = ("temperature", "top_k", "top_p", "min_p", "stop")
    return {"seed": seed, **{name: getattr(options, name) for name in names}}


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def positive(text: str) -> int:
    """An argument that counts something."""
    return _between(text, 1, 2**31 - 1)


def positions(text: str) -> int:
    """A context; far beyond any model's, within what a block table can hold."""
    return _between(text, 1, 2**24)


def port(text: str) -> int:
    """A TCP port; 0 stands for a free one."""
    return _between(text, 0, 2**16 - 1)


def _between(text: str, low: int, high: int) -> int:
    if not (text.isdecimal() and len(text) < 12 and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text[:40]!r}; expected a whole number from {low} to {high}")
    return int(text)
