"""Programs as text, like an assembly listing, with what each instruction costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log10

from ostinato.model.weights import StoredTensor
from ostinato.program.cost import cost_of
from ostinato.program.ir import Instruction, Program
from ostinato.program.ops_table import Field, FieldKind, Load


def format_program(program: Program, tensors: Mapping[str, StoredTensor], load: Load | None = None) -> str:
    """The listing; with `load`, two columns tell each instruction's operations and bytes at that size."""
    return "\n".join(_lines(program, tensors, load))


def format_instruction(instruction: Instruction, program: Program) -> str:
    """One instruction: outputs, op, operands, fields, shapes."""
    outputs = ", ".join(instruction.outputs)
    operands = [str(o) for o in (*instruction.inputs, *instruction.weights) if o is not None]
    shown = [f for f in instruction.spec.fields if f.name not in ("cache", "state", "index")]
    fields = [_field(f, instruction.fields[f.name]) for f in shown if instruction.fields[f.name] != f.default]
    if "cache" in instruction.fields:
        group = program.caches[int(instruction.fields["cache"])]
        fields.insert(0, f"cache={group.name}.{int(instruction.fields['index'])}")
    if "state" in instruction.fields:
        state = program.states[int(instruction.fields["state"])]
        fields.insert(0, f"state={state.name}.{int(instruction.fields['index'])}")
    shapes = ", ".join(str(program.values[name]) for name in instruction.outputs)
    words = "  ".join(filter(None, (", ".join(operands), " ".join(fields))))
    text = f"{outputs:>11} {'=' if outputs else ' '} {instruction.op:<10} {words}"
    return f"{text:<100}  {shapes}".rstrip()


def _lines(program: Program, tensors: Mapping[str, StoredTensor], load: Load | None) -> Iterator[str]:
    yield f"program {program.name}"
    for group in program.caches:
        yield (
            f"  cache {group.name}: {group.layers} layers, {group.kv_heads} heads, keys {group.key_dim}, "
            f"values {group.value_dim}"
        )
    for state in program.states:
        yield f"  state {state.name}: {state.layers} layers, {state.elements} elements a sequence"
    layer = None
    for instruction in program.instructions:
        if instruction.layer != layer:
            layer = instruction.layer
            yield "  --" if layer < 0 else f"  -- layer {layer}"
        text = format_instruction(instruction, program)
        if load is not None:
            cost = cost_of(instruction, program, tensors, load)
            operations, moved = si(cost.flops, "op"), si(cost.weight_bytes + cost.state_bytes, "B")
            text = f"{text:<120} {operations:>10} {moved:>10}".rstrip()
        yield text
    for name, value in program.outputs.items():
        yield f"  output {name} = {value}"


def _field(field: Field, value: float) -> str:
    if field.choices is not None:
        return f"{field.name}={field.choices(int(value)).name.lower()}"
    return f"{field.name}={value:.4g}" if field.kind is FieldKind.FLOAT else f"{field.name}={int(value)}"


def si(value: float, unit: str = "") -> str:
    """Three digits with a prefix (9.44 Gop), or blank for nothing."""
    if value == 0:
        return ""
    rounded = float(f"{value:.3g}")  # 999.7 k is 1 M
    power = min(int(log10(rounded)) // 3, 4) if rounded >= 1 else 0
    return f"{rounded / 1000**power:.3g} {' kMGT'[power].strip()}{unit}".rstrip()
