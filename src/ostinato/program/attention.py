"""Attention as instructions: grouped-query, and latent (naive and absorbed)."""

from __future__ import annotations

from ostinato.model.kinds_table import Activation
from ostinato.model.spec import Attention, LatentAttention, Norm, Temperature
from ostinato.program.scope import Scope


def attention(s: Scope, a: Attention, h: str) -> str:
    """Projections, norms and rotations, keys and values into the cache, softmax over them, output."""
    q = _tempered(s, a.temperature, _turned(s, a, a.query_norm, s.linear(a.query, h), a.heads))
    cache, index = _keys_and_values(s, a, h)
    out = s.builder.add(
        "attend", q, weights=(a.sinks,), cache=cache, index=index, heads=a.heads, kv_heads=a.kv_heads,
        key_dim=a.key_dim, value_dim=a.value_dim, scale=a.scale, mask=a.mask, window=a.window, softcap=a.softcap,
    )  # fmt: skip
    if a.gate is not None:
        out = s.builder.add("glu", s.linear(a.gate, h), out, act=Activation.SIGMOID)
    return s.linear(a.output, out)


def _keys_and_values(s: Scope, a: Attention, h: str) -> tuple[int, int]:
    """Where the layer's keys and values lie, after they were written."""
    if a.key is None:
        assert a.shares is not None, "a layer without keys shares those of another"
        return s.cache_layer(a.shares)
    projected = s.linear(a.key, h)
    v = projected if a.value is None else s.linear(a.value, h)
    k = _turned(s, a, a.key_norm, projected, a.kv_heads)
    cache, index = s.new_cache_layer(a.kv_heads, a.key_dim, a.value_dim)
    s.builder.add("append", k, s.norm(a.value_norm, v), cache=cache, index=index)
    return cache, index


def _turned(s: Scope, a: Attention, norm: Norm | None, x: str, heads: int) -> str:
    """Queries or keys, normed and rotated in the layer's order."""
    if not a.rope_first:
        x = s.norm(norm, x)
    if a.rope is not None:
        x = s.rope(a.rope, x, heads)
    return s.norm(norm, x) if a.rope_first else x


def _tempered(s: Scope, t: Temperature | None, q: str) -> str:
    return q if t is None else s.builder.add("temper", q, period=t.period, beta=t.beta, offset=t.offset)


def latent_attention(s: Scope, a: LatentAttention, h: str) -> str:
    """Latent attention, absorbed where the file has the weights for it."""
    b = s.builder
    q = h if a.query_down is None else s.norm(a.query_norm, s.linear(a.query_down, h))
    q = s.linear(a.query, q)
    if a.rope is not None:
        q = s.rope(a.rope, q, a.heads, start=a.nope_dim)
    q = _tempered(s, a.temperature, q)
    down = s.linear(a.down, h)
    latent = s.norm(a.norm, b.add("part", down, heads=1, start=0, width=a.rank))
    turned = b.add("part", down, heads=1, start=a.rank, width=a.rope_dim)
    if a.rope is not None:
        turned = s.rope(a.rope, turned, 1)
    mix = _absorbed if a.key_value_up is None else _naive
    return s.linear(a.output, mix(s, a, q, latent, turned))


def _absorbed(s: Scope, a: LatentAttention, q: str, latent: str, turned: str) -> str:
    """Queries go into the latent space, results come out of it: one KV head, whose keys begin with its values."""
    b = s.builder
    key_dim = a.rank + a.rope_dim
    cache, index = s.new_cache_layer(1, key_dim, 0)
    b.add("append", b.add("join", latent, turned, heads=1), cache=cache, index=index)
    inside = b.add("part", q, heads=a.heads, start=0, width=a.nope_dim)
    rotated = b.add("part", q, heads=a.heads, start=a.nope_dim, width=a.rope_dim)
    query = b.add("join", b.add("per_head", inside, weights=(a.key_up,)), rotated, heads=a.heads)
    out = b.add(
        "attend", query, cache=cache, index=index, heads=a.heads, kv_heads=1, key_dim=key_dim, value_dim=a.rank,
        scale=a.scale,
    )  # fmt: skip
    return b.add("per_head", out, weights=(a.value_up,))


def _naive(s: Scope, a: LatentAttention, q: str, latent: str, turned: str) -> str:
    """Every head's keys and values are made from the latent and kept."""
    b = s.builder
    assert a.key_value_up is not None
    both = b.add("linear", latent, weights=(a.key_value_up,))
    inside = b.add("part", both, heads=a.heads, start=0, width=a.nope_dim)
    v = b.add("part", both, heads=a.heads, start=a.nope_dim, width=a.value_dim)
    k = b.add("join", inside, turned, heads=a.heads, shared=1)
    key_dim = a.nope_dim + a.rope_dim
    cache, index = s.new_cache_layer(a.heads, key_dim, a.value_dim)
    b.add("append", k, v, cache=cache, index=index)
    return b.add(
        "attend", q, cache=cache, index=index, heads=a.heads, kv_heads=a.heads, key_dim=key_dim,
        value_dim=a.value_dim, scale=a.scale,
    )  # fmt: skip
