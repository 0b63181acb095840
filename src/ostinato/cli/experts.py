"""`ostinato experts MODEL`: which experts are wanted, layer by layer, by a text or as a saved profile says.

ENTROPY   bits of the choice of an expert, of as many as there could be
EQUALS    how many equally likely experts have as much
TOP 1/4   the part of all uses that the most wanted quarter of the experts has
FOLLOWS   of what a token wanted, the part that guesses from the choice of the layer before named
AHEAD     the part that the layer's own router named when it was given what the layer before it looked at; the first
          layer's, the embedding
HIT AT    hit rate of a cache (LFRU) with room for that part of the layer's experts
USES      an expert a cell, in the order of their numbers; a full one is the most wanted of its layer, a dot nobody's;
          below the rest where the terminal is too narrow
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.options import add_json, add_machine, refuse_machine
from ostinato.cli.output import bold, cells_of, columns, dim, is_terminal, print_json, print_table, table_lines
from ostinato.cli.profile import MODEL_HELP, TEXT_HELP, WINDOW_HELP, record

if TYPE_CHECKING:
    from ostinato.memory.heat import LayerHeat

SHADES = "·▁▂▃▄▅▆▇█"  # of a cell, from untouched to the most wanted
PLAIN_SHADES = "_.:-=+*#@"  # where those cannot be shown
CELLS = 64  # experts that a line shows; of more, neighbours share a cell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help=MODEL_HELP)
    parser.add_argument("text", metavar="TEXT", nargs="*", help=TEXT_HELP)
    parser.add_argument("--profile", metavar="FILE", type=Path, help="a saved profile, instead of texts")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="a drawing too: .png, .svg or .pdf")
    add_machine(parser, context=WINDOW_HELP)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    if bool(options.text) == bool(options.profile):
        raise CliError("either TEXT or --profile FILE says what the experts are wanted for", USAGE)
    if options.profile:
        refuse_machine(options, "a saved profile is shown without running the model")
    if options.plot:
        from ostinato.cli.heatmap import check_plot

        check_plot(options.plot)
    heats, title, source = _measured(options) if options.text else _saved(options)
    if options.json:
        print_json({"model": str(options.model), "source": source, "layers": [_as_json(heat) for heat in heats]})
    else:
        _print(heats, title, source)
    if options.plot:
        from ostinato.cli.heatmap import draw

        draw(heats, f"{options.model.name}: {title}", source, options.plot)
    return 0


def _measured(options: argparse.Namespace) -> tuple[list[LayerHeat], str, str]:
    """What the texts want; in words what it is of, and where it comes from."""
    from ostinato.memory.heat import heat_of_routing, stacks_of

    routing = record(options, options.text)
    used = sorted({own.shape[1] for own in routing.chosen})
    title = f"{stacks_of(routing.parcels)}, {' or '.join(map(str, used))} of them a token"
    names = ", ".join("standard input" if name == "-" else Path(name).name for name in options.text)
    return heat_of_routing(routing), title, f"{routing.tokens} tokens of {names}"


def _saved(options: argparse.Namespace) -> tuple[list[LayerHeat], str, str]:
    """What a profile says of this model."""
    from ostinato.gguf.reader import open_gguf
    from ostinato.memory.heat import heat_of_profile, stacks_of
    from ostinato.memory.parcels import expert_parcels
    from ostinato.memory.profile import load_profile
    from ostinato.model.architectures import read_spec
    from ostinato.program.compile import compile_model

    with open_gguf(options.model) as file:
        parcels = expert_parcels(compile_model(read_spec(file), file.tensors), file)
        if not parcels.stacks:
            raise CliError(f"{options.model}: has no experts")
        heats = heat_of_profile(load_profile(options.profile, parcels.stacks))
    return heats, stacks_of(parcels), f"the profile {options.profile.name}"


def _as_json(heat: LayerHeat) -> dict[str, Any]:
    from ostinato.memory.heat import ROOMS

    rates = {f"{room:g}": rate for room, rate in zip(ROOMS, heat.hits, strict=False)}
    figures = {"entropy_bits": heat.entropy, "top_quarter": heat.top_quarter, "untouched": heat.untouched}
    return {**asdict(heat), "hits": rates, **figures}


def _print(heats: Sequence[LayerHeat], title: str, source: str) -> None:
    from ostinato.memory.heat import ROOMS

    print(bold(title) + dim(f"   {source}"))
    ordered = bool(heats[0].hits)
    first, *others = (f"{100 * room:.3g} %" for room in ROOMS)
    rooms = ["FOLLOWS", "AHEAD", f"HIT AT {first}", *others] if ordered else []
    header = ["LAYER", "ENTROPY", "EQUALS", "TOP 1/4", *rooms]
    rows = [_row(heat, ordered) for heat in heats]
    right = range(len(header))
    beside = columns() - max(map(cells_of, table_lines([header, *rows]))) - 2 if is_terminal() else CELLS
    if beside >= min(CELLS, max(len(heat.counts) for heat in heats)):
        drawn = [[*row, _shades(heat.counts, CELLS)] for row, heat in zip(rows, heats, strict=True)]
        print_table(drawn, [*header, "USES"], right)
        return
    print_table(rows, header, right)
    print()
    most = min(CELLS, columns() - len("LAYER  "))
    print_table([[str(heat.layer), _shades(heat.counts, most)] for heat in heats], ["LAYER", "USES"], right=[0])


def _row(heat: LayerHeat, ordered: bool) -> list[str]:
    from math import log2

    guesses = ["" if part is None else percent(part) for part in (heat.follows, heat.foreseen)] if ordered else []
    return [
        str(heat.layer), f"{heat.entropy:.2f}/{log2(len(heat.counts)):.2f}", f"{2**heat.entropy:.1f}",
        percent(heat.top_quarter), *guesses, *map(percent, heat.hits),
    ]  # fmt: skip


def _shades(counts: Sequence[int], most: int) -> str:
    """A cell for each expert, or for as many neighbours as it takes to fit into so many."""
    each = -(-len(counts) // max(1, most))
    cells = [sum(counts[at : at + each]) for at in range(0, len(counts), each)]
    shades = SHADES if (sys.stdout.encoding or "utf").lower().startswith("utf") else PLAIN_SHADES
    levels = len(shades) - 1
    return "".join(shades[-(-levels * count // max(1, *cells))] for count in cells)


def percent(part: float) -> str:
    return f"{100 * part:.0f} %"
