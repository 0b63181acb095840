"""What each op means, in NumPy float32: slow, short, and the definition for every backend.

A function takes the step, the instruction's inputs and weights, and its fields by name; it returns its outputs.
Weights are dequantised and multiplied in float32; only how sums are ordered and activations quantised is a
backend's own affair (within the stated tolerance).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.contract import Plan
from ostinato.backends.reference import sample as sampling
from ostinato.backends.reference.paged import Paged
from ostinato.backends.stepstate import Rows, StepState
from ostinato.model.kinds_table import Activation, RopeStyle, Scoring

Array = np.ndarray


@dataclass
class Step:
    """What an op may look at besides its operands."""

    batch: Batch
    rows: Rows
    state: StepState
    caches: list[tuple[Paged, Paged]]  # keys and values of each cache group
    plan: Plan
    sampled: list[tuple[int, int, float, Array, Array]]  # slot, token, logprob, top ids, top logprobs


def embed(step: Step, table: Array) -> Array:
    return table[step.rows.token]


def angles(step: Step, factors: Array | None, *, dims: int, base: float, scale: float) -> Array:
    exponent = np.arange(0, dims, 2, dtype=np.float32) / np.float32(dims)
    frequency = np.float32(base) ** -exponent
    if factors is not None:
        frequency = frequency / factors
    theta = step.rows.position[:, None].astype(np.float32) * np.float32(scale) * frequency
    return np.stack([np.cos(theta), np.sin(theta)], axis=-1).reshape(len(theta), dims)


def rms_norm(_: Step, x: Array, gain: Array, *, eps: float, groups: int) -> Array:
    parts = x.reshape(len(x), groups, -1)
    mean = np.mean(parts * parts, axis=-1, keepdims=True, dtype=np.float32)
    return (parts / np.sqrt(mean + np.float32(eps)) * gain).reshape(x.shape)


def linear(_: Step, x: Array, weight: Array, bias: Array | None) -> Array:
    y = x @ weight.T
    return y if bias is None else y + bias


def rope(_: Step, x: Array, turn: Array, *, heads: int, style: int) -> Array:
    half = turn.shape[1] // 2
    cos, sin = turn[:, None, 0::2], turn[:, None, 1::2]
    out = x.reshape(len(x), heads, -1).copy()
    if style == RopeStyle.NORM:
        first, second = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
    else:
        first, second = slice(0, half), slice(half, 2 * half)
    a, b = out[..., first].copy(), out[..., second].copy()
    out[..., first], out[..., second] = a * cos - b * sin, a * sin + b * cos
    return out.reshape(x.shape)


def append(step: Step, k: Array, v: Array, *, cache: int, index: int) -> None:
    keys, values = step.caches[cache]
    for row, (slot, position) in enumerate(zip(step.rows.slot, step.rows.position, strict=True)):
        at = _where(step, cache, slot, np.array([position]))
        keys[index, at], values[index, at] = k[row], v[row]


def attend(
    step: Step, q: Array, *, cache: int, index: int, heads: int, kv_heads: int, key_dim: int, value_dim: int,
    scale: float,
) -> Array:  # fmt: skip
    out = np.empty((len(q), heads, value_dim), dtype=np.float32)
    for row, (slot, position) in enumerate(zip(step.rows.slot, step.rows.position, strict=True)):
        at = _where(step, cache, slot, np.arange(position + 1))
        keys = step.caches[cache][0][index, at].astype(np.float32).reshape(-1, kv_heads, 1, key_dim)
        values = step.caches[cache][1][index, at].astype(np.float32).reshape(-1, kv_heads, 1, value_dim)
        query = q[row].reshape(1, kv_heads, heads // kv_heads, key_dim)
        weights = softmax((query * keys).sum(-1) * np.float32(scale), axis=0)
        out[row] = (weights[..., None] * values).sum(0).reshape(heads, value_dim)
    return out.reshape(len(q), -1)


def glu(_: Step, gate: Array, up: Array, *, act: int) -> Array:
    return activate(gate, act) * up


def add(_: Step, a: Array, b: Array) -> Array:
    return a + b


def select(step: Step, x: Array) -> Array:
    return x[step.rows.logit]


def route(
    _: Step, x: Array, router: Array, *, top_k: int, scoring: int, normalise: int, scale: float
) -> tuple[Array, Array]:
    logits = x @ router.T
    scores = softmax(logits, axis=-1) if scoring == Scoring.SOFTMAX else 1.0 / (1.0 + np.exp(-logits))
    ids = np.argsort(-scores, axis=-1, kind="stable")[:, :top_k].astype(np.int32)
    weights = np.take_along_axis(scores, ids, axis=-1)
    if normalise:
        weights = weights / weights.sum(-1, keepdims=True)
    return ids, (weights * np.float32(scale)).astype(np.float32)


def group(step: Step, ids: Array, *, experts: int) -> tuple[Array, Array]:
    kind = (np.arange(len(ids)) >= step.rows.prompt_rows).astype(np.int32)
    bucket = (ids + experts * kind[:, None]).reshape(-1)
    order = np.argsort(bucket, kind="stable").astype(np.int32)
    counts = np.bincount(bucket, minlength=2 * experts)
    return order[:, None], np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)[None, :]


def experts(_: Step, x: Array, order: Array, offsets: Array, gate: Array, up: Array, down: Array, *, act: int) -> Array:
    top_k = len(order) // max(len(x), 1)
    out = np.empty((len(order), down.shape[1]), dtype=np.float32)
    for bucket in range(2 * len(gate)):
        members = order[offsets[0, bucket] : offsets[0, bucket + 1], 0]
        rows, e = x[members // top_k], bucket % len(gate)
        out[members] = (activate(rows @ gate[e].T, act) * (rows @ up[e].T)) @ down[e].T
    return out


def combine(_: Step, e: Array, weights: Array) -> Array:
    parts = e.reshape(*weights.shape, -1)
    total = np.zeros((len(weights), parts.shape[-1]), dtype=np.float32)
    for j in range(weights.shape[1]):
        total += weights[:, j, None] * parts[:, j]
    return total


def sample(step: Step, logits: Array) -> Array:
    tokens = np.full((len(logits), 1), -1, dtype=np.int32)
    masks = dict(step.batch.masks)
    end = 0
    for span in step.batch.spans:
        end += span.logit_rows
        if span.sample:
            tokens[end - 1] = _draw(step, span.slot, int(step.rows.position[step.rows.logit[end - 1]]) + 1,
                                    logits[end - 1], masks.get(span.slot))  # fmt: skip
    return tokens


def _draw(step: Step, slot_index: int, position: int, logits: Array, mask: Array | None) -> int:
    slot = step.state.slots[slot_index]
    settings = slot.sampling
    token = sampling.sample_row(logits, settings, slot.history[:position], slot.prompt_length, mask)
    step.state.record(slot_index, position, max(token, 0))
    logprobs = sampling.log_probabilities(logits) if settings.logprobs >= 0 else None
    top = sampling.best(logits, max(settings.logprobs, 0))
    step.sampled.append((
        slot_index, token, float("nan") if logprobs is None else float(logprobs[token]),
        top, np.zeros(0, np.float32) if logprobs is None else logprobs[top],
    ))  # fmt: skip
    return token


def softmax(x: Array, axis: int) -> Array:
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    total: Array = shifted / shifted.sum(axis=axis, keepdims=True)
    return total


def activate(x: Array, act: int) -> Array:
    if act == Activation.SILU:
        return x / (1.0 + np.exp(-x))
    inner = np.float32(np.sqrt(2.0 / np.pi)) * (x + np.float32(0.044715) * x**3)
    return np.float32(0.5) * x * (1.0 + np.tanh(inner))


def _where(step: Step, cache: int, slot: int, positions: Array) -> Array:
    """Index in the pool of each position: block_table[p / block_size] * block_size + p % block_size."""
    size = step.plan.block_size
    at: Array = step.state.slots[slot].tables[cache][positions // size] * size + positions % size
    return at


MEANING: Mapping[str, Callable[..., Array | tuple[Array, ...] | None]] = {
    function.__name__: function
    for function in (
        embed, angles, rms_norm, linear, rope, append, attend, glu, add, select, route, group, experts, combine, sample
    )
}  # fmt: skip
