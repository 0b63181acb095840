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
from ostinato.backends.reference.functions import activation, softmax
from ostinato.backends.reference.paged import Paged
from ostinato.backends.reference.recurrent import Recurrent, conv, delta, scan
from ostinato.backends.stepstate import Rows, StepState
from ostinato.model.kinds_table import AttentionMask, EmbedBy, GroupScore, Pooling, RopeStyle, Scoring

Array = np.ndarray


@dataclass
class Step:
    """What an op may look at besides its operands."""

    batch: Batch
    rows: Rows
    state: StepState
    caches: list[tuple[Paged, Paged]]  # keys and values of each cache group
    recurrent: Recurrent
    plan: Plan
    sampled: list[tuple[int, int, float, Array, Array]]  # slot, token, logprob, top ids, top logprobs


def embed(step: Step, table: Array, *, by: int, scale: float) -> Array:
    index = {EmbedBy.TOKEN: step.rows.token, EmbedBy.POSITION: step.rows.position}.get(EmbedBy(by))
    picked = table[index] if index is not None else np.repeat(table[:1], len(step.rows.token), axis=0)
    return picked * np.float32(scale)


def angles(step: Step, factors: Array | None, *, dims: int, base: float, scale: float, gain: float) -> Array:
    exponent = np.arange(0, dims, 2, dtype=np.float32) / np.float32(dims)
    frequency = np.float32(base) ** -exponent
    if factors is not None:
        frequency = frequency / factors
    theta = step.rows.position[:, None].astype(np.float32) * np.float32(scale) * frequency
    return np.float32(gain) * np.stack([np.cos(theta), np.sin(theta)], axis=-1).reshape(len(theta), dims)


def rms_norm(_: Step, x: Array, gain: Array | None, *, eps: float, groups: int) -> Array:
    parts = x.reshape(len(x), groups, x.shape[1] // groups)
    mean = np.mean(parts * parts, axis=-1, keepdims=True, dtype=np.float32)
    return _affine(parts / np.sqrt(mean + np.float32(eps)), gain, None).reshape(x.shape)


def layer_norm(_: Step, x: Array, gain: Array | None, bias: Array | None, *, eps: float, groups: int) -> Array:
    parts = x.reshape(len(x), groups, x.shape[1] // groups)
    centred = parts - np.mean(parts, axis=-1, keepdims=True, dtype=np.float32)
    variance = np.mean(centred * centred, axis=-1, keepdims=True, dtype=np.float32)
    return _affine(centred / np.sqrt(variance + np.float32(eps)), gain, bias).reshape(x.shape)


def _affine(parts: Array, gain: Array | None, bias: Array | None) -> Array:
    """parts [rows, groups, n] x gain + bias, each [n] or [groups x n]."""
    shape = parts.shape[1:]
    if gain is not None:
        parts = parts * (gain if gain.size == shape[-1] else gain.reshape(shape))
    if bias is not None:
        parts = parts + (bias if bias.size == shape[-1] else bias.reshape(shape))
    return parts


def linear(_: Step, x: Array, residual: Array | None, weight: Array, bias: Array | None) -> Array:
    y = _product(x, weight, bias)
    return y if residual is None else residual + y


def _product(x: Array, weight: Array, bias: Array | None) -> Array:
    y = x @ weight.T
    return y if bias is None else y + bias


def gated(
    step: Step, x: Array, gate: Array, up: Array, gate_bias: Array | None, up_bias: Array | None,
    *, act: int, limit: float, shift: float,
) -> Array:  # fmt: skip
    gates = _product(x, gate, gate_bias)
    return glu(step, gates, _product(x, up, up_bias), act=act, limit=limit, shift=shift)


def per_head(_: Step, x: Array, weight: Array) -> Array:
    heads, _n, k = weight.shape
    return np.einsum("thk,hnk->thn", x.reshape(len(x), heads, k), weight).reshape(len(x), -1).astype(np.float32)


def rope(_: Step, x: Array, turn: Array, *, heads: int, style: int, start: int) -> Array:
    half = turn.shape[1] // 2
    cos, sin = turn[:, None, 0::2], turn[:, None, 1::2]
    out = x.reshape(len(x), heads, -1).copy()
    turned = out[..., start : start + 2 * half]
    if style == RopeStyle.NORM:
        first, second = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
    else:
        first, second = slice(0, half), slice(half, 2 * half)
    a, b = turned[..., first].copy(), turned[..., second].copy()
    turned[..., first], turned[..., second] = a * cos - b * sin, a * sin + b * cos
    return out.reshape(x.shape)


def temper(step: Step, x: Array, *, period: float, beta: float, offset: float) -> Array:
    whole = np.floor((step.rows.position.astype(np.float32) + np.float32(offset)) / np.float32(period))
    return x * (1.0 + np.float32(beta) * np.log1p(whole))[:, None].astype(np.float32)


def append(step: Step, k: Array, v: Array | None, *, cache: int, index: int) -> None:
    keys, values = step.caches[cache]
    for row, (slot, position) in enumerate(zip(step.rows.slot, step.rows.position, strict=True)):
        at = _where(step, cache, slot, np.array([position]))
        keys[index, at] = k[row]
        if v is not None:
            values[index, at] = v[row]


def attend(
    step: Step, q: Array, sinks: Array | None, *, cache: int, index: int, heads: int, kv_heads: int, key_dim: int,
    value_dim: int, scale: float, mask: int, window: int, softcap: float,
) -> Array:  # fmt: skip
    out = np.empty((len(q), heads, value_dim), dtype=np.float32)
    for row, (slot, position) in enumerate(zip(step.rows.slot, step.rows.position, strict=True)):
        at = _where(step, cache, slot, _seen(step, slot, position, mask, window))
        keys = step.caches[cache][0][index, at].astype(np.float32).reshape(-1, kv_heads, 1, key_dim)
        values = step.caches[cache][1][index, at].astype(np.float32)
        values = values.reshape(-1, kv_heads, 1, value_dim) if values.size else keys[..., :value_dim]
        query = q[row].reshape(1, kv_heads, heads // kv_heads, key_dim)
        scores = (query * keys).sum(-1) * np.float32(scale)
        if softcap:
            scores = np.float32(softcap) * np.tanh(scores / np.float32(softcap))
        weights = _attention_weights(scores, sinks)
        out[row] = (weights[..., None] * values).sum(0).reshape(heads, value_dim)
    return out.reshape(len(q), -1)


def _seen(step: Step, slot: int, position: int, mask: int, window: int) -> Array:
    """The positions that a row attends to."""
    last = int(position)
    if mask in (AttentionMask.ALL, AttentionMask.BAND):
        last = int(step.rows.position[step.rows.slot == slot].max())
    first = {
        AttentionMask.WINDOW: position - window + 1, AttentionMask.CHUNK: position - position % max(window, 1),
        AttentionMask.BAND: position - window // 2,
    }.get(AttentionMask(mask), 0)  # fmt: skip
    if mask == AttentionMask.BAND:
        last = min(last, int(position) + window // 2)
    return np.arange(max(int(first), 0), last + 1)


def _attention_weights(scores: Array, sinks: Array | None) -> Array:
    """softmax over the positions, axis 0 of [positions, kv_heads, group]; a sink takes its share and gives nothing."""
    if sinks is None:
        return softmax(scores, axis=0)
    return softmax(np.concatenate([scores, sinks.reshape(1, *scores.shape[1:])]), axis=0)[:-1]


def glu(_: Step, gate: Array, up: Array, *, act: int, limit: float, shift: float) -> Array:
    if limit:
        gate, up = np.minimum(gate, np.float32(limit)), np.clip(up, -np.float32(limit), np.float32(limit))
    return activation(gate, act) * (up + np.float32(shift))


def activate(_: Step, x: Array, *, act: int) -> Array:
    return activation(x, act)


def scale(_: Step, x: Array, *, factor: float, cap: float) -> Array:
    y = x * np.float32(factor)
    return np.float32(cap) * np.tanh(y / np.float32(cap)) if cap else y


def add(_: Step, a: Array, b: Array, *, scale: float) -> Array:
    return a + np.float32(scale) * b


def part(_: Step, x: Array, *, heads: int, start: int, width: int) -> Array:
    return x.reshape(len(x), heads, -1)[..., start : start + width].reshape(len(x), -1)


def join(_: Step, a: Array, b: Array, *, heads: int, shared: int) -> Array:
    a = a.reshape(len(a), heads, -1)
    b = np.repeat(b[:, None], heads, axis=1) if shared else b.reshape(len(b), heads, -1)
    return np.concatenate([a, b], axis=-1).reshape(len(a), -1)


def select(step: Step, x: Array) -> Array:
    return x[step.rows.logit]


def pool(step: Step, x: Array, *, pooling: int) -> Array:
    out = np.empty((len(step.rows.logit), x.shape[1]), dtype=np.float32)
    for index, row in enumerate(step.rows.logit):
        mine = np.flatnonzero(step.rows.slot[: row + 1] == step.rows.slot[row])
        out[index] = x[mine].mean(0) if pooling == Pooling.MEAN else x[mine[0 if pooling == Pooling.FIRST else -1]]
    return out


def route(
    _: Step, x: Array, router: Array, bias: Array | None, correction: Array | None, gain: Array | None, *, top_k: int,
    scoring: int, normalise: int, scale: float, floor: float, groups: int, top_groups: int, group_score: int,
) -> tuple[Array, Array]:  # fmt: skip
    logits = x @ router.T if bias is None else x @ router.T + bias
    scores = softmax(logits, axis=-1) if scoring == Scoring.SOFTMAX else 1.0 / (1.0 + np.exp(-logits))
    wanted = scores if correction is None else scores + correction
    if groups > 1:
        wanted = np.where(_best_groups(wanted, groups, top_groups, group_score), wanted, -np.inf)
    ids = np.argsort(-wanted, axis=-1, kind="stable")[:, :top_k].astype(np.int32)
    weights = np.take_along_axis(scores, ids, axis=-1)
    if normalise:
        weights = weights / np.maximum(weights.sum(-1, keepdims=True), np.float32(floor))
    weights = weights * np.float32(scale)
    return ids, (weights if gain is None else weights * gain[ids]).astype(np.float32)


def _best_groups(scores: Array, groups: int, used: int, group_score: int) -> Array:
    """bool [rows, experts]: whether an expert is in one of its row's `used` best groups (ties: lower group first)."""
    parts = np.sort(scores.reshape(len(scores), groups, -1), axis=-1)[..., ::-1]
    total = parts[..., :2].sum(-1) if group_score == GroupScore.TOP_2 else parts[..., 0]
    chosen = np.zeros((len(scores), groups), dtype=bool)
    np.put_along_axis(chosen, np.argsort(-total, axis=-1, kind="stable")[:, :used], True, axis=-1)
    return np.repeat(chosen, parts.shape[-1], axis=-1)


def group(step: Step, ids: Array, *, experts: int) -> tuple[Array, Array]:
    kind = (np.arange(len(ids)) >= step.rows.prompt_rows).astype(np.int32)
    bucket = (ids + experts * kind[:, None]).reshape(-1)
    order = np.argsort(bucket, kind="stable").astype(np.int32)
    counts = np.bincount(bucket, minlength=2 * experts)
    return order[:, None], np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)[None, :]


def experts(
    step: Step, x: Array, order: Array, offsets: Array, scales: Array | None, gate: Array | None, up: Array,
    down: Array, gate_bias: Array | None, up_bias: Array | None, down_bias: Array | None, *, act: int, limit: float,
    shift: float,
) -> Array:  # fmt: skip
    top_k = len(order) // max(len(x), 1)
    out = np.empty((len(order), down.shape[1]), dtype=np.float32)
    for bucket in range(2 * len(up)):
        members = order[offsets[0, bucket] : offsets[0, bucket + 1], 0]
        rows, e = x[members // top_k], bucket % len(up)
        if scales is not None:
            rows = rows * scales.reshape(-1)[members, None]
        inner = _product(rows, up[e], None if up_bias is None else up_bias[e])
        if gate is None:
            inner = activation(inner, act)
        else:
            gated = _product(rows, gate[e], None if gate_bias is None else gate_bias[e])
            inner = glu(step, gated, inner, act=act, limit=limit, shift=shift)
        out[members] = _product(inner, down[e], None if down_bias is None else down_bias[e])
    return out


def combine(_: Step, e: Array, weights: Array, *, plain: int) -> Array:
    weights = np.ones_like(weights) if plain else weights
    parts = e.reshape(*weights.shape, -1)
    total = np.zeros((len(weights), parts.shape[-1]), dtype=np.float32)
    for j in range(weights.shape[1]):
        total += weights[:, j, None] * parts[:, j]
    return total


def foresee(_: Step, ids: Array, gate: Array | None, up: Array, down: Array, *, follow: int, behind: int) -> None:
    """Here every weight is there."""


def fetch(_: Step, *, parcel: int, next: int, after: int) -> None:
    """Likewise."""


def drop(_: Step, *, parcel: int) -> None:
    """Likewise."""


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


def _where(step: Step, cache: int, slot: int, positions: Array) -> Array:
    """Index in the pool of each position: block_table[p / block_size] * block_size + p % block_size."""
    size = step.plan.block_size
    at: Array = step.state.slots[slot].tables[cache][positions // size] * size + positions % size
    return at


MEANING: Mapping[str, Callable[..., Array | tuple[Array, ...] | None]] = {
    function.__name__: function
    for function in (
        embed, angles, rms_norm, layer_norm, linear, gated, per_head, rope, temper, append, attend, glu, activate,
        scale, add, part, join, select, pool, route, group, experts, combine, conv, delta, scan, foresee,
        fetch, drop, sample,
    )
}  # fmt: skip
