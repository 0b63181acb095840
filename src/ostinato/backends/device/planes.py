"""Weights as devices hold them: the file's own bytes, each row's blocks split into aligned planes.

A block of 34 or 210 bytes cannot be read in aligned words. So a row keeps all blocks' quants in one plane, all
their scales in the next: the same bytes in another order, each plane padded to 16. Q4_K (144 bytes) and Q5_K (176) stay
whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import WeightView

ALIGNMENT = 16  # bytes: a lane's widest load
_CHUNK = 1 << 26  # bytes of host memory that one piece of an upload may take


@dataclass(frozen=True)
class DeviceFormat:
    """How a type's rows lie on a device: `planes` are byte ranges (start, stop) of a block, stored one after the
    other; `group` is how many activations share a scale, 0 where activations stay float32."""

    planes: tuple[tuple[int, int], ...]
    group: int


# Block fields in the order of ggml-common.h. Quants come first, then what belongs to them; d last where it is alone.
FORMATS: Mapping[TensorType, DeviceFormat] = {
    TensorType.F32: DeviceFormat(((0, 4),), 0),
    TensorType.F16: DeviceFormat(((0, 2),), 0),
    TensorType.BF16: DeviceFormat(((0, 2),), 0),
    TensorType.Q4_0: DeviceFormat(((2, 18), (0, 2)), 32),  # d, qs
    TensorType.Q4_1: DeviceFormat(((4, 20), (0, 4)), 32),  # d, m, qs
    TensorType.Q5_0: DeviceFormat(((6, 22), (2, 6), (0, 2)), 32),  # d, qh, qs
    TensorType.Q5_1: DeviceFormat(((8, 24), (4, 8), (0, 4)), 32),  # d, m, qh, qs
    TensorType.Q8_0: DeviceFormat(((2, 34), (0, 2)), 32),  # d, qs
    TensorType.Q2_K: DeviceFormat(((0, 16), (16, 80), (80, 84)), 256),  # scales, qs, d, dmin
    TensorType.Q3_K: DeviceFormat(((0, 32), (32, 96), (96, 108), (108, 110)), 256),  # hmask, qs, scales, d
    TensorType.Q4_K: DeviceFormat(((0, 144),), 256),  # d, dmin, scales, qs
    TensorType.Q5_K: DeviceFormat(((0, 176),), 256),  # d, dmin, scales, qh, qs
    TensorType.Q6_K: DeviceFormat(((0, 128), (128, 192), (192, 208), (208, 210)), 256),  # ql, qh, scales, d
    TensorType.IQ4_NL: DeviceFormat(((2, 18), (0, 2)), 32),  # d, qs
    TensorType.IQ4_XS: DeviceFormat(((8, 136), (0, 8)), 256),  # d, scales_h, scales_l, qs
    TensorType.MXFP4: DeviceFormat(((1, 17), (0, 1)), 32),  # e, qs
}


def plane_offsets(kind: TensorType, k: int) -> tuple[int, ...]:
    """Byte in a row at which each plane begins, and the row's length as the last element."""
    blocks = k // kind.block_elements
    offsets = [0]
    for start, stop in FORMATS[kind].planes:
        offsets.append(offsets[-1] + -(-blocks * (stop - start) // ALIGNMENT) * ALIGNMENT)
    return tuple(offsets)


def row_bytes(kind: TensorType, k: int) -> int:
    """Bytes of a row of k elements on a device: a multiple of ALIGNMENT."""
    return plane_offsets(kind, k)[-1]


def device_bytes(view: WeightView) -> int:
    """Bytes of a whole weight on a device."""
    return row_bytes(view.type, view.dims[-1]) * int(np.prod(view.dims[:-1], dtype=np.int64))


def to_planes(view: WeightView) -> Iterator[np.ndarray]:
    """The weight's rows in order as uint8 [rows, row_bytes], in pieces of at most 64 MiB (at least one row)."""
    kind, k = view.type, view.dims[-1]
    offsets = plane_offsets(kind, k)
    step = max(1, _CHUNK // offsets[-1])
    for piece in view.pieces:
        raw = np.lib.stride_tricks.as_strided(
            piece.data.reshape(-1).view(np.uint8)[piece.offset :],
            (piece.count, k // kind.block_elements, kind.block_bytes),
            (piece.stride, kind.block_bytes, 1),
            writeable=False,
        )
        for first in range(0, piece.count, step):
            yield _split(raw[first : first + step], FORMATS[kind].planes, offsets)


def _split(blocks: np.ndarray, planes: tuple[tuple[int, int], ...], offsets: tuple[int, ...]) -> np.ndarray:
    """uint8 [rows, blocks, block_bytes] -> [rows, row_bytes]."""
    rows, count, _ = blocks.shape
    out = np.zeros((rows, offsets[-1]), dtype=np.uint8)
    for (start, stop), offset in zip(planes, offsets, strict=False):
        plane = out[:, offset : offset + count * (stop - start)]
        plane.reshape(rows, count, stop - start)[...] = blocks[:, :, start:stop]
    return out
