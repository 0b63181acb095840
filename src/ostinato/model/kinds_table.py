"""Kinds that a model may be of, as numbers that programs carry. Standard library only: tools/emit.py reads it."""

from __future__ import annotations

from enum import IntEnum


class Activation(IntEnum):
    """`act` of `glu` and `experts`."""

    SILU = 0
    GELU = 1  # tanh approximation


class RopeStyle(IntEnum):
    """Which elements of a head rotate together."""

    NORM = 0  # (2i, 2i+1): GGUF's llama
    NEOX = 1  # (i, i + dims/2)


class Scoring(IntEnum):
    """How `route` turns router logits into probabilities."""

    SOFTMAX = 0
    SIGMOID = 1
