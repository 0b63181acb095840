"""Op cases of what works on rows: norms, gates, activations, factors, heads, parts, pooling."""

from __future__ import annotations

from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, EmbedBy, Pooling
from ostinato.program.builder import Builder
from tests.backends.opcase import VOCAB, OpCase, Weights, tolerance

F32 = TensorType.F32


def _norm(op: str, what: str, width: int, groups: int, gain: int, bias: int = 0, kind: TensorType = F32) -> OpCase:
    """`gain` and `bias`: their elements; 0: none."""

    def build(b: Builder, w: Weights, x: str) -> str:
        weights = [w.normal(n, (size,), kind, 1.0) if size else None for n, size in (("gain", gain), ("bias", bias))]
        return b.add(op, x, weights=tuple(weights if op == "layer_norm" else weights[:1]), eps=1e-3, groups=groups)

    return OpCase(f"{op}{what} {width} groups={groups} {gain}+{bias} {kind.name.lower()}", width, build)


def _gate(act: Activation, width: int, limit: float = 0.0, shift: float = 0.0, one: bool = False) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        gate = b.add("linear", x, weights=(w.normal("gate", (1 if one else width, width), F32, 0.3), None))
        return b.add("glu", gate, x, act=act, limit=limit, shift=shift)

    what = "limit" if limit else "one" if one else "act"
    return OpCase(f"glu[{what}] {act.name} {width} {limit} {shift}{' one' if one else ''}", width, build)


def _activate(act: Activation, width: int) -> OpCase:
    def build(b: Builder, _: Weights, x: str) -> str:
        return b.add("activate", b.add("scale", x, factor=4.0), act=act)

    return OpCase(f"activate {act.name} {width}", width, build)


def _scale(factor: float, cap: float, width: int) -> OpCase:
    def build(b: Builder, _: Weights, x: str) -> str:
        return b.add("scale", x, factor=factor, cap=cap)

    return OpCase(f"scale {factor} {cap} {width}", width, build)


def _per_head(kind: TensorType, heads: int, n: int, k: int) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        return b.add("per_head", x, weights=(w.normal("w", (heads, n, k), kind),))

    return OpCase(f"per_head {kind.name} {heads}x{n}x{k}", heads * k, build, tolerance(kind))


def _embed(by: EmbedBy, scale: float) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        table = w.normal("second", (VOCAB, 44), TensorType.F16, 1.0)
        return b.add("add", x, b.add("embed", weights=(table,), by=by, scale=scale))

    return OpCase(f"embed[{by.name.lower() if by else 'scale'}] {by.name} {scale}", 44, build)


def _add(b: Builder, _: Weights, x: str) -> str:
    return b.add("add", x, b.add("rms_norm", x, eps=1e-5), scale=-0.7)


def _part(heads: int, head: int, start: int, width: int) -> OpCase:
    def build(b: Builder, _: Weights, x: str) -> str:
        return b.add("part", x, heads=heads, start=start, width=width)

    return OpCase(f"part {heads}x{head} {start}+{width}", heads * head, build)


def _join(heads: int, a: int, other: int, shared: int) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        width = other if shared else heads * other
        second = b.add("linear", x, weights=(w.normal("w", (width, heads * a), F32), None))
        return b.add("join", x, second, heads=heads, shared=shared)

    return OpCase(f"join {heads}x{a}+{other}{' shared' if shared else ''}", heads * a, build)


def _pool(pooling: Pooling) -> OpCase:
    def build(b: Builder, _: Weights, x: str) -> str:
        return b.add("pool", x, pooling=pooling)

    return OpCase(f"pool {pooling.name} 53", 53, build)


ROW_CASES: tuple[OpCase, ...] = (
    _norm("rms_norm", "[plain]", 77, 1, 0),
    _norm("rms_norm", "[plain]", 60, 5, 0),
    _norm("rms_norm", "[gain-each]", 60, 5, 60),
    *(_norm("layer_norm", "", 77, 1, gain, bias) for gain, bias in ((0, 0), (77, 0), (0, 77), (77, 77))),
    _norm("layer_norm", "", 60, 5, 60, 12),
    _norm("layer_norm", "", 48, 1, 48, 48, TensorType.F16),
    *(_gate(act, 50) for act in Activation if act not in (Activation.SILU, Activation.GELU)),
    _gate(Activation.SILU, 50, limit=0.4),
    _gate(Activation.QUICK_GELU, 50, limit=0.5, shift=1.0),
    _gate(Activation.SIGMOID, 50, one=True),
    *(_activate(act, 90) for act in Activation),
    _scale(0.3, 0.0, 33),
    _scale(1.0, 0.5, 33),
    _scale(-2.0, 30.0, 64),
    OpCase("add[scale] 45", 45, _add),
    *(_per_head(kind, 3, 40, 64) for kind in (F32, TensorType.F16, TensorType.Q8_0)),
    *(_per_head(kind, 2, 70, 256) for kind in (TensorType.Q4_K, TensorType.Q6_K)),
    _per_head(F32, 5, 7, 19),
    *(_embed(by, scale) for by, scale in ((EmbedBy.TOKEN, 6.5), (EmbedBy.POSITION, 1.0), (EmbedBy.FIRST, 2.0))),
    _part(1, 40, 3, 20),
    _part(5, 12, 4, 7),
    _join(1, 20, 9, 0),
    _join(4, 10, 6, 0),
    _join(4, 10, 6, 1),
    *(_pool(pooling) for pooling in Pooling),
)
