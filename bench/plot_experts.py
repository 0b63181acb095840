"""Draws a result of bench/experts.py: both engines' tokens a second where the memory is a part of the file.

pip install '.[plot]'
python -m bench.plot_experts bench/results/DATE-experts.json docs/experts.svg
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams.update({"font.size": 9, "font.family": "sans-serif", "svg.hashsalt": "ostinato"})

from matplotlib import pyplot as plt  # noqa: E402 (after the choice of what to draw with)
from matplotlib.axes import Axes  # noqa: E402

from bench.expert_figures import summary  # noqa: E402
from bench.expert_runs import OURS as OSTINATO  # noqa: E402
from bench.expert_runs import PEER as LLAMA  # noqa: E402
from bench.figures import Record  # noqa: E402
from bench.plot import OURS, PEER, WIDTH  # noqa: E402

TITLES = {
    "published": "64 experts, used as published", "strong": "more unevenly", "middle": "less", "weak": "least",
    "dense": "dense 1.1B",
}  # fmt: skip


def draw_panel(axes: Axes, rows: Mapping[str, Record], title: str) -> None:
    """A pair of bars for every budget; over each how many times the peer's ours is."""
    for index, row in enumerate(rows.values()):
        ours, peer = row["engines"][OSTINATO]["decode"], row["peer"].get("decode", 0.0)
        axes.bar(index - WIDTH / 2, ours, WIDTH, color=OURS)
        axes.bar(index + WIDTH / 2, peer, WIDTH, color=PEER)
        axes.annotate(
            f"{ours / peer:.1f}x" if peer else "does not run", (index, max(ours, peer)), (0, 2),
            textcoords="offset points", ha="center", fontsize=8, color=OURS,
        )  # fmt: skip
    names = ["all" if row["budget"] is None else f"{row['budget']} %" for row in rows.values()]
    axes.set_xticks(range(len(names)), names)
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
    rows = {
        key: row
        for key, row in summary(report).items()
        if row["engines"].get(OSTINATO) and any(name.startswith(LLAMA) for name in row["engines"])
    }
    panels = {name: {key: row for key, row in rows.items() if row["case"] == name} for name in TITLES}
    shown = {name: own for name, own in panels.items() if own}
    drawing, axes = plt.subplots(
        1, len(shown), figsize=(9, 2.9), width_ratios=[len(own) for own in shown.values()], layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for panel, (name, own) in zip(axes[0], shown.items(), strict=True):
        draw_panel(panel, own, TITLES[name])
    axes[0][0].set_ylabel("tokens a second")
    names = [plt.Rectangle((0, 0), 1, 1, color=color) for color in (OURS, PEER)]
    drawing.legend(names, ["Ostinato", "llama.cpp"], loc="outside upper right", ncols=2, frameon=False)
    text = f"memory of the whole process, page cache included, as part of the file; {report['processor']}"
    drawing.text(0.005, 0.985, text, va="top", color="#666666", fontsize=7)
    undated = {"Date": None} if options.out.suffix == ".svg" else None
    drawing.savefig(options.out, dpi=150, facecolor="white", metadata=undated)


if __name__ == "__main__":
    main()
