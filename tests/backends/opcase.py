"""What an op case is, and how a backend is driven through it. The list is in cases.py.

A case is a small program whose `logits` output is the value under test. `run_case` feeds it prompts and generated
rows of several sequences in several steps; a backend passes when its outputs are within the case's normalised
mean squared error of the reference's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Backend, KVType, Plan
from ostinato.backends.sampling import Sampling
from ostinato.gguf.blocks import WRITABLE, quantize
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import StoredTensor, Tensor
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Program, Programs, StateGroup
from ostinato.program.ops_table import Axis
from ostinato.program.verify import verify
from tests.gguf.blocks import random_blocks

EXACT = 1e-11  # float32 against float32, sums in another order
HALF = 1e-6  # values rounded to float16 on the way
QUANTISED = 2e-4  # activations quantised to 8 bits: (1 / 127)^2 / 3 at worst, less in practice
BFLOATS = 1e-5  # of products of which both factors are rounded to bf16: sums.md says 5e-6
VOCAB = 96


@dataclass(frozen=True)
class MemoryTensor:
    """A tensor that never was in a file."""

    name: str
    type: TensorType
    shape: tuple[int, ...]
    data: np.ndarray


class Weights:
    """Seeded random tensors by name."""

    def __init__(self, seed: int) -> None:
        self.tensors: dict[str, StoredTensor] = {}
        self._random = np.random.default_rng(seed)

    def normal(self, name: str, shape: tuple[int, ...], kind: TensorType, scale: float | None = None) -> Tensor:
        """Normal values of standard deviation `scale` (default: 1 / sqrt(K)); random blocks where we only read."""
        if kind not in WRITABLE:
            blocks = random_blocks(kind, int(np.prod(shape)) // kind.block_elements, self._random)
            self.tensors[name] = MemoryTensor(name, kind, shape, blocks.reshape(-1))
            return Tensor(name)
        deviation = shape[-1] ** -0.5 if scale is None else scale
        return self.put(name, self._random.normal(0, deviation, shape).astype(np.float32), kind)

    def put(self, name: str, values: np.ndarray, kind: TensorType = TensorType.F32) -> Tensor:
        self.tensors[name] = MemoryTensor(name, kind, values.shape, quantize(values, kind).reshape(-1))
        return Tensor(name)


Build = Callable[[Builder, Weights, str], str]


@dataclass(frozen=True)
class OpCase:
    """`build(builder, weights, x)` appends the ops under test to x [T, width] and returns their value."""

    name: str
    width: int
    build: Build
    nmse: float = EXACT
    kv_type: KVType = KVType.F32
    caches: tuple[CacheGroup, ...] = ()
    states: tuple[StateGroup, ...] = ()
    prompts: tuple[int, ...] = (7, 1, 19)

    def programs(self) -> tuple[Programs, dict[str, StoredTensor]]:
        """embed -> the ops under test -> select -> output; the program under test and its weights."""
        weights = Weights(seed=len(self.name) + self.width)
        table = weights.normal("table", (VOCAB, self.width), TensorType.F32, scale=1.0)
        builder = Builder(weights.tensors)
        builder.caches.extend(self.caches)
        builder.states.extend(self.states)
        out = self.build(builder, weights, builder.add("embed", weights=(table,)))
        if builder.axis(out) is Axis.T:
            out = builder.add("select", out)
        program = builder.program(self.name, {"logits": out}, builder.width(out))
        verify(program, weights.tensors)
        return Programs(program, program), weights.tensors


def run_case(case: OpCase, backend: Backend, threads: int = 2) -> list[np.ndarray]:
    """Outputs of every step: prompts whole, then generated rows beside a prompt in two chunks."""
    programs, tensors = case.programs()
    plan = Plan(
        max_rows=64, max_logit_rows=64, max_sequences=8, context=96, blocks=64, block_size=8,
        kv_type=case.kv_type, threads=threads,
    )  # fmt: skip
    executable = backend.compile(programs, tensors, plan)
    outputs = []
    for batch in batches(case, programs.prefill, plan):
        executable.submit(batch)
        outputs.append(np.array(executable.collect().outputs["logits"]))
    executable.close()
    return outputs


def batches(case: OpCase, program: Program, plan: Plan) -> list[Batch]:
    """Three sequences' prompts in one step, then their first generated rows beside a fourth prompt, and so on."""
    random = np.random.default_rng(7)
    vocab = min(VOCAB, program.vocab_size)
    late = len(case.prompts)

    def tokens(count: int) -> list[int]:
        return [int(t) for t in random.integers(0, vocab, count)]

    def prompt(slot: int, start: int, count: int) -> Span:
        return Span(slot, Kind.PROMPT, start, tokens(count), logit_rows=count)

    def generated(slot: int, start: int, count: int = 1) -> Span:
        return Span(slot, Kind.GENERATED, start, tokens(count), logit_rows=count)

    def enter(slot: int, length: int) -> Enter:
        return Enter(slot, length, Sampling())

    first = Batch(
        [prompt(slot, 0, count) for slot, count in enumerate(case.prompts)],
        [enter(slot, count) for slot, count in enumerate(case.prompts)],
        [_table(c, slot, plan) for c in range(len(case.caches)) for slot in range(late + 1)],
        want_logits=True,
    )
    second = Batch(
        [prompt(late, 0, 5), *(generated(slot, count) for slot, count in enumerate(case.prompts))],
        [enter(late, 9)],
        [_table(c, late, plan) for c in range(len(case.caches))],
        want_logits=True,
    )
    third = Batch(
        [prompt(late, 5, 4), generated(0, case.prompts[0] + 1), generated(2, case.prompts[2] + 1, 11)],
        want_logits=True,
    )
    return [first, second, third]


def _table(cache: int, slot: int, plan: Plan) -> TableEdit:
    """Blocks of a slot, scattered over the pool."""
    blocks = [(slot + 5 * i) % plan.blocks for i in range(plan.blocks_per_sequence)]
    return TableEdit(cache, slot, 0, blocks)


def nmse(found: np.ndarray, wanted: np.ndarray) -> float:
    """Mean squared error over the wanted values' mean square."""
    difference = found.astype(np.float64) - wanted.astype(np.float64)
    return float(np.mean(difference**2)) / max(float(np.mean(wanted.astype(np.float64) ** 2)), 1e-30)


def tolerance(kind: TensorType) -> float:
    """Of one product with weights of a type."""
    return EXACT if kind.block_elements == 1 else QUANTISED
