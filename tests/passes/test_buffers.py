"""The buffer plan never gives two living values the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.passes.buffers import ALIGNMENT, plan_buffers
from ostinato.passes.encode import ABSENT, encode
from ostinato.program.ir import Program
from ostinato.program.ops_table import BY_NAME, OPCODE, Axis
from tests.backends.cases import CASES

PROGRAMS = [case.programs()[0].prefill for case in CASES[-6:]]


def lifetimes(program: Program) -> dict[str, tuple[int, int]]:
    born = {name: i for i, ins in enumerate(program.instructions) for name in ins.outputs}
    dies = dict(born)
    for i, ins in enumerate(program.instructions):
        dies |= dict.fromkeys((name for name in ins.inputs if name), i)
    return {name: (born[name], dies[name]) for name in born} | {
        name: (born[name], len(program.instructions)) for name in program.outputs.values()
    }


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_living_values_do_not_overlap(program: Program) -> None:
    plan = plan_buffers(program, max_rows=48, max_logit_rows=5)
    sizes = {Axis.FIXED: 1, Axis.T: 48, Axis.R: 5}
    lives = lifetimes(program)
    spans = {n: (plan.offsets[n], plan.offsets[n] + 4 * s.rows(sizes) * s.width) for n, s in program.values.items()}
    for a in spans:
        assert spans[a][0] % ALIGNMENT == 0
        assert spans[a][1] <= plan.arena_bytes
        for b in spans:
            if a < b and lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]:
                assert spans[a][1] <= spans[b][0] or spans[b][1] <= spans[a][0], f"{a} and {b} overlap"


def test_dead_values_give_their_bytes_back() -> None:
    program = PROGRAMS[0]
    sizes = {Axis.FIXED: 1, Axis.T: 48, Axis.R: 5}
    everything = sum(4 * shape.rows(sizes) * shape.width for shape in program.values.values())
    assert plan_buffers(program, 48, 5).arena_bytes < everything


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_encoding_follows_the_table(program: Program) -> None:
    encoded = encode(program, plan_buffers(program, 48, 5))
    names = list(program.values)
    words = iter(encoded.instructions.tolist())
    for instruction in program.instructions:
        op = BY_NAME[instruction.op]
        record = [next(words) for _ in range(op.words)]
        assert record[:2] == [OPCODE[op.name], instruction.layer]
        values = record[2 : 2 + len(op.outputs) + len(op.inputs)]
        assert [None if v == ABSENT else names[v] for v in values] == [*instruction.outputs, *instruction.inputs]
        weights = record[2 + len(values) : 2 + len(values) + len(op.weights)]
        assert [None if w == ABSENT else encoded.weights[w] for w in weights] == list(instruction.weights)
        fields = np.array(record[2 + len(values) + len(weights) :], np.int32)
        for word, field in zip(fields, op.fields, strict=True):
            value = word.view(np.float32) if field.kind.value == "float" else word
            assert value == pytest.approx(instruction.fields[field.name])
    assert next(words, None) is None
