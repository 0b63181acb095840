"""Recurrent mixers as instructions: gated delta net, Mamba 2, short convolution."""

from __future__ import annotations

from ostinato.model.kinds_table import Activation
from ostinato.model.spec import DeltaNet, Mamba, Projection, ShortConv, Stream
from ostinato.model.weights import WeightExpr
from ostinato.program.scope import Scope

LENGTH_EPS = 1e-6  # of the norm that brings queries and keys to length 1 (FLA's l2norm, as Qwen3-Next uses it)


def delta_net(s: Scope, m: DeltaNet, h: str) -> str:
    b = s.builder
    q, k, v = _streams(s, m, h)
    alpha, gate = _chain(s, m.alpha, h), _chain(s, m.gate, h)
    beta = s.linear(m.beta, h)
    group, index = s.new_state(m.value_heads * m.key_dim * m.value_dim)
    # rms_norm divides by the root of the mean: the norm of the whole is 1 / sqrt(key_dim) of that, once for q and k.
    q, k = (b.add("rms_norm", x, eps=LENGTH_EPS / m.key_dim, groups=m.heads) for x in (q, k))
    k = b.add("scale", k, factor=m.key_dim**-0.5)
    out = b.add(
        "delta", q, k, v, alpha, beta, weights=(m.decay, m.decay_bias), state=group, index=index, heads=m.heads,
        value_heads=m.value_heads, key_dim=m.key_dim, value_dim=m.value_dim, scale=1.0 / m.key_dim, order=m.order,
    )  # fmt: skip
    return s.linear(m.output, b.add("glu", gate, s.norm(m.norm, out), act=m.gate_act))


def _streams(s: Scope, m: DeltaNet, h: str) -> tuple[str, str, str]:
    """Queries, keys and values: one stream of all three, or one each."""
    made = [_stream(s, stream, h) for stream in m.streams]
    if len(made) == 3:
        return made[0], made[1], made[2]
    width = m.heads * m.key_dim
    parts = ((0, width), (width, width), (2 * width, m.value_heads * m.value_dim))
    q, k, v = (s.builder.add("part", made[0], heads=1, start=start, width=size) for start, size in parts)
    return q, k, v


def _chain(s: Scope, projections: tuple[Projection, ...], h: str) -> str:
    for projection in projections:
        h = s.linear(projection, h)
    return h


def _stream(s: Scope, stream: Stream, h: str) -> str:
    return _conv(s, s.linear(stream.projection, h), stream.kernel, stream.bias, stream.act)


def _conv(s: Scope, x: str, kernel: WeightExpr, bias: WeightExpr | None, act: Activation) -> str:
    channels, taps = s.shape(kernel)
    group, index = s.new_state(channels * (taps - 1))
    return s.builder.add("conv", x, weights=(kernel, bias), state=group, index=index, act=act)


def mamba(s: Scope, m: Mamba, h: str) -> str:
    b = s.builder
    gate, time = s.linear(m.gate, h), s.linear(m.time, h)
    stream, width = _stream(s, m.stream, h), m.groups * m.state_dim
    parts = ((0, m.inner), (m.inner, width), (m.inner + width, width))
    x, input_map, output_map = (b.add("part", stream, heads=1, start=start, width=size) for start, size in parts)
    group, index = s.new_state(m.inner * m.state_dim)
    y = b.add(
        "scan", x, input_map, output_map, time, weights=(m.decay, m.skip, m.time_bias), state=group, index=index,
        heads=m.heads, groups=m.groups, state_dim=m.state_dim,
    )  # fmt: skip
    return s.linear(m.output, s.norm(m.norm, b.add("glu", gate, y, act=Activation.SILU)))


def short_conv(s: Scope, m: ShortConv, h: str) -> str:
    b = s.builder
    all_three = s.linear(m.projection, h)
    width = b.width(all_three) // 3
    gate_in, gate_out, x = (b.add("part", all_three, heads=1, start=i * width, width=width) for i in range(3))
    inner = _conv(s, b.add("glu", gate_in, x, act=Activation.IDENTITY), m.kernel, m.bias, Activation.IDENTITY)
    return s.linear(m.output, b.add("glu", gate_out, inner, act=Activation.IDENTITY))
