"""The one table of ops: names, operands, fields, shapes, cost and encoding.

Everything that must agree on what an instruction looks like is made from this table: `verify`, the printer,
the cost model, the encoder, and (through tools/emit.py) the C++ structs and the JSON that other runtimes read.
What an op *means* is defined by the reference interpreter, backends/reference. Standard library only: the
build imports this file before anything else exists.

A value is a matrix [rows, width]. Rows are symbolic: T rows of the step, R rows that produce logits, or a fixed
number; `factor` multiplies them (T x 8 expert assignments). Weights are matrices [N, K] as GGUF stores them (N
output rows of K contiguous elements), or stacks of them [E, N, K].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from math import prod

from ostinato.model.kinds_table import (
    Activation,
    AttentionMask,
    EmbedBy,
    GroupScore,
    HeadOrder,
    Pooling,
    RopeStyle,
    Scoring,
)
from ostinato.model.weights import MAX_SIZE, WeightShape

MAX_FIELD = 2**24  # of integer fields: backends multiply them by small numbers, in int32


class DType(IntEnum):
    """Element types of values."""

    F32 = 0
    I32 = 1


class Axis(IntEnum):
    """What the rows of a value count."""

    FIXED = 0  # a number known at compile time
    T = 1  # rows of the step: prompt rows first, then generated rows
    R = 2  # rows that produce logits, in the order of T


@dataclass(frozen=True)
class Shape:
    """Shape of a value: `factor` x `axis` rows of `width` elements."""

    dtype: DType
    axis: Axis
    factor: int
    width: int

    def rows(self, sizes: Mapping[Axis, int]) -> int:
        """Number of rows when the step has the given sizes."""
        return self.factor * sizes.get(self.axis, 1)

    def __str__(self) -> str:
        symbol = str(self.factor) if self.axis is Axis.FIXED else self.axis.name
        if self.axis is not Axis.FIXED and self.factor != 1:
            symbol = f"{self.factor}{symbol}"
        return f"{self.dtype.name.lower()}[{symbol}, {self.width}]"


class FieldKind(Enum):
    """How a field is encoded in its 32-bit word."""

    INT = "int32_t"
    FLOAT = "float"


@dataclass(frozen=True)
class Field:
    """An immediate of an op: fixed when the program is compiled, never from step to step."""

    name: str
    kind: FieldKind = FieldKind.INT
    choices: type[IntEnum] | None = None
    default: int | float | None = None  # None: must be given


@dataclass(frozen=True)
class Cost:
    """What an instruction needs at given sizes: arithmetic operations and bytes moved from weights and state."""

    flops: float = 0.0
    weight_bytes: float = 0.0
    state_bytes: float = 0.0


class ShapeError(ValueError):
    """Operands that do not fit each other; the text names both."""


@dataclass(frozen=True)
class Operands:
    """What a shape or cost rule sees of one instruction. Absent optional operands are None."""

    values: tuple[Shape | None, ...]
    weights: tuple[WeightShape | None, ...]
    fields: Mapping[str, int | float]

    def value(self, index: int) -> Shape:
        shape = self.values[index]
        if shape is None:
            raise ShapeError(f"operand {index} is missing")
        return shape

    def weight(self, index: int, rank: int) -> WeightShape:
        weight = self.weights[index]
        if weight is None or len(weight.dims) != rank or not 0 < min(weight.dims) <= max(weight.dims) <= MAX_SIZE:
            found = "nothing" if weight is None else str(list(weight.dims))
            raise ShapeError(f"weight {index} must have {rank} dimensions of 1 to {MAX_SIZE} elements, found {found}")
        return weight

    def integer(self, name: str) -> int:
        return int(self.fields[name])

    def count(self, name: str) -> int:
        """A field that counts something of which there is at least one."""
        count = self.integer(name)
        _expect(count > 0, f"{name} must be positive, found {count}")
        return count


@dataclass(frozen=True)
class Load:
    """Sizes of a step for the cost model: T rows, R logit rows, and the mean number of positions a row attends to.

    Rows of one of the `sequences` read its keys and values together, once; None: every row is a sequence of its own.
    `kv_bytes` are those of one element of a key or value.
    """

    rows: int
    logit_rows: int
    context: int
    sequences: int | None = None
    kv_bytes: float = 2.0

    def sizes(self) -> dict[Axis, int]:
        return {Axis.FIXED: 1, Axis.T: self.rows, Axis.R: self.logit_rows}


ShapeRule = Callable[[Operands], tuple[Shape, ...]]
CostRule = Callable[[Operands, Load], Cost]


@dataclass(frozen=True)
class Op:
    """One row of the table. A name ending in `?` marks an operand that may be absent."""

    name: str
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    fields: tuple[Field, ...]
    shape: ShapeRule
    cost: CostRule
    doc: str

    @property
    def words(self) -> int:
        """Length of an encoded instruction in 32-bit words: opcode, layer, then every operand and field."""
        return 2 + len(self.outputs) + len(self.inputs) + len(self.weights) + len(self.fields)


# ---------------------------------------------------------------------------------------------- shape rules


def _expect(condition: bool, text: str) -> None:
    if not condition:
        raise ShapeError(text)


def _per_row(o: Operands, index: int) -> Shape:
    """A value of which every row of the step has one row: what knows positions, sequences or state reads no other."""
    value = o.value(index)
    _expect(value.axis is Axis.T and value.factor == 1, f"takes one row per T, found {value}")
    return value


def _embed(o: Operands) -> tuple[Shape, ...]:
    return (Shape(DType.F32, Axis.T, 1, o.weight(0, 2).dims[1]),)


def _angles(o: Operands) -> tuple[Shape, ...]:
    dims = o.integer("dims")
    _expect(dims > 0 and dims % 2 == 0, f"dims must be even and positive, found {dims}")
    if o.weights[0] is not None:
        _expect(o.weights[0].dims == (dims // 2,), f"factors must have {dims // 2} elements")
    return (Shape(DType.F32, Axis.T, 1, dims),)


def _norm(o: Operands) -> tuple[Shape, ...]:
    x, groups = o.value(0), o.count("groups")
    _expect(x.width % groups == 0, f"width {x.width} does not split into {groups} groups")
    for name, weight in zip(("gain", "bias"), o.weights, strict=False):
        if weight is not None:
            _expect(weight.dims in ((x.width // groups,), (x.width,)),
                    f"{name} has {list(weight.dims)} elements for {groups} groups of {x.width // groups}")  # fmt: skip
    return (x,)


def _per_head(o: Operands) -> tuple[Shape, ...]:
    x, (heads, n, k) = o.value(0), o.weight(0, 3).dims
    _expect(x.width == heads * k, f"input is {x.width} wide, the weight has {heads} heads of {k}")
    return (Shape(DType.F32, x.axis, x.factor, heads * n),)


def _linear(o: Operands) -> tuple[Shape, ...]:
    x, (n, k) = o.value(0), o.weight(0, 2).dims
    _expect(x.width == k, f"input is {x.width} wide, the weight has rows of {k}")
    if o.weights[1] is not None:
        _expect(o.weights[1].dims == (n,), f"bias must have {n} elements, found {o.weights[1].dims}")
    out = Shape(DType.F32, x.axis, x.factor, n)
    _expect(o.values[1] in (None, out), f"adds {o.values[1]} to {out}")
    return (out,)


def _gated(o: Operands) -> tuple[Shape, ...]:
    x, gate, up = o.value(0), o.weight(0, 2).dims, o.weight(1, 2).dims
    _expect(gate == up, f"gate {list(gate)} and up {list(up)} differ")
    _expect(x.width == up[1], f"input is {x.width} wide, the weights have rows of {up[1]}")
    for bias in o.weights[2:]:
        _expect(bias is None or bias.dims == up[:1], f"biases must have {up[0]} elements")
    return (Shape(DType.F32, x.axis, x.factor, up[0]),)


def _rope(o: Operands) -> tuple[Shape, ...]:
    x, heads = _per_row(o, 0), o.count("heads")
    _expect(_per_row(o, 1).width % 2 == 0, "angles are pairs")
    _expect(x.width % heads == 0, f"width {x.width} does not split into {heads} heads")
    last = o.integer("start") + o.value(1).width
    _expect(o.integer("start") >= 0 and last <= x.width // heads, "more rotated elements than a head has")
    return (x,)


def _append(o: Operands) -> tuple[Shape, ...]:
    for index, value in enumerate(o.values):
        if value is not None:
            _per_row(o, index)
    return ()


def _attend(o: Operands) -> tuple[Shape, ...]:
    q, heads, kv_heads = _per_row(o, 0), o.count("heads"), o.count("kv_heads")
    _expect(q.width == heads * o.integer("key_dim"), f"{heads} heads of {o.integer('key_dim')} are not {q.width}")
    _expect(heads % kv_heads == 0, f"{heads} heads do not share {kv_heads} KV heads evenly")
    _expect(
        o.integer("mask") in (AttentionMask.CAUSAL, AttentionMask.ALL) or o.integer("window") > 0,
        "a mask without its window",
    )
    if o.weights[0] is not None:
        _expect(o.weights[0].dims == (heads,), f"sinks must have {heads} elements, found {list(o.weights[0].dims)}")
    return (Shape(DType.F32, q.axis, q.factor, heads * o.integer("value_dim")),)


def _pair(o: Operands) -> tuple[Shape, ...]:
    _expect(o.value(0) == o.value(1), f"{o.value(0)} and {o.value(1)} differ")
    return (o.value(0),)


def _same(o: Operands) -> tuple[Shape, ...]:
    return (o.value(0),)


def _temper(o: Operands) -> tuple[Shape, ...]:
    return (_per_row(o, 0),)


def _glu(o: Operands) -> tuple[Shape, ...]:
    gate, up = o.value(0), o.value(1)
    _expect((gate.axis, gate.factor) == (up.axis, up.factor), f"{gate} and {up} have different rows")
    _expect(gate.width in (1, up.width), f"{gate} is neither as wide as {up} nor one wide")
    return (up,)


def _part(o: Operands) -> tuple[Shape, ...]:
    x, heads, start, width = o.value(0), o.count("heads"), o.integer("start"), o.integer("width")
    _expect(x.width % heads == 0, f"width {x.width} does not split into {heads} heads")
    _expect(0 <= start < start + width <= x.width // heads, f"{start}+{width} of heads of {x.width // heads}")
    return (Shape(x.dtype, x.axis, x.factor, heads * width),)


def _join(o: Operands) -> tuple[Shape, ...]:
    a, b, heads = o.value(0), o.value(1), o.count("heads")
    other = 1 if o.integer("shared") else heads
    _expect((a.axis, a.factor) == (b.axis, b.factor), f"{a} and {b} have different rows")
    _expect(a.width % heads == 0 and b.width % other == 0, f"{a} and {b} do not split into {heads} heads")
    return (Shape(a.dtype, a.axis, a.factor, a.width + b.width * (heads // other)),)


def _select(o: Operands) -> tuple[Shape, ...]:
    x = _per_row(o, 0)
    return (Shape(x.dtype, Axis.R, 1, x.width),)


def _route(o: Operands) -> tuple[Shape, ...]:
    x, (experts, k), top_k = o.value(0), o.weight(0, 2).dims, o.integer("top_k")
    _expect(x.width == k, f"input is {x.width} wide, the router has rows of {k}")
    _expect(0 < top_k <= experts, f"top_k {top_k} of {experts} experts")
    groups, used = o.integer("groups"), o.integer("top_groups")
    _expect(0 < used <= groups and experts % groups == 0, f"{used} of {groups} groups of {experts} experts")
    _expect(top_k <= experts // groups * used, f"top_k {top_k} of {used} groups of {experts // groups} experts")
    if o.integer("group_score") == GroupScore.TOP_2 and groups > 1:
        _expect(experts // groups >= 2, "groups of one expert have no two best")
    for weight in o.weights[1:]:
        _expect(weight is None or weight.dims == (experts,), f"biases must have {experts} elements")
    return (Shape(DType.I32, x.axis, x.factor, top_k), Shape(DType.F32, x.axis, x.factor, top_k))


def _group(o: Operands) -> tuple[Shape, ...]:
    ids = o.value(0)
    return (
        Shape(DType.I32, ids.axis, ids.factor * ids.width, 1),
        Shape(DType.I32, Axis.FIXED, 1, 2 * o.integer("experts") + 1),
    )


def _experts(o: Operands) -> tuple[Shape, ...]:
    x, order = o.value(0), o.value(1)
    up, down = o.weight(1, 3).dims, o.weight(2, 3).dims
    if o.weights[0] is not None:
        _expect(o.weight(0, 3).dims == up, f"gate {o.weights[0].dims} and up {up} differ")
    _expect(up[2] == x.width, f"input is {x.width} wide, the experts have rows of {up[2]}")
    _expect(down[0] == up[0] and down[2] == up[1], f"down {down} does not follow up {up}")
    _expect(o.value(2).width == 2 * up[0] + 1, f"offsets are not for {up[0]} experts")
    for index, wanted in ((3, up), (4, up), (5, down)):
        bias = o.weights[index]
        _expect(bias is None or bias.dims == wanted[:2], f"bias {index - 3} must be {list(wanted[:2])}")
    _expect(order.axis is x.axis and order.factor % x.factor == 0, f"{order} is not for the rows of {x}")
    scales = o.values[3]
    if scales is not None:
        _expect(scales.axis is order.axis, f"{scales} is not for the rows of {order}")
        _expect(order.factor == scales.factor * scales.width, f"{scales} is not one scale per assignment")
    return (Shape(DType.F32, order.axis, order.factor, down[1]),)


def _foresee(o: Operands) -> tuple[Shape, ...]:
    ids, up, down, gate = o.value(0), o.weight(1, 3).dims, o.weight(2, 3).dims, o.weights[0]
    _expect(ids.dtype is DType.I32, f"ids are {ids}")
    _expect(gate is None or gate.dims == up, f"gate and up {up} differ")
    _expect(down[0] == up[0], f"up has {up[0]} experts, down {down[0]}")
    _expect(0 <= o.integer("follow") <= up[0], f"{o.integer('follow')} of {up[0]} experts")
    return ()


def _fetch(o: Operands) -> tuple[Shape, ...]:
    _expect(o.integer("parcel") >= 0, f"there is no parcel {o.integer('parcel')}")
    return ()


def _combine(o: Operands) -> tuple[Shape, ...]:
    e, weights = o.value(0), o.value(1)
    fits = e.axis is weights.axis and e.factor == weights.factor * weights.width
    _expect(fits, f"{e} does not hold one row per weight of {weights}")
    return (Shape(DType.F32, weights.axis, weights.factor, e.width),)


def _pool(o: Operands) -> tuple[Shape, ...]:
    x = _per_row(o, 0)
    return (Shape(x.dtype, Axis.R, 1, x.width),)


def _conv(o: Operands) -> tuple[Shape, ...]:
    x, (channels, _) = _per_row(o, 0), o.weight(0, 2).dims
    _expect(x.width == channels, f"{x} for a kernel of {channels} channels")
    if o.weights[1] is not None:
        _expect(o.weights[1].dims == (channels,), f"bias must have {channels} elements")
    return (x,)


def _delta(o: Operands) -> tuple[Shape, ...]:
    heads, value_heads, key_dim, value_dim = (
        o.count(name) for name in ("heads", "value_heads", "key_dim", "value_dim")
    )
    q, k, v, alpha, beta = (_per_row(o, index) for index in range(5))
    _expect(value_heads % heads == 0, f"{value_heads} value heads do not share {heads} key heads evenly")
    _expect(q.width == k.width == heads * key_dim, f"{heads} heads of {key_dim} are not {q.width} and {k.width}")
    _expect(v.width == value_heads * value_dim, f"{value_heads} heads of {value_dim} are not {v.width}")
    _expect(alpha.width in (value_heads, value_heads * key_dim), f"decays are {alpha.width} wide")
    _expect(beta.width == value_heads, f"{beta.width} rates for {value_heads} heads")
    _expect(o.weight(0, 1).dims == (value_heads,), f"decay must have {value_heads} elements")
    _expect(o.weight(1, 1).dims == (alpha.width,), f"bias must have {alpha.width} elements")
    return (v,)


def _scan(o: Operands) -> tuple[Shape, ...]:
    x, b, c, dt = (_per_row(o, index) for index in range(4))
    heads, width = o.count("heads"), o.count("groups") * o.count("state_dim")
    _expect(x.width % heads == 0 and heads % o.integer("groups") == 0, f"{x} does not split into {heads} heads")
    _expect(b.width == c.width == width and dt.width == heads, f"{b}, {c} and {dt} do not fit {heads} heads")
    for index in range(3):
        _expect(o.weight(index, 1).dims == (heads,), f"weight {index} must have {heads} elements")
    return (x,)


def _sample(o: Operands) -> tuple[Shape, ...]:
    _expect(o.value(0).axis is Axis.R, f"samples from logit rows, found {o.value(0)}")
    return (Shape(DType.I32, Axis.R, 1, 1),)


# ----------------------------------------------------------------------------------------------- cost rules


def _elementwise(per_element: float) -> CostRule:
    def cost(o: Operands, load: Load) -> Cost:
        x = o.value(0)
        return Cost(flops=per_element * x.rows(load.sizes()) * x.width)

    return cost


def _free(_o: Operands, _load: Load) -> Cost:
    return Cost()


def _embed_cost(o: Operands, load: Load) -> Cost:
    table = o.weight(0, 2)
    return Cost(weight_bytes=load.rows * table.nbytes / table.dims[0])


def _matmul_cost(o: Operands, load: Load) -> Cost:
    weight = o.weight(0, 2)
    rows = o.value(0).rows(load.sizes())
    return Cost(flops=2.0 * rows * weight.dims[0] * weight.dims[1], weight_bytes=weight.nbytes if rows else 0)


def _gated_cost(o: Operands, load: Load) -> Cost:
    rows = o.value(0).rows(load.sizes())
    weights = (o.weight(0, 2), o.weight(1, 2))
    flops = sum(2.0 * rows * prod(weight.dims) for weight in weights)
    return Cost(flops=flops, weight_bytes=sum(weight.nbytes for weight in weights) if rows else 0)


def _per_head_cost(o: Operands, load: Load) -> Cost:
    weight, rows = o.weight(0, 3), o.value(0).rows(load.sizes())
    return Cost(flops=2.0 * rows * prod(weight.dims), weight_bytes=weight.nbytes if rows else 0)


def _append_cost(o: Operands, load: Load) -> Cost:
    return Cost(state_bytes=load.kv_bytes * load.rows * sum(v.width for v in o.values if v is not None))


def _attend_cost(o: Operands, load: Load) -> Cost:
    width = o.integer("key_dim") + o.integer("value_dim")
    window = o.integer("window")
    context = min(load.context, window) if window else load.context
    readers = load.rows if load.sequences is None else min(load.rows, load.sequences)
    return Cost(
        flops=2.0 * load.rows * context * o.integer("heads") * width,
        state_bytes=load.kv_bytes * readers * context * o.integer("kv_heads") * width,
    )


def _conv_cost(o: Operands, load: Load) -> Cost:
    channels, taps = o.weight(0, 2).dims
    return Cost(flops=2.0 * load.rows * channels * taps, state_bytes=8.0 * load.rows * channels * (taps - 1))


def _delta_cost(o: Operands, load: Load) -> Cost:
    elements = o.integer("value_heads") * o.integer("key_dim") * o.integer("value_dim")
    return Cost(flops=7.0 * load.rows * elements, state_bytes=8.0 * load.rows * elements)


def _scan_cost(o: Operands, load: Load) -> Cost:
    elements = o.value(0).width * o.integer("state_dim")
    return Cost(flops=5.0 * load.rows * elements, state_bytes=8.0 * load.rows * elements)


def _experts_cost(o: Operands, load: Load) -> Cost:
    weights = [weight for weight in o.weights if weight is not None and len(weight.dims) == 3]
    experts, assignments = weights[0].dims[0], o.value(1).rows(load.sizes())
    flops = sum(2.0 * assignments * w.dims[1] * w.dims[2] for w in weights)
    hit = experts * (1.0 - (1.0 - 1.0 / experts) ** assignments)  # expected distinct experts, uniform routing
    return Cost(flops=flops, weight_bytes=sum(w.nbytes for w in weights) * hit / experts)


# ------------------------------------------------------------------------------------------------ the table

_F = FieldKind.FLOAT

OPS: tuple[Op, ...] = (
    Op("embed", ("out",), (), ("table",),
       (Field("by", choices=EmbedBy, default=EmbedBy.TOKEN), Field("scale", _F, default=1.0)), _embed, _embed_cost,
       "scale x the row of `table` for each row's token, or its position, or row 0."),
    Op("angles", ("out",), (), ("factors?",),
       (Field("dims"), Field("base", _F), Field("scale", _F, default=1.0), Field("gain", _F, default=1.0)),
       _angles, _free,
       "gain x cos and sin of position x scale x base^(-2i/dims) / factors[i], interleaved (cos, sin)."),
    Op("rms_norm", ("out",), ("x",), ("gain?",), (Field("eps", _F), Field("groups", default=1)), _norm,
       _elementwise(4.0), "x / sqrt(mean(x^2) + eps) x gain, over each of `groups` equal parts of a row."),
    Op("layer_norm", ("out",), ("x",), ("gain?", "bias?"), (Field("eps", _F), Field("groups", default=1)), _norm,
       _elementwise(6.0), "(x - mean(x)) / sqrt(var(x) + eps) x gain + bias, over each of `groups` equal parts."),
    Op("linear", ("out",), ("x", "residual?"), ("weight", "bias?"), (), _linear, _matmul_cost,
       "residual + (x . weight^T + bias), on the packed weight. Prompt rows and generated rows are two calls."),
    Op("gated", ("out",), ("x",), ("gate", "up", "gate_bias?", "up_bias?"),
       (Field("act", choices=Activation), Field("limit", _F, default=0.0), Field("shift", _F, default=0.0)), _gated,
       _gated_cost, "glu(x . gate^T + gate_bias, x . up^T + up_bias), on the packed weights (made by passes/fuse.py)."),
    Op("per_head", ("out",), ("x",), ("weight",), (), _per_head, _per_head_cost,
       "Head h of x times matrix h of the weight [heads, N, K], on the packed weight."),
    Op("rope", ("out",), ("x", "angles"), (),
       (Field("heads"), Field("style", choices=RopeStyle), Field("start", default=0)), _rope,
       _elementwise(3.0), "Rotates angles.width elements of each head, from element `start` on."),
    Op("temper", ("out",), ("x",), (), (Field("period", _F), Field("beta", _F), Field("offset", _F, default=0.0)),
       _temper, _elementwise(1.0), "x x (1 + beta ln(1 + floor((position + offset) / period)))."),
    Op("append", (), ("k", "v?"), (), (Field("cache"), Field("index")), _append, _append_cost,
       "Writes each row's key and value at its position in layer `index` of cache group `cache`."),
    Op("attend", ("out",), ("q",), ("sinks?",),
       (Field("cache"), Field("index"), Field("heads"), Field("kv_heads"), Field("key_dim"), Field("value_dim"),
        Field("scale", _F), Field("mask", choices=AttentionMask, default=AttentionMask.CAUSAL),
        Field("window", default=0), Field("softcap", _F, default=0.0)), _attend, _attend_cost,
       "softmax(softcap(scale x q . K^T)) . V over the mask's positions, through the sequence's block table; "
       "sinks[h] is one more score, without a value. Where the cache has no values they are the keys' first elements."),
    Op("glu", ("out",), ("gate", "up"), (),
       (Field("act", choices=Activation), Field("limit", _F, default=0.0), Field("shift", _F, default=0.0)), _glu,
       _elementwise(5.0), "act(gate) x (up + shift); a gate of width 1 serves the whole row. With a limit, gate is "
       "first cut off above it, up on both sides."),
    Op("activate", ("out",), ("x",), (), (Field("act", choices=Activation),), _same, _elementwise(4.0), "act(x)."),
    Op("scale", ("out",), ("x",), (), (Field("factor", _F, default=1.0), Field("cap", _F, default=0.0)), _same,
       _elementwise(2.0), "factor x x; with a cap, cap x tanh of that / cap."),
    Op("add", ("out",), ("a", "b"), (), (Field("scale", _F, default=1.0),), _pair, _elementwise(1.0),
       "a + scale x b."),
    Op("part", ("out",), ("x",), (), (Field("heads"), Field("start"), Field("width")), _part, _free,
       "Elements start .. start + width of each head."),
    Op("join", ("out",), ("a", "b"), (), (Field("heads"), Field("shared", default=0)), _join, _free,
       "Each head of a, followed by the same head of b (or, shared, by the whole of b)."),
    Op("select", ("out",), ("x",), (), (), _select, _free, "The R rows of T that produce logits."),
    Op("pool", ("out",), ("x",), (), (Field("pooling", choices=Pooling),), _pool, _elementwise(1.0),
       "For each of the R rows: the mean, the first or the last of its sequence's rows in this step up to it."),
    Op("route", ("ids", "weights"), ("x",), ("router", "bias?", "correction?", "gain?"),
       (Field("top_k"), Field("scoring", choices=Scoring, default=Scoring.SOFTMAX), Field("normalise", default=1),
        Field("scale", _F, default=1.0), Field("floor", _F, default=0.0), Field("groups", default=1),
        Field("top_groups", default=1), Field("group_score", choices=GroupScore, default=GroupScore.MAX)),
       _route, _matmul_cost,
       "The top_k experts of each row by score + correction (ties: lower id first), from the top_groups groups, and "
       "their weights: scores, normalised by the larger of their sum and `floor`, times scale x gain of the expert."),
    Op("group", ("order", "offsets"), ("ids",), (), (Field("experts"),), _group, _free,
       "Assignments (row x top_k + j) sorted by (kind, expert, assignment); where each (kind, expert) begins."),
    Op("experts", ("out",), ("x", "order", "offsets", "scales?"),
       ("gate?", "up", "down", "gate_bias?", "up_bias?", "down_bias?"),
       (Field("act", choices=Activation), Field("limit", _F, default=0.0), Field("shift", _F, default=0.0)),
       _experts, _experts_cost,
       "down_e . glu(gate_e . x, up_e . x) for every assignment, in assignment order; x times the assignment's scale, "
       "where there are scales; without a gate down_e . act(up_e . x)."),
    Op("combine", ("out",), ("e", "weights"), (), (Field("plain", default=0),), _combine, _elementwise(2.0),
       "Sum over j of weights[row, j] x e[row x top_k + j], in the row's own route order; plain: of e alone."),
    Op("conv", ("out",), ("x",), ("kernel", "bias?"),
       (Field("state"), Field("index"), Field("act", choices=Activation, default=Activation.IDENTITY)),
       _conv, _conv_cost,
       "act(sum over t of kernel[c, t] x x[position - taps + 1 + t, c] + bias): the last taps - 1 rows are state."),
    Op("delta", ("out",), ("q", "k", "v", "alpha", "beta"), ("decay", "bias"),
       (Field("state"), Field("index"), Field("heads"), Field("value_heads"), Field("key_dim"), Field("value_dim"),
        Field("scale", _F), Field("order", choices=HeadOrder, default=HeadOrder.GROUPED)), _delta, _delta_cost,
       "Gated delta rule. With S [key_dim, value_dim] of a value head: S = exp(decay softplus(alpha + bias)) S; "
       "S += k (sigmoid(beta) (v - k S)); out = scale x q S."),
    Op("scan", ("out",), ("x", "b", "c", "dt"), ("decay", "skip", "bias"),
       (Field("state"), Field("index"), Field("heads"), Field("groups"), Field("state_dim")), _scan, _scan_cost,
       "Mamba 2. With d = softplus(dt + bias) and S [head_dim, state_dim] of a head: S = exp(d decay) S + d x b; "
       "out = S c + skip x; heads share the b and c of their group."),
    Op("foresee", (), ("ids",), ("gate?", "up", "down"),
       (Field("follow", default=0), Field("behind", default=0)), _foresee, _free,
       "Changes no number. These experts will soon be wanted: they are read ahead. With `follow`, of each row the so "
       "many experts that have followed these most often; the ids are those of the stack before. `behind`: once the "
       "next `experts` has asked for its own, which are read first."),
    Op("fetch", (), (), (), (Field("parcel"), Field("next", default=-1), Field("after", default=-1)), _fetch, _free,
       "Changes no number. The weights of this parcel are there until its `drop`; `next` and `after` are read ahead."),
    Op("drop", (), (), (), (Field("parcel"),), _fetch, _free,
       "Changes no number. The weights of this parcel are not read again in this step."),
    Op("sample", ("tokens",), ("logits",), (), (), _sample, _elementwise(4.0),
       "Draws a token per sampled row by its slot's settings and advances StepState."),
)  # fmt: skip

STREAMING = ("foresee", "fetch", "drop")  # of programs whose weights are streamed (passes/foresee.py, stream.py)

BY_NAME: Mapping[str, Op] = {op.name: op for op in OPS}
OPCODE: Mapping[str, int] = {op.name: code for code, op in enumerate(OPS)}
