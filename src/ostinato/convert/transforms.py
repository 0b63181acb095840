"""Named functions from a checkpoint's tensors to what GGUF stores: (place, array, ...) -> array.

They move elements, so they work on any number type. The few that compute make float32, and serve tensors that the
file keeps as float32 anyway.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ostinato.convert.numbers import MXFP4, Array, to_float32
from ostinato.convert.recipe import Place


def interleave_halves(array: Array, heads: int) -> Array:
    """Rows of each head from halves (i, i + d/2), as Hugging Face rotates them, to pairs (2i, 2i + 1)."""
    rows = array.shape[0]
    if rows % (2 * heads):
        raise ValueError(f"{rows} rows are not {heads} heads of an even size")
    halves = array.reshape(heads, 2, rows // heads // 2, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)


def permute_query(place: Place, array: Array) -> Array:
    """Query rows for ropes that turn neighbours (RopeStyle.NORM)."""
    return interleave_halves(array, place.config.heads)


def permute_key(place: Place, array: Array) -> Array:
    """The same for keys."""
    return interleave_halves(array, place.config.kv_heads)


def plus_one(place: Place, array: Array) -> Array:
    """Norm gains that are stored as their distance from one."""
    return to_float32(array) + np.float32(1)


def first_half(place: Place, array: Array) -> Array:
    """The gate of a fused gate_up, [.., 2 F, D] -> [.., F, D]."""
    return array[..., : _half(array), :]


def second_half(place: Place, array: Array) -> Array:
    """The up part of a fused gate_up."""
    return array[..., _half(array) :, :]


def transposed(place: Place, array: Array) -> Array:
    """The last two axes the other way round."""
    return array.swapaxes(-1, -2)


def negative_exp(place: Place, array: Array) -> Array:
    """A_log -> A = -exp(A_log), as state space models use it."""
    return -np.exp(to_float32(array))


def squeezed(place: Place, array: Array) -> Array:
    """A depthwise convolution [C, 1, K] -> [C, K]."""
    return array.reshape(array.shape[0], array.shape[-1])


def column(place: Place, array: Array) -> Array:
    """A vector [N] -> [N, 1]."""
    return array.reshape(-1, 1)


def mxfp4(place: Place, codes: Array, scales: Array) -> Array:
    """Codes [N, G, 16] of 32 elements each, two a byte (the even one low), and exponents [N, G] -> blocks [N, G] of
    exponent and bytes of elements j (low) and j + 16. No value changes (ggml-common.h, block_mxfp4)."""
    if codes.dtype != np.uint8 or scales.dtype != np.uint8 or codes.shape != (*scales.shape, 16):
        raise ValueError(f"MXFP4 codes {list(codes.shape)} and scales {list(scales.shape)} do not fit each other")
    elements = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*scales.shape, 32)
    packed = elements[..., :16] | elements[..., 16:] << 4
    return np.concatenate([scales[..., None], packed], axis=-1).view(MXFP4)[..., 0]


def then(*steps: Callable[..., Array]) -> Callable[..., Array]:
    """Several transforms, one after the other."""

    def run(place: Place, *arrays: Array) -> Array:
        result = steps[0](place, *arrays)
        for step in steps[1:]:
            result = step(place, result)
        return result

    return run


def _half(array: Array) -> int:
    if array.ndim < 2 or array.shape[-2] % 2:
        raise ValueError(f"shape {list(array.shape)} has no two halves")
    return array.shape[-2] // 2
