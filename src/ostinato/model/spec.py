"""ModelSpec: what a model is, as frozen data. Capabilities, not brands: no field names an architecture.

Weights are named by expression, so that a file which stores a tensor in another way (experts one by one) differs
here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.model.kinds_table import Activation, RopeStyle, Scoring
from ostinato.model.weights import WeightExpr


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding: the first `dims` elements of each head turn by position x base^(-2i/dims)."""

    dims: int
    base: float
    style: RopeStyle
    scale: float = 1.0  # multiplies positions (linear scaling: 1/factor)
    factors: WeightExpr | None = None  # per-dimension divisors [dims/2]


@dataclass(frozen=True)
class Projection:
    """x . weight^T (+ bias)."""

    weight: WeightExpr
    bias: WeightExpr | None = None


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention over one cache group."""

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    scale: float
    query: Projection
    key: Projection
    value: Projection
    output: Projection
    rope: Rope | None
    cache: str = "full"  # name of its cache group
    query_norm: WeightExpr | None = None  # per-head RMS norm, gain [key_dim]
    key_norm: WeightExpr | None = None


@dataclass(frozen=True)
class Dense:
    """down(act(gate(x)) x up(x))."""

    gate: Projection
    up: Projection
    down: Projection
    act: Activation = Activation.SILU


@dataclass(frozen=True)
class Experts:
    """`used` of `count` experts per row; gate and up are stacks [E, F, D], down [E, D, F]."""

    count: int
    used: int
    router: WeightExpr
    gate: WeightExpr
    up: WeightExpr
    down: WeightExpr
    scoring: Scoring = Scoring.SOFTMAX
    normalise: bool = True
    scale: float = 1.0
    act: Activation = Activation.SILU


@dataclass(frozen=True)
class Layer:
    """x += attention(norm(x)); x += ffn(norm(x))."""

    attention_norm: WeightExpr
    attention: Attention
    ffn_norm: WeightExpr
    ffn: Dense | Experts


@dataclass(frozen=True)
class ModelSpec:
    """A decoder-only language model."""

    architecture: str  # as the file says; for people only
    name: str
    vocab_size: int
    width: int
    context: int  # positions it was trained for
    norm_eps: float
    embedding: WeightExpr  # [vocab, width]
    layers: tuple[Layer, ...]
    output_norm: WeightExpr
    output: WeightExpr  # [vocab, width]; the embedding where they are tied
