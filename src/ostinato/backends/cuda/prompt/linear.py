"""Triton: linears and experts of prompt rows: packed weights unpacked tile by tile into bf16, products in f32.

Tiles are fixed (BLOCK_M x BLOCK_N, 64 columns a step, no split of K), so a row's sums do not depend on how many rows
there are. `INTERPRETED` casts the operands of tl.dot back to float32: the interpreter's bf16 product is wrong.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ostinato.backends.cuda.prompt.unpack import unpack

_APART = tl.constexpr(3)  # machine.EXPERT_OPERANDS: how far an operand's entries of neighbouring experts are apart


@triton.jit
def _product(x, weights, INTERPRETED: tl.constexpr):
    """x [BM, 64] . weights [BN, 64]^T, operands rounded to bf16."""
    x, weights = x.to(tl.bfloat16), weights.to(tl.bfloat16)
    if INTERPRETED:
        x, weights = x.to(tl.float32), weights.to(tl.float32)
    return tl.dot(x, tl.trans(weights))


@triton.jit
def linear(
    x, weight, bias, out, rows, n, k, stride, row_bytes, has_bias,
    FORMAT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """out[r x stride + i] = weight[i] . x[r] + bias[i] for r < rows, i < n. x float32 [rows, k].
    Grid (n / BN, rows / BM)."""
    i = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    r = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    packed = weight + i.to(tl.int64)[:, None] * row_bytes
    source = x + r.to(tl.int64)[:, None] * k
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k0 in range(0, k, 64):
        at = k0 + tl.arange(0, 64)[None, :]
        values = tl.load(source + at, (r < rows)[:, None] & (at < k), other=0.0)
        total += _product(values, unpack(FORMAT, packed, k0, k, (i < n)[:, None]), INTERPRETED)
    if has_bias:
        total += tl.load(bias + i, i < n, other=0.0)[None, :]
    where = out + r.to(tl.int64)[:, None] * stride + i[None, :]
    tl.store(where, total, (r < rows)[:, None] & (i < n)[None, :])


@triton.jit
def _tile_of(offsets, experts, BLOCK_M: tl.constexpr):
    """The expert of program axis 1, and its tile's first and last assignment; expert == experts beyond the last."""
    tile, expert, first, last = tl.program_id(1), experts, 0, 0
    before = 0
    for e in range(experts):
        begin, end = tl.load(offsets + e), tl.load(offsets + e + 1)
        tiles = (end - begin + BLOCK_M - 1) // BLOCK_M
        here = (tile >= before) & (tile < before + tiles)
        expert = tl.where(here, e, expert)
        first = tl.where(here, begin + (tile - before) * BLOCK_M, first)
        last = tl.where(here, end, last)
        before += tiles
    return expert, first, last


@triton.jit
def _rows_of(table, part, i, row_bytes):
    """First bytes of rows i of expert `part`, [len(i), 1]; `table` is at the first expert's entry."""
    planes = tl.load(table + _APART * part).to(tl.pointer_type(tl.uint8))
    planes = tl.multiple_of(planes, 16)  # of the pointer: the compiler does not follow it through the cast
    return planes + i.to(tl.int64)[:, None] * row_bytes


@triton.jit
def experts_in(
    x, order, offsets, gate, up, out, experts, first_expert, count, n, k, top_k, gelu,
    row_bytes,
    FORMAT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """out[s, i] = act(gate_e[i] . x[order[s] / top_k]) x (up_e[i] . x) for prompt assignments s of experts
    first_expert .. first_expert + count; gate and up are where addresses of the first of these lie, and of one type.
    Grid (n / BN, tiles)."""
    expert, first, last = _tile_of(offsets, experts, BLOCK_M)
    part = expert - first_expert
    if (part >= 0) & (part < count) & (first < last):
        s = first + tl.arange(0, BLOCK_M)
        i = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
        row = tl.load(order + s, s < last, other=0) // top_k
        source = x + row.to(tl.int64)[:, None] * k
        gates, ups = _rows_of(gate, part, i, row_bytes), _rows_of(up, part, i, row_bytes)
        a = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        b = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for k0 in range(0, k, 64):
            at = k0 + tl.arange(0, 64)[None, :]
            values = tl.load(source + at, (s < last)[:, None] & (at < k), other=0.0)
            a += _product(values, unpack(FORMAT, gates, k0, k, (i < n)[:, None]), INTERPRETED)
            b += _product(values, unpack(FORMAT, ups, k0, k, (i < n)[:, None]), INTERPRETED)
        if gelu:  # the tanh approximation: x / (1 + exp(-2 y))
            y = 0.7978845608028654 * (a + 0.044715 * a * a * a)
            a = a / (1.0 + tl.exp(-2.0 * y))
        else:
            a = a / (1.0 + tl.exp(-a))
        where = out + s.to(tl.int64)[:, None] * n + i[None, :]
        tl.store(where, a * b, (s < last)[:, None] & (i < n)[None, :])


@triton.jit
def experts_out(
    x, order, offsets, down, out, experts, first_expert, count, n, k, row_bytes,
    FORMAT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """out[order[s], i] = down_e[i] . x[s] for prompt assignments s of the experts given, as experts_in takes them.
    Grid (n / BN, tiles)."""
    expert, first, last = _tile_of(offsets, experts, BLOCK_M)
    part = expert - first_expert
    if (part >= 0) & (part < count) & (first < last):
        s = first + tl.arange(0, BLOCK_M)
        i = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
        source = x + s.to(tl.int64)[:, None] * k
        packed = _rows_of(down, part, i, row_bytes)
        total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for k0 in range(0, k, 64):
            at = k0 + tl.arange(0, 64)[None, :]
            values = tl.load(source + at, (s < last)[:, None] & (at < k), other=0.0)
            total += _product(values, unpack(FORMAT, packed, k0, k, (i < n)[:, None]), INTERPRETED)
        row = tl.load(order + s, s < last, other=0)
        where = out + row.to(tl.int64)[:, None] * n + i[None, :]
        tl.store(where, total, (s < last)[:, None] & (i < n)[None, :])
