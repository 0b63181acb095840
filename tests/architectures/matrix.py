"""What is measured of every architecture: types, lengths, ways to feed a prompt; and what may be found."""

from __future__ import annotations

from collections.abc import Iterator

from tests.architectures.harness import STREAM, WHOLE, Figures, compare, prompt, specimen

TYPES = ("F32", "Q8_0", "Q4_K")
LENGTHS = (1, 17, 700)  # the last one is past every window and every original range of positions in the zoo
WAYS = {"whole": WHOLE, "chunks of 7": 7, "token by token": STREAM}

# Largest NMSE. The reference computes in float32 with the file's values; keys and values are halves where weights are
# not F32. The CPU backend, as llama.cpp, rounds activations to 8 bits where weights are quantised: both are off by up
# to 4e-3 (docs/architectures.md), and where a router's near ties fall the other way, by up to 5e-2.
LIMITS = {
    ("reference", "F32"): 1e-9, ("reference", "Q8_0"): 1e-5, ("reference", "Q4_K"): 1e-5,
    ("cpu", "F32"): 1e-9, ("cpu", "Q8_0"): 5e-3, ("cpu", "Q4_K"): 1e-2,
}  # fmt: skip
ROUTED = 10.0  # times as much for quantised models with experts on the CPU


def limit(name: str, type: str, backend: str) -> float:
    """The largest NMSE of a model."""
    routed = any("ffn_gate_inp" in planned.name for planned in specimen(name).plan().tensors)
    rounded = backend == "cpu" and type != "F32"
    return LIMITS[backend, type] * (ROUTED if routed and rounded else 1.0)


def measured(name: str, type: str, length: int, backend: str) -> Iterator[tuple[str, Figures]]:
    """Each way to feed the prompt, and what it gave."""
    animal, tokens = specimen(name), prompt(length)
    theirs = animal.theirs(type, tokens)
    for way, chunk in WAYS.items():
        if way == "whole" or length > 1:
            yield way, compare(animal.ours(type, tokens, backend, chunk), theirs)


def worst(name: str, type: str, length: int, backend: str) -> Figures:
    """The worst of all ways."""
    return max((figures for _, figures in measured(name, type, length, backend)), key=lambda figures: figures.nmse)
