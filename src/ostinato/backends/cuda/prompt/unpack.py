"""Triton: 64 columns of packed weight rows as float32, one function per block format (planes as device/planes.py).

A block's fields are those of ggml-quants.c; `row` points to the first byte of each weight row, [BN, 1] or alike, and
`at` are the 64 columns k0 .. k0 + 63, [1, 64], all in one block of 256 (or two of 32). A tile is [BN, 64].
"""

from __future__ import annotations

import triton
import triton.language as tl

CHUNK = 64  # columns of one tile: K of every linear is a multiple of 32, of super-block types a multiple of 256


@triton.jit
def _half(pointer, mask):
    """float16 at a byte address, as float32."""
    return tl.load(pointer.to(tl.pointer_type(tl.float16)), mask, other=0.0).to(tl.float32)


@triton.jit
def q8_0(row, k0, k, mask):
    """d q: plane 0 holds k bytes of quants, plane 1 a float16 for every 32."""
    at = k0 + tl.arange(0, 64)[None, :]
    inside = mask & (at < k)
    quants = tl.load(row + at, inside, other=0).to(tl.int8, bitcast=True).to(tl.float32)
    plane = (k + 15) // 16 * 16
    return quants * _half(row + plane + at // 32 * 2, inside)


@triton.jit
def q4_k(row, k0, k, mask):
    """d sc q - dmin m: blocks of 144 bytes: d, dmin, 12 bytes of eight 6-bit sc and m, 128 of nibbles."""
    block = row + k0 // 256 * 144
    column = tl.arange(0, 64)[None, :]
    chunk = k0 % 256 // 64  # of 64 columns: 32 low nibbles, then the 32 high ones of the same bytes
    quants = tl.load(block + 16 + chunk * 32 + column % 32, mask, other=0)
    quants = (quants >> (column // 32 * 4).to(tl.uint8)) & 15
    j = chunk * 2 + column // 32
    low, high = j % 4, j // 4  # scales 0..3 lie whole in bytes 0..3 and 4..7, the others in pieces
    first = tl.load(block + 4 + low, mask, other=0)
    second = tl.load(block + 8 + low, mask, other=0)
    third = tl.load(block + 12 + low, mask, other=0)
    scale = tl.where(high == 0, first & 63, (third & 15) | (first >> 6 << 4))
    least = tl.where(high == 0, second & 63, (third >> 4) | (second >> 6 << 4))
    d, dmin = _half(block, mask), _half(block + 2, mask)
    return d * scale.to(tl.float32) * quants.to(tl.float32) - dmin * least.to(tl.float32)


@triton.jit
def q6_k(row, k0, k, mask):
    """d sc (q - 32): planes of 128 bytes ql, 64 qh, 16 int8 sc and a float16 d for every 256."""
    blocks = k // 256
    block = k0 // 256
    column = k0 % 256 + tl.arange(0, 64)[None, :]
    half, quarter, lane = column // 128, column % 128 // 32, column % 32
    low = tl.load(row + block * 128 + half * 64 + quarter % 2 * 32 + lane, mask, other=0)
    low = (low >> (quarter // 2 * 4).to(tl.uint8)) & 15
    plane = blocks * 128
    high = tl.load(row + plane + block * 64 + half * 32 + lane, mask, other=0)
    high = (high >> (quarter * 2).to(tl.uint8)) & 3
    plane += blocks * 64
    scale = tl.load(row + plane + block * 16 + column // 16, mask, other=0).to(tl.int8, bitcast=True)
    plane += blocks * 16
    quants = (low | (high << 4)).to(tl.float32) - 32.0
    return _half(row + plane + block * 2, mask) * scale.to(tl.float32) * quants


@triton.jit
def unpack(FORMAT: tl.constexpr, row, k0, k, mask):
    """The tile of the format named."""
    if FORMAT == "Q8_0":
        tile = q8_0(row, k0, k, mask)
    elif FORMAT == "Q4_K":
        tile = q4_k(row, k0, k, mask)
    else:
        tl.static_assert(FORMAT == "Q6_K")
        tile = q6_k(row, k0, k, mask)
    return tile
