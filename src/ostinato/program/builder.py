"""Builder: appends instructions, names values, and works out shapes by the table's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ostinato.model.weights import StoredTensor, WeightExpr, resolve
from ostinato.program.ir import CacheGroup, Instruction, Program, StateGroup
from ostinato.program.ops_table import BY_NAME, Axis, Operands, Shape, ShapeError

T = TypeVar("T")


class Builder:
    """Appends instructions, names their values and works out shapes by the table's rules."""

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        self.layer = -1
        self.caches: list[CacheGroup] = []
        self.states: list[StateGroup] = []
        self._tensors = tensors
        self._instructions: list[Instruction] = []
        self._values: dict[str, Shape] = {}

    def add(self, op: str, *inputs: str | None, weights: tuple[WeightExpr | None, ...] = (), **fields: float) -> str:
        """Appends an instruction of at most one output and returns its name ("" for none)."""
        return next(iter(self.add_many(op, *inputs, weights=weights, **fields)), "")

    def add_many(
        self, op: str, *inputs: str | None, weights: tuple[WeightExpr | None, ...] = (), **fields: float
    ) -> tuple[str, ...]:
        spec = BY_NAME[op]
        inputs, weights = _padded(inputs, spec.inputs), _padded(weights, spec.weights)
        draft = Instruction(op, (), inputs, weights, fields, self.layer)
        given = {f.name: fields.get(f.name, f.default) for f in draft.spec.fields}
        missing = [name for name, value in given.items() if value is None]
        if missing or set(fields) - set(given):
            raise TypeError(f"{op}: fields missing {missing}, unknown {sorted(set(fields) - set(given))}")
        known = {name: value for name, value in given.items() if value is not None}
        operands = Operands(
            tuple(None if name is None else self._values[name] for name in inputs),
            tuple(None if w is None else resolve(w, self._tensors).shape for w in weights),
            known,
        )
        try:
            shapes = draft.spec.shape(operands)
        except ShapeError as error:
            raise ShapeError(f"{_where(draft)}: {error}") from None
        start = len(self._values)
        outputs = tuple(f"%{start + i}" for i in range(len(shapes)))
        self._values.update(zip(outputs, shapes, strict=True))
        self._instructions.append(Instruction(op, outputs, inputs, weights, known, self.layer))
        return outputs

    def axis(self, name: str) -> Axis:
        """What the rows of a value count."""
        return self._values[name].axis

    def width(self, name: str) -> int:
        """Elements of a row of a value."""
        return self._values[name].width

    def program(self, name: str, outputs: Mapping[str, str], vocab_size: int) -> Program:
        return Program(
            name, tuple(self._instructions), dict(self._values), tuple(self.caches), dict(outputs), vocab_size,
            tuple(self.states),
        )  # fmt: skip


def _padded(given: tuple[T | None, ...], names: tuple[str, ...]) -> tuple[T | None, ...]:
    """Optional operands at the end may be left out."""
    return given + (None,) * (len(names) - len(given))


def _where(draft: Instruction) -> str:
    """The layer, the op and its weights, for people who know the file and not the program."""
    layer = "" if draft.layer < 0 else f"layer {draft.layer}, "
    weights = ", ".join(str(weight) for weight in draft.weights if weight is not None)
    return f"{layer}{draft.op}{f' ({weights})' if weights else ''}"
