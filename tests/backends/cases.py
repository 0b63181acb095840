"""The one list of op cases: every op at odd shapes and every weight type, run on every backend.

A case is a small program whose `logits` output is the value under test. `run_case` feeds it prompts and generated
rows of several sequences in several steps; a backend passes when its outputs are within the case's normalised
mean squared error of the reference's. The list feeds the tests, the benchmarks and the support table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Backend, KVType, Plan
from ostinato.backends.sampling import Sampling
from ostinato.gguf.blocks import FORMATS, WRITABLE, quantize
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, RopeStyle, Scoring
from ostinato.model.weights import StoredTensor, Tensor
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Program, Programs
from ostinato.program.ops_table import Axis
from ostinato.program.verify import verify
from tests.gguf.blocks import random_blocks

TYPES = (TensorType.F32, TensorType.F16, TensorType.Q8_0, TensorType.Q4_K, TensorType.Q6_K)
MORE_TYPES = tuple(sorted(FORMATS - {*TYPES}))
EXACT = 1e-11  # float32 against float32, sums in another order
HALF = 1e-6  # values rounded to float16 on the way
QUANTISED = 2e-4  # activations quantised to 8 bits: (1 / 127)^2 / 3 at worst, less in practice
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
    prompts: tuple[int, ...] = (7, 1, 19)

    def programs(self) -> tuple[Programs, dict[str, StoredTensor]]:
        """embed -> the ops under test -> select -> output; the program under test and its weights."""
        weights = Weights(seed=len(self.name) + self.width)
        table = weights.normal("table", (VOCAB, self.width), TensorType.F32, scale=1.0)
        builder = Builder(weights.tensors)
        builder.caches.extend(self.caches)
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
    return float(np.mean(difference**2) / max(np.mean(wanted.astype(np.float64) ** 2), 1e-30))


# ----------------------------------------------------------------------------------------------------- the list


def _linear(kind: TensorType, n: int, k: int, bias: bool) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        weight = w.normal("w", (n, k), kind)
        return b.add("linear", x, weights=(weight, w.normal("b", (n,), TensorType.F32) if bias else None))

    return OpCase(f"linear {kind.name} {n}x{k}{' bias' if bias else ''}", k, build, _tolerance(kind))


def _embed(kind: TensorType) -> OpCase:
    def build(b: Builder, w: Weights, _: str) -> str:
        return b.add("embed", weights=(w.normal("second", (VOCAB, 256), kind),))

    return OpCase(f"embed {kind.name}", 256, build)


def _norm(width: int, groups: int) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        gain = w.normal("gain", (width // groups,), TensorType.F32)
        return b.add("rms_norm", x, weights=(gain,), eps=1e-5, groups=groups)

    return OpCase(f"rms_norm {width} groups={groups}", width, build)


def _rope(style: RopeStyle, heads: int, head: int, dims: int, factors: bool = False) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        divisors = w.put("factors", np.linspace(1, 8, dims // 2, dtype=np.float32)) if factors else None
        angles = b.add("angles", weights=(divisors,), dims=dims, base=10000.0, scale=0.5 if factors else 1.0)
        return b.add("rope", x, angles, heads=heads, style=style)

    suffix = " factors" if factors else ""
    return OpCase(f"rope {style.name} {heads}x{head} dims={dims}{suffix}", heads * head, build)


def _attend(heads: int, kv_heads: int, key: int, value: int, kv_type: KVType) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        widths = {"q": heads * key, "k": kv_heads * key, "v": kv_heads * value}
        q, k, v = (
            b.add("linear", x, weights=(w.normal(name, (n, 64), TensorType.F32, scale=0.3), None))
            for name, n in widths.items()
        )
        b.add("append", k, v, cache=0, index=1)
        return b.add(
            "attend", q, cache=0, index=1, heads=heads, kv_heads=kv_heads, key_dim=key, value_dim=value,
            scale=key**-0.5,
        )  # fmt: skip

    name = f"attend {heads}/{kv_heads} {key}+{value} {kv_type.value}"
    cache = CacheGroup("full", 2, kv_heads, key, value)
    return OpCase(name, 64, build, HALF if kv_type is KVType.F16 else EXACT, kv_type, (cache,))


def _glu(act: Activation, width: int) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        other = b.add("rms_norm", x, weights=(w.normal("gain", (width,), TensorType.F32, 2.0),), eps=1e-5)
        return b.add("glu", x, other, act=act)

    return OpCase(f"glu {act.name} {width}", width, build)


def _add(width: int) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        return b.add("add", x, b.add("rms_norm", x, weights=(w.normal("g", (width,), TensorType.F32),), eps=1e-5))

    return OpCase(f"add {width}", width, build)


def _experts(kind: TensorType, count: int, used: int, scoring: Scoring, normalise: int) -> OpCase:
    width, hidden = 256, 512

    def build(b: Builder, w: Weights, x: str) -> str:
        router = w.normal("router", (count, width), TensorType.F32)
        ids, weights = b.add_many(
            "route", x, weights=(router,), top_k=used, scoring=scoring, normalise=normalise, scale=1.5
        )
        order, offsets = b.add_many("group", ids, experts=count)
        stacks = (
            w.normal("gate", (count, hidden, width), kind),
            w.normal("up", (count, hidden, width), kind),
            w.normal("down", (count, width, hidden), kind),
        )
        out = b.add("experts", x, order, offsets, weights=stacks, act=Activation.SILU)
        return b.add("combine", out, weights)

    name = f"experts {kind.name} {used}/{count} {scoring.name}{' normalise' if normalise else ''}"
    return OpCase(name, width, build, 3 * _tolerance(kind))


def _tolerance(kind: TensorType) -> float:
    return EXACT if kind.block_elements == 1 else QUANTISED


# Types that not every backend has: a case each for what reads blocks.
BLOCK_CASES: tuple[OpCase, ...] = tuple(
    case
    for kind in MORE_TYPES
    for case in (_linear(kind, 33, 512, False), _embed(kind), _experts(kind, 4, 2, Scoring.SOFTMAX, 1))
)

CASES: tuple[OpCase, ...] = (
    *(
        _linear(kind, n, k, bias)
        for kind in TYPES
        for n, k, bias in ((33, 256, False), (1, 512, True), (130, 1024, False))
    ),
    _linear(TensorType.F32, 17, 172, True),
    _linear(TensorType.F16, 5, 44, False),
    _linear(TensorType.Q8_0, 12, 96, False),
    *(_embed(kind) for kind in TYPES),
    *BLOCK_CASES,
    _norm(64, 1),
    _norm(172, 1),
    _norm(256, 8),
    _rope(RopeStyle.NORM, 4, 16, 16),
    _rope(RopeStyle.NEOX, 3, 32, 32),
    _rope(RopeStyle.NORM, 2, 80, 24),
    _rope(RopeStyle.NEOX, 2, 64, 32, factors=True),
    *(
        _attend(heads, kv_heads, key, value, kv_type)
        for kv_type in KVType
        for heads, kv_heads, key, value in ((4, 4, 16, 16), (8, 2, 64, 64), (6, 1, 40, 24), (32, 4, 128, 128))
    ),
    _glu(Activation.SILU, 172),
    _glu(Activation.GELU, 256),
    _add(100),
    *(_experts(kind, 8, 2, Scoring.SOFTMAX, 1) for kind in TYPES),
    _experts(TensorType.Q4_K, 5, 3, Scoring.SIGMOID, 0),
)
