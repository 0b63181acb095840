"""Draws a result of bench/cpu.py: both engines' tokens a second, one stream and several.

pip install '.[plot]'
python -m bench.plot bench/results/DATE-cpu.json docs/cpu.svg
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams.update({"font.size": 9, "font.family": "sans-serif", "svg.hashsalt": "ostinato"})

from matplotlib import pyplot as plt  # noqa: E402 (after the choice of what to draw with)
from matplotlib.axes import Axes  # noqa: E402

from bench.figures import Figure, from_json  # noqa: E402

PANELS = (  # the work and its title
    ("decode", "one stream, decode"),
    ("prefill 512", "one stream, prefill of 512"),
    ("sequences at once", "sequences at once, Q4_K_M"),
)
OURS, PEER = "#2f6f9f", "#c9c9c9"
WIDTH = 0.4  # of a bar; two stand side by side


def of_panel(figures: Sequence[Figure], work: str) -> list[Figure]:
    """Those of one work with a peer, without the sub-rows of lesser instruction levels and disturbed cores."""
    return [f for f in figures if f.work == work and f.peer is not None and " " not in f.case]


def draw_panel(axes: Axes, figures: Sequence[Figure], title: str) -> None:
    """Pairs of bars; over each how many times the peer's ours is."""
    for index, figure in enumerate(figures):
        assert figure.peer is not None
        axes.bar(index - WIDTH / 2, figure.ours, WIDTH, color=OURS)
        axes.bar(index + WIDTH / 2, figure.peer, WIDTH, color=PEER)
        axes.annotate(
            f"{figure.ours / figure.peer:.2f}x", (index, max(figure.ours, figure.peer)), (0, 2),
            textcoords="offset points", ha="center", fontsize=8, color=OURS,
        )  # fmt: skip
    axes.set_xticks(range(len(figures)), [figure.case for figure in figures])
    axes.set_title(title, fontsize=9, loc="left")
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("out", type=Path, help=".svg or .png")
    options = parser.parse_args()
    report = json.loads(options.result.read_text())
    figures = [from_json(f) for row in report["rows"].values() for f in row.get("figures", [])]
    shown = [(of_panel(figures, work), title) for work, title in PANELS]
    widths = [max(len(found), 1) for found, _ in shown]
    drawing, panels = plt.subplots(1, len(shown), figsize=(9, 2.8), width_ratios=widths, layout="constrained")
    for axes, (found, title) in zip(panels, shown, strict=True):
        draw_panel(axes, found, title)
    panels[0].set_ylabel("tokens a second")
    names = [plt.Rectangle((0, 0), 1, 1, color=color) for color in (OURS, PEER)]
    labels = ["Ostinato", "llama.cpp, the best of its builds and settings"]
    drawing.legend(names, labels, loc="outside upper right", ncols=2, frameon=False)
    drawing.text(0.005, 0.985, f"{report['processor']}, {report['threads']} threads", va="top", color="#666666")
    undated = {"Date": None} if options.out.suffix == ".svg" else None
    drawing.savefig(options.out, dpi=150, facecolor="white", metadata=undated)


if __name__ == "__main__":
    main()
