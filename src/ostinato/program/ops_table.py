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

from ostinato.model.kinds_table import Activation, RopeStyle, Scoring
from ostinato.model.weights import WeightShape


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
        if weight is None or len(weight.dims) != rank:
            found = "nothing" if weight is None else str(list(weight.dims))
            raise ShapeError(f"weight {index} must have {rank} dimensions, found {found}")
        return weight

    def integer(self, name: str) -> int:
        return int(self.fields[name])


@dataclass(frozen=True)
class Load:
    """Sizes of a step for the cost model: T rows, R logit rows, and the mean number of positions a row attends to."""

    rows: int
    logit_rows: int
    context: int

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


def _embed(o: Operands) -> tuple[Shape, ...]:
    return (Shape(DType.F32, Axis.T, 1, o.weight(0, 2).dims[1]),)


def _angles(o: Operands) -> tuple[Shape, ...]:
    dims = o.integer("dims")
    _expect(dims > 0 and dims % 2 == 0, f"dims must be even and positive, found {dims}")
    if o.weights[0] is not None:
        _expect(o.weights[0].dims == (dims // 2,), f"factors must have {dims // 2} elements")
    return (Shape(DType.F32, Axis.T, 1, dims),)


def _rms_norm(o: Operands) -> tuple[Shape, ...]:
    x, groups = o.value(0), o.integer("groups")
    _expect(x.width % groups == 0, f"width {x.width} does not split into {groups} groups")
    gain = o.weight(0, 1).dims[0]
    _expect(gain == x.width // groups, f"gain has {gain} elements for groups of {x.width // groups}")
    return (x,)


def _linear(o: Operands) -> tuple[Shape, ...]:
    x, (n, k) = o.value(0), o.weight(0, 2).dims
    _expect(x.width == k, f"input is {x.width} wide, the weight has rows of {k}")
    if o.weights[1] is not None:
        _expect(o.weights[1].dims == (n,), f"bias must have {n} elements, found {o.weights[1].dims}")
    return (Shape(DType.F32, x.axis, x.factor, n),)


def _rope(o: Operands) -> tuple[Shape, ...]:
    x, heads = o.value(0), o.integer("heads")
    _expect(x.width % heads == 0, f"width {x.width} does not split into {heads} heads")
    _expect(o.value(1).width <= x.width // heads, "more rotated elements than a head has")
    return (x,)


def _append(o: Operands) -> tuple[Shape, ...]:
    _expect(o.value(0).axis is Axis.T and o.value(1).axis is Axis.T, "keys and values have one row per T")
    return ()


def _attend(o: Operands) -> tuple[Shape, ...]:
    q, heads, kv_heads = o.value(0), o.integer("heads"), o.integer("kv_heads")
    _expect(q.width == heads * o.integer("key_dim"), f"{heads} heads of {o.integer('key_dim')} are not {q.width}")
    _expect(heads % kv_heads == 0, f"{heads} heads do not share {kv_heads} KV heads evenly")
    return (Shape(DType.F32, q.axis, q.factor, heads * o.integer("value_dim")),)


def _pair(o: Operands) -> tuple[Shape, ...]:
    _expect(o.value(0) == o.value(1), f"{o.value(0)} and {o.value(1)} differ")
    return (o.value(0),)


def _select(o: Operands) -> tuple[Shape, ...]:
    x = o.value(0)
    _expect(x.axis is Axis.T and x.factor == 1, f"selects from one row per T, found {x}")
    return (Shape(x.dtype, Axis.R, 1, x.width),)


def _route(o: Operands) -> tuple[Shape, ...]:
    x, (experts, k), top_k = o.value(0), o.weight(0, 2).dims, o.integer("top_k")
    _expect(x.width == k, f"input is {x.width} wide, the router has rows of {k}")
    _expect(0 < top_k <= experts, f"top_k {top_k} of {experts} experts")
    return (Shape(DType.I32, x.axis, x.factor, top_k), Shape(DType.F32, x.axis, x.factor, top_k))


def _group(o: Operands) -> tuple[Shape, ...]:
    ids = o.value(0)
    return (
        Shape(DType.I32, ids.axis, ids.factor * ids.width, 1),
        Shape(DType.I32, Axis.FIXED, 1, 2 * o.integer("experts") + 1),
    )


def _experts(o: Operands) -> tuple[Shape, ...]:
    x, order = o.value(0), o.value(1)
    gate, up, down = (o.weight(i, 3).dims for i in range(3))
    _expect(gate == up, f"gate {gate} and up {up} differ")
    _expect(gate[2] == x.width, f"input is {x.width} wide, the experts have rows of {gate[2]}")
    _expect(down[0] == gate[0] and down[2] == gate[1], f"down {down} does not follow gate {gate}")
    _expect(o.value(2).width == 2 * gate[0] + 1, f"offsets are not for {gate[0]} experts")
    return (Shape(DType.F32, order.axis, order.factor, down[1]),)


def _combine(o: Operands) -> tuple[Shape, ...]:
    e, weights = o.value(0), o.value(1)
    _expect(e.factor == weights.factor * weights.width, f"{e} does not hold one row per weight of {weights}")
    return (Shape(DType.F32, weights.axis, weights.factor, e.width),)


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


def _append_cost(o: Operands, load: Load) -> Cost:
    return Cost(state_bytes=2.0 * load.rows * (o.value(0).width + o.value(1).width))


def _attend_cost(o: Operands, load: Load) -> Cost:
    width = o.integer("key_dim") + o.integer("value_dim")
    return Cost(
        flops=2.0 * load.rows * load.context * o.integer("heads") * width,
        state_bytes=2.0 * load.rows * load.context * o.integer("kv_heads") * width,
    )


def _experts_cost(o: Operands, load: Load) -> Cost:
    weights = [o.weight(i, 3) for i in range(3)]
    experts, assignments = weights[0].dims[0], o.value(1).rows(load.sizes())
    flops = sum(2.0 * assignments * w.dims[1] * w.dims[2] for w in weights)
    hit = experts * (1.0 - (1.0 - 1.0 / experts) ** assignments)  # expected distinct experts, uniform routing
    return Cost(flops=flops, weight_bytes=sum(w.nbytes for w in weights) * hit / experts)


# ------------------------------------------------------------------------------------------------ the table

_F = FieldKind.FLOAT

OPS: tuple[Op, ...] = (
    Op("embed", ("out",), (), ("table",), (), _embed, _embed_cost,
       "Row of `table` for each row's token."),
    Op("angles", ("out",), (), ("factors?",),
       (Field("dims"), Field("base", _F), Field("scale", _F, default=1.0)), _angles, _free,
       "cos and sin of position x scale x base^(-2i/dims) / factors[i], interleaved (cos, sin)."),
    Op("rms_norm", ("out",), ("x",), ("gain",), (Field("eps", _F), Field("groups", default=1)), _rms_norm,
       _elementwise(4.0), "x / sqrt(mean(x^2) + eps) x gain, over each of `groups` equal parts of a row."),
    Op("linear", ("out",), ("x",), ("weight", "bias?"), (), _linear, _matmul_cost,
       "x . weight^T + bias, on the packed weight. Prompt rows and generated rows are two calls."),
    Op("rope", ("out",), ("x", "angles"), (), (Field("heads"), Field("style", choices=RopeStyle)), _rope,
       _elementwise(3.0), "Rotates the first angles.width elements of each head."),
    Op("append", (), ("k", "v"), (), (Field("cache"), Field("index")), _append, _append_cost,
       "Writes each row's key and value at its position in layer `index` of cache group `cache`."),
    Op("attend", ("out",), ("q",), (),
       (Field("cache"), Field("index"), Field("heads"), Field("kv_heads"), Field("key_dim"), Field("value_dim"),
        Field("scale", _F)), _attend, _attend_cost,
       "softmax(scale x q . K^T) . V over positions 0 .. own, through the sequence's block table."),
    Op("glu", ("out",), ("gate", "up"), (), (Field("act", choices=Activation),), _pair, _elementwise(5.0),
       "act(gate) x up."),
    Op("add", ("out",), ("a", "b"), (), (), _pair, _elementwise(1.0), "a + b."),
    Op("select", ("out",), ("x",), (), (), _select, _free, "The R rows of T that produce logits."),
    Op("route", ("ids", "weights"), ("x",), ("router",),
       (Field("top_k"), Field("scoring", choices=Scoring, default=Scoring.SOFTMAX), Field("normalise", default=1),
        Field("scale", _F, default=1.0)), _route, _matmul_cost,
       "The top_k experts of each row by score (ties: lower id first), and their weights."),
    Op("group", ("order", "offsets"), ("ids",), (), (Field("experts"),), _group, _free,
       "Assignments (row x top_k + j) sorted by (kind, expert, assignment); where each (kind, expert) begins."),
    Op("experts", ("out",), ("x", "order", "offsets"), ("gate", "up", "down"),
       (Field("act", choices=Activation),), _experts, _experts_cost,
       "down_e . (act(gate_e . x) x (up_e . x)) for every assignment, in assignment order."),
    Op("combine", ("out",), ("e", "weights"), (), (), _combine, _elementwise(2.0),
       "Sum over j of weights[row, j] x e[row x top_k + j], in the row's own route order."),
    Op("sample", ("tokens",), ("logits",), (), (), _sample, _elementwise(4.0),
       "Draws a token per sampled row by its slot's settings and advances StepState."),
)  # fmt: skip

BY_NAME: Mapping[str, Op] = {op.name: op for op in OPS}
OPCODE: Mapping[str, int] = {op.name: code for code, op in enumerate(OPS)}
