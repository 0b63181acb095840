"""Recurrent state, and the ops that carry it from row to row: causal convolution, gated delta rule, Mamba 2.

A sequence's state lives in its slot. It is zero before position 0, moves one row at a time in the order of the
step, and cannot be rolled back: who wants an earlier one computes the sequence again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ostinato.backends.reference.functions import activation
from ostinato.model.kinds_table import Activation, HeadOrder
from ostinato.program.ir import StateGroup

if TYPE_CHECKING:
    from ostinato.backends.reference.ops import Step

Array = np.ndarray


class Recurrent:
    """float32 [layers, elements] of every state group and slot."""

    def __init__(self, groups: Sequence[StateGroup], slots: int) -> None:
        self._states = [np.zeros((slots, group.layers, group.elements), np.float32) for group in groups]

    def rows(self, step: Step, group: int, index: int, shape: tuple[int, ...]) -> Iterator[tuple[int, Array]]:
        """Each row of the step in order, with the state it finds: a view of `shape`, to be changed in place."""
        for row, (slot, position) in enumerate(zip(step.rows.slot, step.rows.position, strict=True)):
            state = self._states[group][slot, index].reshape(shape)
            if position == 0:
                state[:] = 0
            yield row, state


def conv(step: Step, x: Array, kernel: Array, bias: Array | None, *, state: int, index: int, act: int) -> Array:
    channels, taps = kernel.shape
    out = np.empty_like(x)
    for row, past in step.recurrent.rows(step, state, index, (taps - 1, channels)):
        window = np.concatenate([past, x[row : row + 1]])
        out[row] = (window * kernel.T).sum(0)
        past[:] = window[1:]
    return activation(out if bias is None else out + bias, act)


def delta(
    step: Step, q: Array, k: Array, v: Array, alpha: Array, beta: Array, decay: Array, bias: Array, *, state: int,
    index: int, heads: int, value_heads: int, key_dim: int, value_dim: int, scale: float, order: int,
) -> Array:  # fmt: skip
    pairs = np.arange(value_heads)
    pairs = pairs // (value_heads // heads) if order == HeadOrder.GROUPED else pairs % heads
    soft = activation(alpha + bias, Activation.SOFTPLUS).reshape(len(alpha), value_heads, -1)
    kept = np.exp(decay[:, None] * soft)  # [T, value_heads, 1 or key_dim]
    rate = activation(beta, Activation.SIGMOID)
    q, k = (x.reshape(len(x), heads, key_dim)[:, pairs] for x in (q, k))
    v = v.reshape(len(v), value_heads, value_dim)
    out = np.empty_like(v)
    for row, s in step.recurrent.rows(step, state, index, (value_heads, key_dim, value_dim)):
        s *= kept[row][:, :, None]
        change = rate[row][:, None] * (v[row] - (k[row][:, :, None] * s).sum(1))
        s += k[row][:, :, None] * change[:, None, :]
        out[row] = np.float32(scale) * (q[row][:, :, None] * s).sum(1)
    return out.reshape(len(out), -1)


def scan(
    step: Step, x: Array, b: Array, c: Array, dt: Array, decay: Array, skip: Array, bias: Array, *, state: int,
    index: int, heads: int, groups: int, state_dim: int,
) -> Array:  # fmt: skip
    time = activation(dt + bias, Activation.SOFTPLUS)
    b, c = (np.repeat(y.reshape(len(y), groups, state_dim), heads // groups, axis=1) for y in (b, c))
    x = x.reshape(len(x), heads, -1)
    out = np.empty_like(x)
    for row, s in step.recurrent.rows(step, state, index, (heads, x.shape[2], state_dim)):
        s *= np.exp(time[row] * decay)[:, None, None]
        s += (time[row][:, None] * x[row])[:, :, None] * b[row][:, None, :]
        out[row] = (s * c[row][:, None, :]).sum(-1) + skip[:, None] * x[row]
    return out.reshape(len(out), -1)
