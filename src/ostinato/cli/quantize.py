"""`ostinato quantize IN.gguf OUT.gguf Q4_K_M`: a smaller file of the same model."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.cli.interrupt import ended_by_sigterm
from ostinato.cli.options import positive
from ostinato.cli.output import one_line, size
from ostinato.cli.progress import clock, progress
from ostinato.cli.target import add_force, check_target
from ostinato.gguf.types_table import TensorType
from ostinato.quantize.mixes import MIXES, Mix

if TYPE_CHECKING:
    from ostinato.quantize.file import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN.gguf", help="a GGUF file, best of F32, F16 or BF16")
    parser.add_argument("target", metavar="OUT.gguf", help="the file to write")
    parser.add_argument("mix", metavar="MIX", type=_mix, help=f"one of {', '.join(MIXES)}")
    parser.add_argument("--output-type", type=_type, metavar="TYPE", help="of the output matrix")
    parser.add_argument("--embedding-type", type=_type, metavar="TYPE", help="of the token embedding")
    parser.add_argument("--pure", action="store_true", help="one type for all matrices, whatever their role")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads (default: one per core)")
    add_force(parser)


def run(options: argparse.Namespace) -> int:
    from ostinato import _cpu
    from ostinato.gguf.reader import open_gguf
    from ostinato.quantize.file import check_room, make_plan, write_quantised
    from ostinato.quantize.rules import Overrides

    target = Path(options.target)
    check_target(target, options.force, [Path(options.source)])
    overrides = Overrides(options.output_type, options.embedding_type, options.pure)
    threads = options.threads or _cpu.usable_cores()
    with open_gguf(options.source) as file:
        plan = make_plan(file, options.mix, overrides)
        check_room(file, target, plan.bytes_after)
        _warn(plan)
        started = time.monotonic()
        with ended_by_sigterm(), progress("quantising", plan.bytes_before) as bar:
            write_quantised(file, plan, target, threads, bar.advance)
    _summarise(plan, target, time.monotonic() - started)
    return 0


def _mix(name: str) -> Mix:
    if name.upper() not in MIXES:
        raise argparse.ArgumentTypeError(f"{name[:40]!r}; expected one of {', '.join(MIXES)}")
    return MIXES[name.upper()]


def _type(name: str) -> TensorType:
    """Of those that the mixes use."""
    known = {mix.base.name: mix.base for mix in MIXES.values()}
    if name.upper() not in known:
        raise argparse.ArgumentTypeError(f"{name[:40]!r}; expected one of {', '.join(known)}")
    return known[name.upper()]


def _warn(plan: Plan) -> None:
    """What one would like to know before it is done."""
    if plan.requantised:
        _note("quantised before, so errors add up (F32, F16 or BF16 give a better file)", plan.requantised)
    if plan.fallbacks:
        _note(f"rows do not hold whole blocks of {plan.mix.base.name}, another type serves", plan.fallbacks)


def _note(text: str, names: Sequence[str]) -> None:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    print(f"note: {text}: {one_line(names[0])}{more}", file=sys.stderr)


def _summarise(plan: Plan, target: Path, seconds: float) -> None:
    bits = 8 * plan.bytes_after / max(plan.elements, 1)
    took = f"{seconds:.1f} s" if seconds < 60 else clock(seconds)
    sizes = f"{size(plan.bytes_before)} -> {size(plan.bytes_after)}"
    print(f"{one_line(str(target))}: {plan.mix.name}, {sizes}, {bits:.2f} bits per weight, {took}")
