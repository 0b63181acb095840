"""Draws which experts are wanted: a heat map of experts by layers, and beside it what the layers add up to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.target import check_place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ostinato.memory.heat import LayerHeat

KINDS = (".png", ".svg", ".pdf")
SHADES = ("#ffffff", "#d6e4ee", "#8fb8d3", "#2f6f9f", "#123450", "#050d16")  # of the map, from untouched on
LINES = ("#123450", "#2f6f9f", "#8fb8d3")  # of hit rates, from the largest cache on
GUESSED, TOP, GREY = "#c26a2d", "#6b6b6b", "#666666"
GUESSES = (  # of LayerHeat: what it is, and its line
    ("follows", "guessed by the layer before", "--"),
    ("foreseen", "guessed by its router, a layer ahead", "-"),
)
WIDE, ABOVE, BELOW = 10.0, 0.42, 1.16  # inches: of all, over the map, under it
BRIGHTEST = 0.995  # of the cells: the few above have the darkest shade too


def check_plot(path: Path) -> None:
    """Before anything is measured: CliError where nothing could be drawn. A drawing that is there will be replaced."""
    if path.suffix.lower() not in KINDS:
        raise CliError(f"{path}: a drawing is one of {', '.join(KINDS)}", USAGE)
    check_place(path)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise CliError("drawing needs matplotlib: pip install 'ostinato[plot]'") from None


def draw(heats: Sequence[LayerHeat], title: str, source: str, path: Path) -> None:
    """Writes the drawing."""
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.size": 9,
        "font.family": "sans-serif",
        "svg.hashsalt": "ostinato",
        "axes.linewidth": 0.6,
    }
    tall = min(7.5, max(1.6, 0.17 * len(heats)))  # inches of the map
    whole = tall + ABOVE + BELOW
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(WIDE, whole))
        sides = {"left": 0.06, "right": 0.965, "wspace": 0.05, "width_ratios": (3.2, 1)}
        map_axes, side = figure.subplots(
            1, 2, sharey=True, gridspec_kw={**sides, "bottom": BELOW / whole, "top": 1 - ABOVE / whole}
        )
        key = figure.add_axes((0.06, 0.42 / whole, 0.3, 0.1 / whole))
        _draw_map(map_axes, key, heats)
        _draw_side(side, heats)
        figure.legend(loc="lower right", bbox_to_anchor=(0.97, 0.06 / whole), ncols=2, frameon=False, fontsize=8)
        figure.text(0.012, 1 - 0.12 / whole, title, va="top", fontsize=10, fontweight="bold")
        figure.text(0.988, 1 - 0.13 / whole, source, ha="right", va="top", color=GREY, fontsize=8)
        undated = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=150, facecolor="white", metadata=undated)


def _draw_map(axes: Axes, key: Axes, heats: Sequence[LayerHeat]) -> None:
    """A row for each layer, a cell for each expert: how many times its fair share it is wanted."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    wide = max(len(heat.counts) for heat in heats)
    cells = np.full((len(heats), wide), np.nan)
    for row, heat in enumerate(heats):
        fair = max(1, sum(heat.counts)) / len(heat.counts)
        cells[row, : len(heat.counts)] = np.array(heat.counts) / fair
    shades = LinearSegmentedColormap.from_list("experts", SHADES)
    brightest = max(2.0, float(np.nanquantile(cells, BRIGHTEST)))
    image = axes.imshow(cells, aspect="auto", interpolation="nearest", cmap=shades, norm=PowerNorm(0.6, 0.0, brightest))
    axes.set_xlabel("expert")
    axes.set_ylabel("layer")
    rows = range(0, len(heats), max(1, len(heats) // 16))
    axes.set_yticks(list(rows), [str(heats[row].layer) for row in rows])
    axes.tick_params(length=2, width=0.6)
    more = "max" if np.nanmax(cells) > brightest else "neither"
    assert axes.figure is not None
    bar = axes.figure.colorbar(image, cax=key, orientation="horizontal", extend=more)
    bar.set_label("uses, times those of an even choice", fontsize=8)
    key.tick_params(labelsize=8, length=2, width=0.6)


def _draw_side(axes: Axes, heats: Sequence[LayerHeat]) -> None:
    """What each layer adds up to, as parts of one."""
    from ostinato.memory.heat import ROOMS

    rows = range(len(heats))
    for index, (room, color) in enumerate(zip(ROOMS, LINES, strict=True)):
        if heats[0].hits:
            label = f"hit rate, room for {100 * room:.3g} %"
            axes.plot([heat.hits[index] for heat in heats], rows, color=color, label=label)
    axes.plot([heat.top_quarter for heat in heats], rows, color=TOP, ls=":", label="uses of the top quarter")
    for name, label, line in GUESSES:
        known = [(getattr(heat, name), row) for row, heat in enumerate(heats) if getattr(heat, name) is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=GUESSED, ls=line, label=label)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="x", color="#e3e3e3", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.tick_params(axis="x", length=2, width=0.6)
