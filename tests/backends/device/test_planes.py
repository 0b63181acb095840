"""Weights in planes: the file's own bytes in another order, aligned, and no more of them than padding."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.backends.device.planes import ALIGNMENT, FORMATS, device_bytes, plane_offsets, row_bytes, to_planes
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import Columns, Rows, Tensor, resolve
from tests.backends.cases import Weights


def weight(kind: TensorType, rows: int, k: int) -> Weights:
    weights = Weights(seed=3)
    weights.normal("w", (rows, k), kind)
    return weights


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("k", [256, 1280])
def test_every_byte_of_a_block_has_one_place(kind: TensorType, k: int) -> None:
    view = resolve(Tensor("w"), weight(kind, 5, k).tensors)
    rows = np.concatenate(list(to_planes(view)))
    assert rows.shape == (5, row_bytes(kind, k))
    blocks = k // kind.block_elements
    file = view.pieces[0].data.view(np.uint8).reshape(5, blocks, kind.block_bytes)
    found = np.empty_like(file)
    for (start, stop), offset in zip(FORMATS[kind].planes, plane_offsets(kind, k), strict=False):
        assert offset % ALIGNMENT == 0
        width = stop - start
        found[:, :, start:stop] = rows[:, offset : offset + blocks * width].reshape(5, blocks, width)
    assert np.array_equal(found, file)
    assert sorted(byte for plane in FORMATS[kind].planes for byte in range(*plane)) == list(range(kind.block_bytes))


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_planes_take_the_files_bytes_and_padding(kind: TensorType) -> None:
    view = resolve(Tensor("w"), weight(kind, 3, 512).tensors)
    assert view.nbytes <= device_bytes(view) <= view.nbytes + 3 * ALIGNMENT * len(FORMATS[kind].planes)


def test_slices_of_a_weight() -> None:
    tensors = weight(TensorType.Q8_0, 9, 128).tensors
    whole = np.concatenate(list(to_planes(resolve(Tensor("w"), tensors))))
    rows = np.concatenate(list(to_planes(resolve(Rows(Tensor("w"), 2, 7), tensors))))
    assert np.array_equal(rows, whole[2:7])
    columns = np.concatenate(list(to_planes(resolve(Columns(Tensor("w"), 32, 96), tensors))))
    assert np.array_equal(columns[:, :64], whole[:, 32:96])  # two blocks' quants


def test_long_uploads_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.backends.device.planes._CHUNK", 3 * row_bytes(TensorType.Q6_K, 256))
    view = resolve(Tensor("w"), weight(TensorType.Q6_K, 8, 256).tensors)
    assert [len(piece) for piece in to_planes(view)] == [3, 3, 2]
