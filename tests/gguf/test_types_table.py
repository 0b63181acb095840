"""The table of types against the `gguf` package."""

from __future__ import annotations

import gguf
import pytest

from ostinato.gguf.types_table import TensorType, ValueType, nbytes

# Q8_1 never lies in files; the package still has its block of before 2024, with float32 scale and sum.
OUTDATED = {"Q8_1"}


def test_tensor_types_are_those_of_the_package() -> None:
    theirs = {t.name: (int(t), *gguf.GGML_QUANT_SIZES[t]) for t in gguf.GGMLQuantizationType}
    ours = {t.name: (int(t), t.block_elements, t.block_bytes) for t in TensorType}
    assert {name: ours[name] for name in theirs if name not in OUTDATED} == {
        name: facts for name, facts in theirs.items() if name not in OUTDATED
    }


def test_value_types_are_those_of_the_package() -> None:
    assert {t.name: int(t) for t in ValueType} == {t.name: int(t) for t in gguf.GGUFValueType}


@pytest.mark.parametrize(
    ("type", "shape", "expected"),
    [
        (TensorType.F32, (), 4),
        (TensorType.F16, (3, 5), 30),
        (TensorType.Q8_0, (2, 64), 136),
        (TensorType.Q4_K, (7, 3, 512), 7 * 3 * 288),
        (TensorType.Q6_K, (0, 256), 0),
    ],
)
def test_nbytes(type: TensorType, shape: tuple[int, ...], expected: int) -> None:
    assert nbytes(type, shape) == expected


def test_nbytes_refuses_broken_blocks() -> None:
    with pytest.raises(ValueError, match="whole Q4_K blocks of 256"):
        nbytes(TensorType.Q4_K, (2, 128))
