"""verify: is this a program? Run after compile and after every pass.

Single assignment, definition before use, known ops with exactly their fields, shapes as the table's rules say,
weights that the file can give, cache groups and layers that were declared.
"""

from __future__ import annotations

from collections.abc import Mapping

from ostinato.model.weights import MAX_SIZE, StoredTensor, WeightError, resolve
from ostinato.program.ir import Instruction, Program
from ostinato.program.ops_table import (
    BY_NAME,
    MAX_FIELD,
    Axis,
    Field,
    FieldKind,
    Op,
    Operands,
    Shape,
    ShapeError,
)

MAX_FLOAT = 3e38  # just below the largest float32


class VerifyError(ValueError):
    """A broken program; the text names the instruction (number, op, layer) and the rule."""


def verify(program: Program, tensors: Mapping[str, StoredTensor]) -> None:
    """Raises VerifyError for the first instruction that breaks a rule."""
    defined: dict[str, Shape] = {}
    for number, instruction in enumerate(program.instructions):
        where = f"{program.name}, instruction {number} ({instruction.op}, layer {instruction.layer})"
        try:
            _instruction(program, instruction, defined, tensors)
        except (ShapeError, WeightError, VerifyError) as error:
            raise VerifyError(f"{where}: {error}") from error
    if unused := set(program.values) - set(defined):
        raise VerifyError(f"{program.name}: values without a definition: {sorted(unused)}")
    _outputs(program, defined)
    _groups(program, tensors)
    _fetched(program)


def operands_of(instruction: Instruction, values: Mapping[str, Shape], tensors: Mapping[str, StoredTensor]) -> Operands:
    """What the shape and cost rules see of an instruction."""
    return Operands(
        tuple(None if name is None else values[name] for name in instruction.inputs),
        tuple(None if w is None else resolve(w, tensors).shape for w in instruction.weights),
        instruction.fields,
    )


def _instruction(
    program: Program, instruction: Instruction, defined: dict[str, Shape], tensors: Mapping[str, StoredTensor]
) -> None:
    if instruction.op not in BY_NAME:
        raise VerifyError("unknown op")
    op = instruction.spec
    _signature(op, instruction)
    for name in instruction.inputs:
        if name is not None and name not in defined:
            raise VerifyError(f"{name} is used before it is defined")
    shapes = op.shape(operands_of(instruction, defined, tensors))
    for name, shape in zip(instruction.outputs, shapes, strict=True):
        if name in defined:
            raise VerifyError(f"{name} is defined twice")
        if not (0 < shape.width <= MAX_SIZE and 0 < shape.factor <= MAX_FIELD):
            raise VerifyError(f"{name} is {shape}; expected rows of 1 to {MAX_SIZE} elements")
        if program.values.get(name) != shape:
            raise VerifyError(f"{name} is declared {program.values.get(name)}, the rule gives {shape}")
        defined[name] = shape
    if instruction.op == "sample" and (width := defined[str(instruction.inputs[0])].width) != program.vocab_size:
        raise VerifyError(f"draws from {width} logits, the vocabulary has {program.vocab_size}")
    if "cache" in instruction.fields:
        _cache(program, instruction, defined)
    if "state" in instruction.fields:
        _state(program, instruction, defined, tensors)


def _signature(op: Op, instruction: Instruction) -> None:
    for what, declared, given in (
        ("outputs", op.outputs, instruction.outputs),
        ("inputs", op.inputs, instruction.inputs),
        ("weights", op.weights, instruction.weights),
    ):
        if len(declared) != len(given):
            raise VerifyError(f"{len(given)} {what}, the op has {len(declared)}")
        for name, operand in zip(declared, given, strict=True):
            if operand is None and not name.endswith("?"):
                raise VerifyError(f"operand {name!r} is missing")
    if set(instruction.fields) != {f.name for f in op.fields}:
        raise VerifyError(f"fields {sorted(instruction.fields)}, the op has {[f.name for f in op.fields]}")
    for field in op.fields:
        _field(field, instruction.fields[field.name])


def _field(field: Field, value: float) -> None:
    """Backends multiply sizes, and encode a field in 32 bits."""
    if field.choices is not None and value not in list(field.choices):
        raise VerifyError(f"{field.name}={value} is not a {field.choices.__name__}")
    if not abs(value) <= (MAX_FLOAT if field.kind is FieldKind.FLOAT else MAX_FIELD):
        raise VerifyError(f"{field.name}={value} is beyond what backends calculate with")


def _cache(program: Program, instruction: Instruction, defined: Mapping[str, Shape]) -> None:
    cache, index = int(instruction.fields["cache"]), int(instruction.fields["index"])
    if not 0 <= cache < len(program.caches) or not 0 <= index < program.caches[cache].layers:
        raise VerifyError(f"cache {cache} layer {index} is not declared")
    group = program.caches[cache]
    if instruction.op == "append":
        k, v = (0 if name is None else defined[name].width for name in instruction.inputs)
        if (k, v) != (group.key_width, group.value_width):
            raise VerifyError(
                f"keys {k} and values {v} wide; {group.kv_heads} heads of {group.key_dim} and {group.value_dim} are "
                f"{group.key_width} and {group.value_width}"
            )
    if instruction.op == "attend":
        kv_heads, key_dim, value_dim = (int(instruction.fields[n]) for n in ("kv_heads", "key_dim", "value_dim"))
        values_fit = value_dim == group.value_dim if group.value_dim else 0 < value_dim <= key_dim
        if (kv_heads, key_dim) != (group.kv_heads, group.key_dim) or not values_fit:
            raise VerifyError(
                f"reads {kv_heads} heads of {key_dim} and {value_dim} from cache {group.name!r}, declared otherwise"
            )


def _state(
    program: Program, instruction: Instruction, defined: Mapping[str, Shape], tensors: Mapping[str, StoredTensor]
) -> None:
    group, index = int(instruction.fields["state"]), int(instruction.fields["index"])
    if not 0 <= group < len(program.states) or not 0 <= index < program.states[group].layers:
        raise VerifyError(f"state {group} layer {index} is not declared")
    need = state_elements(instruction, operands_of(instruction, defined, tensors))
    if program.states[group].elements != need:
        raise VerifyError(f"needs {need} elements of state {program.states[group].name!r}, declared otherwise")


def state_elements(instruction: Instruction, operands: Operands) -> int:
    """float32 elements of recurrent state that an instruction keeps for one sequence."""
    if instruction.op == "conv":
        channels, taps = operands.weight(0, 2).dims
        return channels * (taps - 1)
    if instruction.op == "delta":
        return operands.integer("value_heads") * operands.integer("key_dim") * operands.integer("value_dim")
    return operands.value(0).width * operands.integer("state_dim")


def _outputs(program: Program, defined: Mapping[str, Shape]) -> None:
    for name, value in program.outputs.items():
        if value not in defined:
            raise VerifyError(f"{program.name}: output {name!r} is {value}, which no instruction defines")
    logits = program.outputs.get("logits")
    if logits is not None:
        shape = defined[logits]
        if shape.axis is not Axis.R or shape.width != program.vocab_size:
            raise VerifyError(f"{program.name}: logits are {shape}, the vocabulary has {program.vocab_size}")


def _groups(program: Program, tensors: Mapping[str, StoredTensor]) -> None:
    """`group` counts and `foresee` reads by expert id: the ids come from a router that knows exactly those experts
    (or, where those are foreseen that follow, any router)."""
    routers = {i.outputs[0]: i.weights[0] for i in program.instructions if i.op == "route"}
    for i in program.instructions:
        if i.op not in ("group", "foresee"):
            continue
        router, up = routers.get(str(i.inputs[0])), i.weights[1] if i.op == "foresee" else None
        experts = i.fields["experts"] if up is None else resolve(up, tensors).dims[0]
        if router is None or (not i.fields.get("follow") and resolve(router, tensors).dims[0] != experts):
            raise VerifyError(f"{program.name}: {i.op} of {experts} experts, layer {i.layer}: the ids of {router}")


def _fetched(program: Program) -> None:
    """Every parcel that is fetched is dropped before the step ends, and none is dropped that was not fetched."""
    held: set[int] = set()
    for i in program.instructions:
        if i.op not in ("fetch", "drop"):
            continue
        parcel = int(i.fields["parcel"])
        if (parcel in held) == (i.op == "fetch"):
            raise VerifyError(f"{program.name}: {i.op} of parcel {parcel}, layer {i.layer}, which {_HELD[i.op]}")
        held ^= {parcel}
    if held:
        raise VerifyError(f"{program.name}: parcels that are fetched and not dropped: {sorted(held)}")


_HELD = {"fetch": "is there already", "drop": "was not fetched"}
