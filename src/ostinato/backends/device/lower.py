"""Lowering: the instructions of a program become calls of phases, with every operand at its place in the arena.

The same for every device. A weight larger than one binding becomes several calls over slices of it. Activations
are packed once for all linears that read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ostinato.backends.contract import CompileError, KVType, Plan
from ostinato.backends.device.phases_table import BY_NAME, packed_words
from ostinato.backends.device.planes import FORMATS, device_bytes, row_bytes
from ostinato.backends.device.state_table import ATTEND_SPLIT, MAX_HEAD
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation
from ostinato.model.weights import Rows, StoredTensor, WeightExpr, WeightView, resolve
from ostinato.passes.buffers import ALIGNMENT, BufferPlan, plan_buffers
from ostinato.program.ir import Instruction, Program
from ostinato.program.ops_table import Axis, Shape


@dataclass(frozen=True)
class Call:
    """One phase with its operands: words by name, as phases_table lists them. `instruction` is the number of the
    instruction it belongs to, -1 for what surrounds the program."""

    phase: str
    words: Mapping[str, int | float]
    weights: tuple[WeightExpr | None, ...] = ()
    instruction: int = -1

    def shapes(self) -> dict[str, int | float]:
        """The words that are pipeline constants."""
        names = (name.removesuffix(":f") for name in BY_NAME[self.phase].shapes)
        return {name: self.words[name] for name in names}


@dataclass(frozen=True)
class Lowered:
    """Calls of one step in order, from `rows` to `finish` (`begin` comes before the first step of a batch)."""

    calls: tuple[Call, ...]
    arena_words: int
    outputs: Mapping[str, int]  # named outputs: word of the arena


def lower(
    program: Program, tensors: Mapping[str, StoredTensor], plan: Plan, max_weight_bytes: int = 1 << 62
) -> Lowered:
    """Lowers a verified program. `max_weight_bytes`: of one binding. Raises CompileError naming an op or a weight
    type that devices lack."""
    return _Lowering(program, tensors, plan, max_weight_bytes).run()


@dataclass
class _Area:
    """Scratch behind the values: sized by its largest use; `holds` says what is in it."""

    words: int = 0
    holds: str | int | None = None
    uses: list[tuple[int, str]] = field(default_factory=list)  # (call, word) to be filled in with its place


class _Lowering:
    def __init__(
        self, program: Program, tensors: Mapping[str, StoredTensor], plan: Plan, max_weight_bytes: int
    ) -> None:
        self._program, self._tensors, self._plan, self._most = program, tensors, plan, max_weight_bytes
        self._buffers: BufferPlan = plan_buffers(program, plan.max_rows, plan.max_logit_rows)
        self._sizes = {Axis.FIXED: 1, Axis.T: plan.max_rows, Axis.R: plan.max_logit_rows}
        self._calls: list[Call] = []
        self._areas: dict[str, _Area] = {}
        self._number = -1
        self._experts = 0  # of the layers so far

    def run(self) -> Lowered:
        self._emit("rows", {})
        for number, instruction in enumerate(self._program.instructions):
            self._number = number
            rule = _RULES.get(instruction.op)
            if rule is None:
                raise CompileError(f"op {instruction.op!r} has no phases")
            _check_plain(instruction)
            rule(self, instruction)
        self._number = -1
        self._emit("finish", {})
        words = self._place_areas()
        outputs = {name: self._buffers.offsets[value] // 4 for name, value in self._program.outputs.items()}
        return Lowered(tuple(self._calls), words, outputs)

    # ------------------------------------------------------------------------------------------ ops, as phases

    def embed(self, i: Instruction) -> None:
        view = self._view(i, 0)
        for expr, first, count in self._parts(i.weights[0], view):
            words = {"out": self._at(i.outputs[0]), "width": view.dims[1], "table_type": view.type,
                     "first": first, "count": count}  # fmt: skip
            self._emit("embed", words, (expr,))

    def angles(self, i: Instruction) -> None:
        words = {"out": self._at(i.outputs[0]), "has_factors": int(i.weights[0] is not None)}
        if i.weights[0] is not None:
            self._floats(i, 0)
        self._emit("angles", words | dict(i.fields), i.weights)

    def rms_norm(self, i: Instruction) -> None:
        self._floats(i, 0)
        if self._view(i, 0).dims[0] * int(i.fields["groups"]) != self._program.values[i.outputs[0]].width:
            raise CompileError("op 'rms_norm' with a gain for each group: devices have no phases for it")
        self._emit("rms_norm", self._plain(i, ("x",)) | dict(i.fields), i.weights)

    def linear(self, i: Instruction) -> None:
        if i.inputs[1] is not None:
            raise CompileError("op 'linear' with a residual: devices have no phases for it")
        out = self._program.values[i.outputs[0]]
        self._linear(i, self._input(i, 0), self._at(i.outputs[0]), out)

    def rope(self, i: Instruction) -> None:
        angles, head = self._input(i, 1), self._program.values[self._input(i, 0)].width // int(i.fields["heads"])
        if head % 2:
            raise CompileError(f"rope: heads of {head} elements; devices take even ones")
        words = {"angles": self._at(angles), "dims": self._program.values[angles].width} | dict(i.fields)
        self._emit("rope", {**self._plain(i, ("x",)), **words})

    def append(self, i: Instruction) -> None:
        group = self._program.caches[int(i.fields["cache"])]
        words = {"k": self._at(self._input(i, 0)), "v": self._at(self._input(i, 1)), "kv_heads": group.kv_heads,
                 "key_dim": group.key_dim, "value_dim": group.value_dim, "half": self._half()}  # fmt: skip
        self._emit("append", words | dict(i.fields))

    def attend(self, i: Instruction) -> None:
        fields = dict(i.fields) | {"half": self._half()}
        for name in ("key_dim", "value_dim"):
            if fields[name] % 2 or fields[name] > MAX_HEAD:
                raise CompileError(f"attend: {name} is {fields[name]}; devices take even ones up to {MAX_HEAD}")
        q, out = self._at(self._input(i, 0)), self._at(i.outputs[0])
        self._emit("attend", {"q": q, "out": out} | fields)
        splits = -(-self._plan.context // ATTEND_SPLIT)
        per_row = int(fields["heads"]) * splits * (int(fields["value_dim"]) + 2)
        partials = self._area("partials", self._plan.max_sequences * per_row)
        self._emit("attend_split", {"q": q} | fields, area={"partials": partials})
        self._emit("attend_merge", {"out": out} | fields, area={"partials": partials})

    def glu(self, i: Instruction) -> None:
        if self._program.values[self._input(i, 0)].width != self._program.values[i.outputs[0]].width:
            raise CompileError("op 'glu' with a gate of width 1: devices have no phases for it")
        self._emit("glu", self._plain(i, ("gate", "up")) | dict(i.fields))

    def add(self, i: Instruction) -> None:
        self._emit("add", self._plain(i, ("a", "b")))

    def select(self, i: Instruction) -> None:
        self._emit("select", self._plain(i, ("x",)))

    def route(self, i: Instruction) -> None:
        view, x = self._view(i, 0), self._program.values[self._input(i, 0)]
        logits = Shape(x.dtype, x.axis, x.factor, view.dims[0])
        router = self._area("router", self._count(logits))
        self._linear(i, self._input(i, 0), router, logits)
        words = {"ids": self._at(i.outputs[0]), "weights": self._at(i.outputs[1]), "experts": view.dims[0]}
        self._emit("route", words | self._rows(x) | dict(i.fields), area={"logits": router})

    def group(self, i: Instruction) -> None:
        ids = self._program.values[self._input(i, 0)]
        words = {"ids": self._at(self._input(i, 0)), "order": self._at(i.outputs[0]),
                 "offsets": self._at(i.outputs[1]), "top_k": ids.width, "uses": self._experts}  # fmt: skip
        self._experts += int(i.fields["experts"])
        self._emit("group", words | self._rows(ids) | dict(i.fields))

    def experts(self, i: Instruction) -> None:
        x, order = self._program.values[self._input(i, 0)], self._program.values[self._input(i, 1)]
        gate, up, down = (self._view(i, index) for index in range(3))
        top_k = order.factor // x.factor
        inside = Shape(x.dtype, x.axis, order.factor, down.dims[2])
        hidden = self._area("hidden", self._count(inside))
        shared = {"order": self._at(self._input(i, 1)), "offsets": self._at(self._input(i, 2)),
                  "experts": gate.dims[0], "top_k": top_k, **self._rows(x)}  # fmt: skip
        gate_x, up_x = self._packed(self._input(i, 0), x, gate.type), self._packed(self._input(i, 0), x, up.type)
        both = max(gate, up, key=device_bytes)
        for expr, first, count in self._parts(i.weights[0], both):
            words = shared | {"first": first, "count": count, "n": gate.dims[1], "k": gate.dims[2],
                              "gate_type": gate.type, "up_type": up.type, "act": i.fields["act"]}  # fmt: skip
            weights = (expr, _sliced(i.weights[1], first, count, gate.dims[0]))
            places = {"gate_x": gate_x, "up_x": up_x, "out": hidden}
            self._emit("experts_in", words, weights, area=places)
        inner = self._packed(hidden, inside, down.type)
        for expr, first, count in self._parts(i.weights[2], down):
            words = shared | {"out": self._at(i.outputs[0]), "first": first, "count": count, "n": down.dims[1],
                              "k": down.dims[2], "down_type": down.type}  # fmt: skip
            self._emit("experts_out", words, (expr,), area={"x": inner})

    def combine(self, i: Instruction) -> None:
        weights = self._program.values[self._input(i, 1)]
        words = {"out": self._at(i.outputs[0]), "e": self._at(self._input(i, 0)),
                 "weights": self._at(self._input(i, 1)), "top_k": weights.width,
                 "width": self._program.values[i.outputs[0]].width}  # fmt: skip
        self._emit("combine", words | self._rows(weights))

    def sample(self, i: Instruction) -> None:
        vocab = self._program.values[self._input(i, 0)].width
        scratch = {name: self._area(name, self._plan.max_sequences * vocab) for name in ("scores", "counts")}
        words = {"tokens": self._at(i.outputs[0]), "logits": self._at(self._input(i, 0)), "vocab": vocab}
        self._emit("sample", words, area=scratch)

    # ------------------------------------------------------------------------------------------------ helpers

    def _linear(self, i: Instruction, x: str, out: int | _Area, shape: Shape) -> None:
        """weight 0 (and bias 1) of `i` on value `x`; `out` is a word of the arena or an area."""
        view = self._view(i, 0)
        bias = i.weights[1] if len(i.weights) > 1 else None
        if bias is not None:
            self._floats(i, 1)
        packed = self._packed(x, self._program.values[x], view.type)
        for expr, first, count in self._parts(i.weights[0], view):
            words = {"n": count, "k": view.dims[1], "weight_type": view.type, "stride": shape.width, "first": first,
                     "has_bias": int(bias is not None), **self._rows(shape)}  # fmt: skip
            self._emit("linear", words, (expr, bias), area={"x": packed, "out": out}, shift={"out": first})

    def _packed(self, source: str | _Area, shape: Shape, kind: TensorType) -> int | _Area:
        """Where `source` stands as weights of `kind` take it: itself, or the area of its packed rows."""
        place = self._at(source) if isinstance(source, str) else source
        group = FORMATS[kind].group
        if not group:
            return place
        packed = self._area(f"packed {group}", shape.rows(self._sizes) * packed_words(shape.width, group))
        content = source if isinstance(source, str) else self._number  # an area holds something else each time
        if packed.holds != content:
            words = {"width": shape.width, "group": group, **self._rows(shape)}
            self._emit("pack", words, area={"x": place, "out": packed})
            packed.holds = content
        return packed

    def _plain(self, i: Instruction, names: tuple[str, ...]) -> dict[str, int | float]:
        """Places of the output and the named inputs, and the rows of the first input."""
        shape = self._program.values[self._input(i, 0)]
        places = {name: self._at(self._input(i, index)) for index, name in enumerate(names)}
        return {"out": self._at(i.outputs[0]), **places, "width": shape.width, **self._rows(shape)}

    def _emit(
        self,
        phase: str,
        words: Mapping[str, int | float],
        weights: tuple[WeightExpr | None, ...] = (),
        area: Mapping[str, int | _Area] | None = None,
        shift: Mapping[str, int] | None = None,
    ) -> None:
        """Appends a call. `area` gives places that are an area's or a word; `shift` adds to places."""
        known = {name.removesuffix(":f") for name in (*BY_NAME[phase].places, *BY_NAME[phase].shapes)}
        chosen: dict[str, int | float] = {name: value for name, value in words.items() if name in known}
        for name, place in (area or {}).items():
            chosen[name] = 0 if isinstance(place, _Area) else place
            if isinstance(place, _Area):
                place.uses.append((len(self._calls), name))
        for name, more in (shift or {}).items():
            chosen[name] += more
        self._calls.append(Call(phase, chosen, weights, self._number))

    def _place_areas(self) -> int:
        """Areas stand behind the values, each at a multiple of the alignment; returns the arena's words."""
        at = -(-self._buffers.arena_bytes // ALIGNMENT) * (ALIGNMENT // 4)
        for area in self._areas.values():
            for number, name in area.uses:
                call = self._calls[number]
                words = {**call.words, name: call.words[name] + at}
                self._calls[number] = Call(call.phase, words, call.weights, call.instruction)
            at += -(-area.words * 4 // ALIGNMENT) * (ALIGNMENT // 4)
        return max(at, 1)

    def _area(self, name: str, words: int) -> _Area:
        area = self._areas.setdefault(name, _Area())
        area.words = max(area.words, words)
        return area

    def _parts(self, expr: WeightExpr | None, view: WeightView) -> Iterator[tuple[WeightExpr, int, int]]:
        """Slices of a weight that fit one binding: (expression, first index of axis 0, count)."""
        assert expr is not None
        total = view.dims[0]
        per_index = row_bytes(view.type, view.dims[-1]) * (view.dims[1] if len(view.dims) == 3 else 1)
        step = min(total, self._most // per_index)
        if step == 0:
            raise CompileError(f"weight {expr}: {per_index} bytes that cannot be split; a binding has {self._most}")
        for first in range(0, total, step):
            count = min(step, total - first)
            part = _sliced(expr, first, count, total)
            assert part is not None
            yield part, first, count

    def _view(self, i: Instruction, index: int) -> WeightView:
        expr = i.weights[index]
        assert expr is not None
        view = resolve(expr, self._tensors)
        if view.type not in FORMATS:
            known = ", ".join(kind.name for kind in FORMATS)
            raise CompileError(
                f"weight {expr} has type {view.type.name}, for which devices have no kernels: they take {known}"
            )
        return view

    def _floats(self, i: Instruction, index: int) -> None:
        view = self._view(i, index)
        if view.type is not TensorType.F32:
            raise CompileError(f"weight {i.weights[index]} has type {view.type.name}; {i.op} takes F32 here")

    def _input(self, i: Instruction, index: int) -> str:
        name = i.inputs[index]
        assert name is not None
        return name

    def _at(self, value: str) -> int:
        return self._buffers.offsets[value] // 4

    def _rows(self, shape: Shape) -> dict[str, int | float]:
        return {"axis": shape.axis, "factor": shape.factor}

    def _count(self, shape: Shape) -> int:
        return shape.rows(self._sizes) * shape.width

    def _half(self) -> int:
        if self._plan.kv_type is KVType.Q8_0:
            raise CompileError("keys and values as q8_0: devices have no phases for them; take f16 or f32")
        return int(self._plan.kv_type is KVType.F16)


def _sliced(expr: WeightExpr | None, first: int, count: int, total: int) -> WeightExpr | None:
    return expr if expr is None or count == total else Rows(expr, first, first + count)


# Operands and fields of ops whose phases do not know them yet: only absent ones and defaults are lowered.
_LACKING: Mapping[str, tuple[str, ...]] = {
    "embed": ("by", "scale"),
    "angles": ("gain",),
    "rope": ("start",),
    "attend": ("sinks?", "mask", "window", "softcap"),
    "glu": ("limit", "shift"),
    "add": ("scale",),
    "route": ("bias?", "correction?", "gain?", "floor", "groups", "top_groups", "group_score"),
    "combine": ("plain",),
    "experts": ("scales?", "gate_bias?", "up_bias?", "down_bias?", "limit", "shift"),
}
_REQUIRED: Mapping[str, tuple[str, ...]] = {"rms_norm": ("gain?",), "append": ("v?",), "experts": ("gate?",)}


def _check_plain(i: Instruction) -> None:
    """Raises CompileError for an operand or a field that the op's phases would pass over."""
    operands = dict(zip(i.spec.inputs + i.spec.weights, (*i.inputs, *i.weights), strict=True))
    defaults = {f.name: f.default for f in i.spec.fields}
    for name in _LACKING.get(i.op, ()):
        if operands.get(name) is not None or (name in defaults and i.fields[name] != defaults[name]):
            raise CompileError(f"op {i.op!r} with {name.removesuffix('?')}: devices have no phases for it")
    for name in _REQUIRED.get(i.op, ()):
        if operands[name] is None:
            raise CompileError(f"op {i.op!r} without {name.removesuffix('?')}: devices have no phases for it")
    if i.fields.get("act", Activation.SILU) not in (Activation.SILU, Activation.GELU):
        raise CompileError(f"op {i.op!r} with {Activation(int(i.fields['act'])).name}: devices have no phases for it")


_RULES: Mapping[str, Callable[[_Lowering, Instruction], None]] = {
    rule.__name__: rule
    for rule in (
        _Lowering.embed, _Lowering.angles, _Lowering.rms_norm, _Lowering.linear, _Lowering.rope, _Lowering.append,
        _Lowering.attend, _Lowering.glu, _Lowering.add, _Lowering.select, _Lowering.route, _Lowering.group,
        _Lowering.experts, _Lowering.combine, _Lowering.sample,
    )
}  # fmt: skip
