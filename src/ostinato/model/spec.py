"""ModelSpec: what a model is, as frozen data. Capabilities, not brands: no field names an architecture.

A model is an embedding, layers, and an output. A layer is a sequence of residual blocks; a block adds up parts, each
a body (attention, feed-forward network, experts, a recurrent mixer) with its norms. Weights are named by expression,
so that a file which stores a tensor in another way (experts one by one) differs here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.model.kinds_table import (
    Activation,
    AttentionMask,
    GroupScore,
    HeadOrder,
    Pooling,
    RopeStyle,
    Scoring,
)
from ostinato.model.weights import WeightExpr


@dataclass(frozen=True)
class Norm:
    """RMS norm, or with `centred` layer norm (the mean is subtracted), over each of `groups` equal parts of a row."""

    weight: WeightExpr | None
    eps: float
    bias: WeightExpr | None = None
    centred: bool = False
    groups: int = 1


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding: the first `dims` elements of each head turn by position x base^(-2i/dims)."""

    dims: int
    base: float
    style: RopeStyle
    scale: float = 1.0  # multiplies positions (linear scaling: 1/factor)
    factors: WeightExpr | None = None  # per-dimension divisors [dims/2]
    gain: float = 1.0  # multiplies cos and sin (YaRN's and long-rope's attention factor)
    long_factors: WeightExpr | None = None  # instead of `factors` where more positions are served than
    original_context: int = 0  # this


@dataclass(frozen=True)
class Temperature:
    """Queries grow with their position: times 1 + beta ln(1 + floor((position + offset) / period))."""

    period: float
    beta: float
    offset: float = 0.0


@dataclass(frozen=True)
class Projection:
    """x . weight^T (+ bias)."""

    weight: WeightExpr
    bias: WeightExpr | None = None


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention. Without `key` it reads the keys and values that layer `shares` wrote; without `value`
    the values are the projected keys, before norm and rotation."""

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    scale: float
    query: Projection
    key: Projection | None
    value: Projection | None
    output: Projection
    rope: Rope | None
    query_norm: Norm | None = None
    key_norm: Norm | None = None
    value_norm: Norm | None = None
    rope_first: bool = False  # norms of queries and keys come after the rotation
    mask: AttentionMask = AttentionMask.CAUSAL
    window: int = 0
    softcap: float = 0.0
    sinks: WeightExpr | None = None  # [heads]
    gate: Projection | None = None  # the result is multiplied by sigmoid(gate(x)), element by element or head by head
    temperature: Temperature | None = None
    shares: int | None = None


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek V2, section 2.1): keys and values come out of one latent of `rank`.

    Absorbed, with `key_up` [heads, rank, nope_dim] and `value_up` [heads, value_dim, rank]: the cache holds latents,
    and one KV head serves all. Naive, with `key_value_up` [heads x (nope_dim + value_dim), rank]: the cache holds
    every head's keys and values.
    """

    heads: int
    rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    scale: float
    query: Projection  # from the query's latent, where there is one
    down: Projection  # to [rank + rope_dim]
    norm: Norm
    output: Projection
    rope: Rope | None
    query_down: Projection | None = None
    query_norm: Norm | None = None
    key_up: WeightExpr | None = None
    value_up: WeightExpr | None = None
    key_value_up: WeightExpr | None = None
    temperature: Temperature | None = None


@dataclass(frozen=True)
class Stream:
    """A projection followed by a causal convolution, kernel [channels, taps], and an activation."""

    projection: Projection
    kernel: WeightExpr
    bias: WeightExpr | None = None
    act: Activation = Activation.SILU


@dataclass(frozen=True)
class DeltaNet:
    """Gated delta net: `streams` give queries, keys and values (one stream for all, or one each); `decay` is
    -exp(A_log). Queries and keys are brought to length 1."""

    heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    streams: tuple[Stream, ...]
    alpha: tuple[Projection, ...]  # one after the other
    beta: Projection
    decay: WeightExpr
    decay_bias: WeightExpr
    gate: tuple[Projection, ...]
    norm: Norm
    output: Projection
    order: HeadOrder = HeadOrder.GROUPED
    gate_act: Activation = Activation.SILU


@dataclass(frozen=True)
class Mamba:
    """Mamba 2: a gate, a stream of (x, b, c), and time steps; `decay` is -exp(A_log)."""

    heads: int
    groups: int
    inner: int  # elements of x
    state_dim: int
    gate: Projection
    stream: Stream
    time: Projection
    time_bias: WeightExpr
    decay: WeightExpr
    skip: WeightExpr
    norm: Norm | None
    output: Projection


@dataclass(frozen=True)
class ShortConv:
    """Gated short convolution: out(c x conv(b x x)), where one projection gives b, c and x."""

    projection: Projection  # [3 x width]
    kernel: WeightExpr
    bias: WeightExpr | None
    output: Projection


@dataclass(frozen=True)
class Dense:
    """down(act(gate(x)) x up(x)); without a gate down(act(up(x)))."""

    gate: Projection | None
    up: Projection
    down: Projection
    act: Activation = Activation.SILU
    limit: float = 0.0
    shift: float = 0.0


@dataclass(frozen=True)
class Experts:
    """`used` of `count` experts per row; gate and up are stacks [E, F, D], down [E, D, F], biases [E, F] and [E, D].

    `shared` is for every row, times sigmoid(shared_gate(x)) where there is one. `router_norm`: the router does not
    see the part's input but the block's, through this norm and `router_scale`.
    """

    count: int
    used: int
    router: Projection
    gate: WeightExpr | None
    up: WeightExpr
    down: WeightExpr
    gate_bias: WeightExpr | None = None
    up_bias: WeightExpr | None = None
    down_bias: WeightExpr | None = None
    correction: WeightExpr | None = None  # [E], added to scores when experts are chosen
    gain: WeightExpr | None = None  # [E], multiplies an expert's weight
    scoring: Scoring = Scoring.SOFTMAX
    normalise: bool = True
    floor: float = 0.0
    scale: float = 1.0
    groups: int = 1
    top_groups: int = 1
    group_score: GroupScore = GroupScore.MAX
    act: Activation = Activation.SILU
    limit: float = 0.0
    shift: float = 0.0
    weigh_input: bool = False  # weights multiply the experts' inputs instead of their results
    shared: Dense | None = None
    shared_gate: Projection | None = None
    router_norm: Norm | None = None
    router_scale: float = 1.0


@dataclass(frozen=True)
class PerLayerInput:
    """up(act(gate(x)) x this layer's row of the per-layer embeddings)."""

    gate: Projection
    up: Projection
    act: Activation


Body = Attention | LatentAttention | DeltaNet | Mamba | ShortConv | Dense | Experts | PerLayerInput


@dataclass(frozen=True)
class Part:
    """out_norm(body(norm(x)))."""

    body: Body
    norm: Norm | None = None
    out_norm: Norm | None = None


@dataclass(frozen=True)
class Block:
    """x = closing_norm(x + scale x out_norm(sum of the parts))."""

    parts: tuple[Part, ...]
    out_norm: Norm | None = None
    closing_norm: Norm | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Layer:
    """Blocks, one after the other; the last result times `scale`."""

    blocks: tuple[Block, ...]
    scale: float = 1.0


@dataclass(frozen=True)
class PerLayerEmbedding:
    """Each layer's own embedding of a token, [layers x width]: (embed(token) x scale + norm(projection(x) x
    projection_scale)) / sqrt 2."""

    table: WeightExpr
    width: int
    scale: float
    projection: Projection
    projection_scale: float
    norm: Norm


@dataclass(frozen=True)
class ModelSpec:
    """A language model: a decoder that ends in logits, or without `output` an encoder that ends in embeddings.

    A decoder with `pooling` can end in embeddings too.
    """

    architecture: str  # as the file says; for people only
    name: str
    vocab_size: int
    width: int
    context: int  # positions it was trained for
    embedding: WeightExpr  # [vocab, width]
    layers: tuple[Layer, ...]
    output_norm: Norm | None
    output: Projection | None  # [vocab, width]; the embedding where they are tied; None: an encoder
    embedding_scale: float = 1.0
    embedding_norm: Norm | None = None
    position_embedding: WeightExpr | None = None  # [positions, width]
    type_embedding: WeightExpr | None = None  # [types, width], of which the first is used
    per_layer: PerLayerEmbedding | None = None
    logit_scale: float = 1.0
    logit_cap: float = 0.0
    pooling: Pooling | None = None
    after_pooling: tuple[Projection, ...] = ()  # of the pooled embedding, one after the other
