"""Kinds that a model may be of, as numbers that programs carry. Standard library only: tools/emit.py reads it."""

from __future__ import annotations

from enum import IntEnum


class Activation(IntEnum):
    """`act` of `glu`, `activate`, `experts` and `conv`."""

    SILU = 0
    GELU = 1  # tanh approximation
    GELU_ERF = 2  # exact
    QUICK_GELU = 3  # x sigmoid(1.702 x)
    RELU = 4
    RELU_SQUARED = 5
    SIGMOID = 6
    SOFTPLUS = 7
    IDENTITY = 8


class RopeStyle(IntEnum):
    """Which elements of a head rotate together."""

    NORM = 0  # (2i, 2i+1): GGUF's llama
    NEOX = 1  # (i, i + dims/2)


class Scoring(IntEnum):
    """How `route` turns router logits into probabilities."""

    SOFTMAX = 0
    SIGMOID = 1


class GroupScore(IntEnum):
    """How `route` scores a group of experts."""

    MAX = 0  # DeepSeek V2: its best expert
    TOP_2 = 1  # DeepSeek V3: the sum of its two best


class AttentionMask(IntEnum):
    """Which positions a row at position p attends to."""

    CAUSAL = 0  # 0 .. p
    WINDOW = 1  # p - window + 1 .. p
    CHUNK = 2  # from the last multiple of window that is not beyond p, .. p
    ALL = 3  # every row that its sequence has in this step or before: encoders, whole texts in one step
    BAND = 4  # like ALL, at most window / 2 positions away on either side


class EmbedBy(IntEnum):
    """Which row of its table `embed` takes."""

    TOKEN = 0
    POSITION = 1
    FIRST = 2  # row 0, whatever the token (the token type of BERT)


class Pooling(IntEnum):
    """How `pool` makes one row of a sequence's rows."""

    MEAN = 0
    FIRST = 1
    LAST = 2


class HeadOrder(IntEnum):
    """Which key head a value head of `delta` and `scan` goes with, r value heads to a key head."""

    GROUPED = 0  # h // r
    TILED = 1  # h modulo the number of key heads
