"""The one list of op cases: every op at odd shapes and every weight type, run on every backend.

The list feeds the tests, the benchmarks and the support table. What a case is: opcase.py.
"""

from __future__ import annotations

import numpy as np

from ostinato.backends.contract import KVType
from ostinato.gguf.blocks import FORMATS
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, RopeStyle, Scoring
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup
from tests.backends.cases_attention import ATTENTION_CASES
from tests.backends.cases_experts import EXPERT_CASES
from tests.backends.cases_recurrent import RECURRENT_CASES
from tests.backends.cases_rows import ROW_CASES
from tests.backends.opcase import (
    EXACT,
    HALF,
    QUANTISED,
    VOCAB,
    MemoryTensor,
    OpCase,
    Weights,
    nmse,
    run_case,
    tolerance,
)

__all__ = ["BLOCK_CASES", "CASES", "EXACT", "FIELD_CASES", "HALF", "QUANTISED", "TYPES", "MemoryTensor", "OpCase",
           "Weights", "nmse", "run_case"]  # fmt: skip

TYPES = (TensorType.F32, TensorType.F16, TensorType.Q8_0, TensorType.Q4_K, TensorType.Q6_K)
MORE_TYPES = tuple(sorted(FORMATS - {*TYPES}))


def _linear(kind: TensorType, n: int, k: int, bias: bool) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        weight = w.normal("w", (n, k), kind)
        return b.add("linear", x, weights=(weight, w.normal("b", (n,), TensorType.F32) if bias else None))

    return OpCase(f"linear {kind.name} {n}x{k}{' bias' if bias else ''}", k, build, tolerance(kind))


def _residual(kind: TensorType, width: int) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        return b.add("linear", x, x, weights=(w.normal("w", (width, width), kind), None))

    return OpCase(f"linear[residual] {kind.name} {width}", width, build, tolerance(kind))


def _gated(kind: TensorType, n: int, k: int, up_kind: TensorType | None = None, limit: float = 0.0) -> OpCase:
    """With biases where there is a limit."""

    def build(b: Builder, w: Weights, x: str) -> str:
        weights = (w.normal("gate", (n, k), kind), w.normal("up", (n, k), up_kind or kind))
        biases = (w.normal("c", (n,), TensorType.F32), w.normal("d", (n,), TensorType.F32)) if limit else ()
        return b.add("gated", x, weights=(*weights, *biases), act=Activation.SILU, limit=limit, shift=limit)

    name = f"gated {kind.name} {up_kind.name if up_kind else ''} {n}x{k} {limit}"
    return OpCase(name, k, build, 4 * tolerance(kind))


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
    return OpCase(name, 64, build, EXACT if kv_type is KVType.F32 else HALF, kv_type, (cache,))


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
    return OpCase(name, width, build, 3 * tolerance(kind))


# Types that not every backend has: a case each for what reads blocks.
BLOCK_CASES: tuple[OpCase, ...] = tuple(
    case
    for kind in MORE_TYPES
    for case in (_linear(kind, 33, 512, False), _embed(kind), _experts(kind, 4, 2, Scoring.SOFTMAX, 1))
)

# What fusion makes.
FUSED_CASES: tuple[OpCase, ...] = (
    _residual(TensorType.F32, 100),
    _residual(TensorType.Q4_K, 256),
    _gated(TensorType.F32, 33, 172, limit=2.0),
    _gated(TensorType.Q4_K, 200, 256),
    _gated(TensorType.Q8_0, 70, 256, TensorType.Q4_K),
)

# Ops and fields that not every backend has, named op[what].
FIELD_CASES: tuple[OpCase, ...] = (
    *FUSED_CASES, *ATTENTION_CASES, *ROW_CASES, *EXPERT_CASES, *RECURRENT_CASES,
)  # fmt: skip

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
        for kv_type in (KVType.F16, KVType.F32)
        for heads, kv_heads, key, value in ((4, 4, 16, 16), (8, 2, 64, 64), (6, 1, 40, 24), (32, 4, 128, 128))
    ),
    *(
        _attend(heads, kv_heads, key, value, KVType.Q8_0)
        for heads, kv_heads, key, value in ((4, 4, 32, 32), (8, 1, 64, 96), (15, 3, 128, 64))
    ),
    _glu(Activation.SILU, 172),
    _glu(Activation.GELU, 256),
    _add(100),
    *(_experts(kind, 8, 2, Scoring.SOFTMAX, 1) for kind in TYPES),
    _experts(TensorType.Q4_K, 5, 3, Scoring.SIGMOID, 0),
    *FIELD_CASES,
)
