"""Feed-forward networks as instructions: dense, experts, per-layer inputs."""

from __future__ import annotations

from ostinato.model.kinds_table import Activation
from ostinato.model.spec import Dense, Experts, PerLayerInput
from ostinato.program.scope import Scope


def dense(s: Scope, f: Dense, h: str) -> str:
    up = s.linear(f.up, h)
    if f.gate is None:
        return s.linear(f.down, s.builder.add("activate", up, act=f.act))
    inner = s.builder.add("glu", s.linear(f.gate, h), up, act=f.act, limit=f.limit, shift=f.shift)
    return s.linear(f.down, inner)


def experts(s: Scope, f: Experts, h: str, x: str) -> str:
    """`x` is what the block began with, for routers that look at it."""
    b = s.builder
    seen = h if f.router_norm is None else s.scaled(s.norm(f.router_norm, x), f.router_scale)
    ids, weights = b.add_many(
        "route", seen, weights=(f.router.weight, f.router.bias, f.correction, f.gain), top_k=f.used,
        scoring=f.scoring, normalise=int(f.normalise), scale=f.scale, floor=f.floor, groups=f.groups,
        top_groups=f.top_groups, group_score=f.group_score,
    )  # fmt: skip
    order, offsets = b.add_many("group", ids, experts=f.count)
    out = b.add(
        "experts", h, order, offsets, weights if f.weigh_input else None,
        weights=(f.gate, f.up, f.down, f.gate_bias, f.up_bias, f.down_bias), act=f.act, limit=f.limit, shift=f.shift,
    )  # fmt: skip
    total = b.add("combine", out, weights, plain=int(f.weigh_input))
    return total if f.shared is None else b.add("add", total, _shared(s, f, f.shared, h))


def _shared(s: Scope, f: Experts, shared: Dense, h: str) -> str:
    out = dense(s, shared, h)
    if f.shared_gate is None:
        return out
    return s.builder.add("glu", s.linear(f.shared_gate, h), out, act=Activation.SIGMOID)


def per_layer_input(s: Scope, f: PerLayerInput, h: str) -> str:
    b = s.builder
    gate = s.linear(f.gate, h)
    width = b.width(gate)
    own = b.add("part", s.per_layer, heads=1, start=b.layer * width, width=width)
    return s.linear(f.up, b.add("glu", gate, own, act=f.act))
