"""ModelSpec -> Programs: what a model computes, written down as instructions.

Nothing here knows an architecture by name, a quantisation type, a device or a degree of parallelism.
"""

from __future__ import annotations

from collections.abc import Mapping

from ostinato.model.spec import Attention, Dense, Experts, Layer, ModelSpec, Projection, Rope
from ostinato.model.weights import StoredTensor
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Programs
from ostinato.program.verify import verify


def compile_model(spec: ModelSpec, tensors: Mapping[str, StoredTensor]) -> Programs:
    """The programs of a model, verified against the file's tensors. Raises VerifyError or WeightError."""
    builder = Builder(tensors)
    _caches(builder, spec)
    angles = _angles(builder, spec)
    x = builder.add("embed", weights=(spec.embedding,))
    for index, layer in enumerate(spec.layers):
        builder.layer = index
        x = _layer(builder, layer, x, spec.norm_eps, angles)
    builder.layer = -1
    x = builder.add("select", x)
    x = builder.add("rms_norm", x, weights=(spec.output_norm,), eps=spec.norm_eps)
    logits = builder.add("linear", x, weights=(spec.output, None))
    builder.add("sample", logits)
    program = builder.program("step", {"logits": logits}, spec.vocab_size)
    verify(program, tensors)
    return Programs(prefill=program, decode=program)


def _caches(builder: Builder, spec: ModelSpec) -> None:
    """One cache group per name; its layers share a block table and must agree in shape."""
    by_name: dict[str, list[Attention]] = {}
    for layer in spec.layers:
        by_name.setdefault(layer.attention.cache, []).append(layer.attention)
    for name, members in by_name.items():
        first = members[0]
        builder.caches.append(CacheGroup(name, len(members), first.kv_heads, first.key_dim, first.value_dim))


def _angles(b: Builder, spec: ModelSpec) -> dict[Rope, str]:
    """The rotations of each row, computed once and shared by all layers that turn alike."""
    ropes = dict.fromkeys(layer.attention.rope for layer in spec.layers if layer.attention.rope is not None)
    return {
        rope: b.add("angles", weights=(rope.factors,), dims=rope.dims, base=rope.base, scale=rope.scale)
        for rope in ropes
    }


def _layer(b: Builder, layer: Layer, x: str, eps: float, angles: Mapping[Rope, str]) -> str:
    h = b.add("rms_norm", x, weights=(layer.attention_norm,), eps=eps)
    x = b.add("add", x, _attention(b, layer.attention, h, eps, angles))
    h = b.add("rms_norm", x, weights=(layer.ffn_norm,), eps=eps)
    ffn = _experts(b, layer.ffn, h) if isinstance(layer.ffn, Experts) else _dense(b, layer.ffn, h)
    return b.add("add", x, ffn)


def _attention(b: Builder, a: Attention, h: str, eps: float, angles: Mapping[Rope, str]) -> str:
    q, k, v = (_linear(b, p, h) for p in (a.query, a.key, a.value))
    if a.query_norm is not None:
        q = b.add("rms_norm", q, weights=(a.query_norm,), eps=eps, groups=a.heads)
    if a.key_norm is not None:
        k = b.add("rms_norm", k, weights=(a.key_norm,), eps=eps, groups=a.kv_heads)
    if a.rope is not None:
        q = b.add("rope", q, angles[a.rope], heads=a.heads, style=a.rope.style)
        k = b.add("rope", k, angles[a.rope], heads=a.kv_heads, style=a.rope.style)
    cache, index = b.next_layer_of(a.cache)
    b.add("append", k, v, cache=cache, index=index)
    out = b.add(
        "attend", q, cache=cache, index=index, heads=a.heads, kv_heads=a.kv_heads, key_dim=a.key_dim,
        value_dim=a.value_dim, scale=a.scale,
    )  # fmt: skip
    return _linear(b, a.output, out)


def _dense(b: Builder, ffn: Dense, h: str) -> str:
    gate, up = _linear(b, ffn.gate, h), _linear(b, ffn.up, h)
    return _linear(b, ffn.down, b.add("glu", gate, up, act=ffn.act))


def _experts(b: Builder, ffn: Experts, h: str) -> str:
    ids, weights = b.add_many(
        "route", h, weights=(ffn.router,), top_k=ffn.used, scoring=ffn.scoring, normalise=int(ffn.normalise),
        scale=ffn.scale,
    )  # fmt: skip
    order, offsets = b.add_many("group", ids, experts=ffn.count)
    out = b.add("experts", h, order, offsets, weights=(ffn.gate, ffn.up, ffn.down), act=ffn.act)
    return b.add("combine", out, weights)


def _linear(b: Builder, p: Projection, x: str) -> str:
    return b.add("linear", x, weights=(p.weight, p.bias))
