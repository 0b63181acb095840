"""Weight expressions resolve to the file's own bytes."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.backends.reference import dequantized
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import (
    Columns,
    Concat,
    Rows,
    Stack,
    StoredTensor,
    Tensor,
    WeightError,
    WeightExpr,
    resolve,
)
from tests.backends.cases import Weights

WEIGHTS = Weights(seed=3)
A = WEIGHTS.normal("a", (12, 512), TensorType.Q8_0)
B = WEIGHTS.normal("b", (6, 512), TensorType.Q8_0)
E = WEIGHTS.normal("e", (4, 3, 256), TensorType.F16)
TENSORS: dict[str, StoredTensor] = WEIGHTS.tensors


def values(expr: WeightExpr) -> np.ndarray:
    return dequantized(resolve(expr, TENSORS))


def test_a_tensor_is_its_own_bytes() -> None:
    view = resolve(A, TENSORS)
    assert view.dims == (12, 512)
    assert view.nbytes == 12 * 16 * 34
    assert view.pieces[0].data is TENSORS["a"].data


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        (Rows(A, 3, 7), values(A)[3:7]),
        (Columns(A, 32, 96), values(A)[:, 32:96]),
        (Columns(Rows(A, 2, 5), 256, 512), values(A)[2:5, 256:]),
        (Rows(Columns(A, 256, 512), 2, 5), values(A)[2:5, 256:]),
        (Concat((A, B)), np.concatenate([values(A), values(B)])),
        (Rows(Concat((A, B)), 10, 15), np.concatenate([values(A), values(B)])[10:15]),
        (Stack((B, Rows(A, 0, 6))), np.stack([values(B), values(A)[:6]])),
        (Rows(E, 1, 3), values(E)[1:3]),
        (Columns(E, 7, 9), values(E)[..., 7:9]),
    ],
    ids=str,
)
def test_slices_and_joins(expr: WeightExpr, wanted: np.ndarray) -> None:
    np.testing.assert_array_equal(values(expr), wanted)


@pytest.mark.parametrize(
    ("expr", "says"),
    [
        (Tensor("none"), "no tensor 'none'"),
        (Rows(A, 3, 13), "rows 3..13 of 12"),
        (Rows(A, 3, 3), "rows 3..3"),
        (Columns(A, 16, 64), "in blocks of 32"),
        (Concat((A, E)), "different types or widths"),
        (Stack((A, B)), "different shapes"),
        (Concat(()), "nothing"),
    ],
)
def test_refuses(expr: WeightExpr, says: str) -> None:
    with pytest.raises(WeightError, match=says):
        resolve(expr, TENSORS)
