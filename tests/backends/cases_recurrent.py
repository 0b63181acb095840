"""Op cases of recurrent state: causal convolution, gated delta rule, Mamba 2. Sequences go on from step to step."""

from __future__ import annotations

import numpy as np

from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, HeadOrder
from ostinato.model.weights import Tensor
from ostinato.program.builder import Builder
from ostinato.program.ir import StateGroup
from tests.backends.opcase import OpCase, Weights

F32 = TensorType.F32
WIDTH = 48


def _conv(channels: int, taps: int, bias: bool, act: Activation, kind: TensorType = F32) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        kernel = w.normal("kernel", (channels, taps), kind, 0.6)
        weights = (kernel, w.normal("bias", (channels,), F32, 0.5) if bias else None)
        b.add("conv", b.add("scale", x, factor=3.0), weights=weights, state=0, index=0, act=act)
        return b.add("conv", x, weights=weights, state=0, index=1, act=act)

    states = (StateGroup("conv", 2, channels * (taps - 1)),)
    name = f"conv {channels}x{taps} {act.name}{' bias' if bias else ''} {kind.name.lower()}"
    return OpCase(name, channels, build, states=states)


def _projected(b: Builder, w: Weights, x: str, name: str, width: int, scale: float = 0.15) -> str:
    return b.add("linear", x, weights=(w.normal(name, (width, WIDTH), F32, scale), None))


def _decays(w: Weights, heads: int) -> Tensor:
    """-exp(A_log) of heads that forget slowly and fast."""
    return w.put("decay", -np.geomspace(0.02, 4.0, heads).astype(np.float32))


def _delta(heads: int, value_heads: int, key: int, value: int, order: HeadOrder, channels: bool = False) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        q, k = (
            b.add("rms_norm", _projected(b, w, x, name, heads * key), eps=1e-6 / key, groups=heads) for name in "qk"
        )
        k = b.add("scale", k, factor=key**-0.5)  # length 1
        alphas = value_heads * (key if channels else 1)
        return b.add(
            "delta", q, k, _projected(b, w, x, "v", value_heads * value), _projected(b, w, x, "alpha", alphas, 0.4),
            _projected(b, w, x, "beta", value_heads, 0.4),
            weights=(_decays(w, value_heads), w.normal("dt", (alphas,), F32, 1.0)), state=0, index=1, heads=heads,
            value_heads=value_heads, key_dim=key, value_dim=value, scale=key**-0.5, order=order,
        )  # fmt: skip

    states = (StateGroup("delta", 2, value_heads * key * value),)
    name = f"delta {heads}/{value_heads} {key}x{value} {order.name}{' channels' if channels else ''}"
    return OpCase(name, WIDTH, build, states=states)


def _scan(heads: int, head: int, groups: int, state: int) -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        widths = {"x": heads * head, "b": groups * state, "c": groups * state, "dt": heads}
        inputs = [_projected(b, w, x, name, width) for name, width in widths.items()]
        weights = (_decays(w, heads), w.normal("skip", (heads,), F32, 1.0), w.normal("bias", (heads,), F32, 2.0))
        return b.add("scan", *inputs, weights=weights, state=0, index=0, heads=heads, groups=groups, state_dim=state)

    states = (StateGroup("scan", 1, heads * head * state),)
    return OpCase(f"scan {heads}x{head} groups={groups} state={state}", WIDTH, build, states=states)


RECURRENT_CASES: tuple[OpCase, ...] = (
    _conv(60, 4, False, Activation.SILU),
    _conv(1100, 4, True, Activation.SILU),
    _conv(35, 3, True, Activation.IDENTITY, TensorType.F16),
    _conv(20, 9, False, Activation.IDENTITY),
    _conv(16, 1, False, Activation.IDENTITY),
    _delta(2, 2, 16, 16, HeadOrder.GROUPED),
    _delta(2, 6, 24, 40, HeadOrder.GROUPED),
    _delta(2, 6, 24, 40, HeadOrder.TILED),
    _delta(1, 2, 128, 128, HeadOrder.TILED),
    _delta(3, 3, 20, 72, HeadOrder.GROUPED, channels=True),
    _scan(4, 16, 1, 16),
    _scan(6, 20, 2, 24),
    _scan(2, 64, 2, 128),
)
