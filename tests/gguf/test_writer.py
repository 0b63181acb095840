"""The writer: read back by the `gguf` package and by our reader; nothing half-written stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from ostinato.gguf import ArrayView, GGUFWriter, TensorType, ValueType, open_gguf

SCALARS: dict[ValueType, Any] = {
    ValueType.UINT8: 200, ValueType.INT8: -100, ValueType.UINT16: 60000, ValueType.INT16: -30000,
    ValueType.UINT32: 4_000_000_000, ValueType.INT32: -2_000_000_000, ValueType.UINT64: 1 << 63,
    ValueType.INT64: -(1 << 62), ValueType.FLOAT32: 0.5, ValueType.FLOAT64: 0.1, ValueType.BOOL: True,
    ValueType.STRING: "naïve ♫",
}  # fmt: skip


@pytest.mark.parametrize("type", SCALARS)
def test_scalars_and_arrays_by_the_package(tmp_path: Path, type: ValueType) -> None:
    path = tmp_path / "out.gguf"
    with GGUFWriter(path) as writer:
        writer.add("general.architecture", "llama")
        writer.add("one", SCALARS[type], type)
        writer.add("many", [SCALARS[type]] * 3, type)
    fields = gguf.GGUFReader(path).fields
    assert fields["one"].types == [gguf.GGUFValueType(type)]
    assert fields["one"].contents() == SCALARS[type]
    assert fields["many"].types[:2] == [gguf.GGUFValueType.ARRAY, gguf.GGUFValueType(type)]
    assert fields["many"].contents() == [SCALARS[type]] * 3
    with open_gguf(path) as file:
        assert file.metadata["one"] == SCALARS[type]
        assert list(file.require("many", ArrayView)) == [SCALARS[type]] * 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, ValueType.UINT32), (-1, ValueType.INT32), (1 << 32, ValueType.UINT64), (-(1 << 40), ValueType.INT64),
        (True, ValueType.BOOL), (0.5, ValueType.FLOAT32), ("x", ValueType.STRING),
    ],
)  # fmt: skip
def test_chosen_scalar_types(tmp_path: Path, value: Any, expected: ValueType) -> None:
    with GGUFWriter(tmp_path / "out.gguf") as writer:
        writer.add("k", value)
    assert gguf.GGUFReader(tmp_path / "out.gguf").fields["k"].types == [gguf.GGUFValueType(expected)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, -2], ValueType.INT32), ([1 << 31], ValueType.UINT32), ([-1, 1 << 31], ValueType.INT64),
        ([1, 0.5], ValueType.FLOAT32), ([True], ValueType.BOOL), (["a", "b"], ValueType.STRING),
        ([[1], ["a"]], ValueType.ARRAY),
    ],
)  # fmt: skip
def test_chosen_array_types(tmp_path: Path, value: Any, expected: ValueType) -> None:
    with GGUFWriter(tmp_path / "out.gguf") as writer:
        writer.add("k", value)
    with open_gguf(tmp_path / "out.gguf") as file:
        array = file.require("k", ArrayView)
        assert array.type is expected
        assert [list(inner) if isinstance(inner, ArrayView) else inner for inner in array] == value


def test_arrays_of_another_file_are_copied_as_they_are(tmp_path: Path) -> None:
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    with GGUFWriter(first) as writer:
        writer.add("words", ["a", "bc"])
        writer.add("bytes", [1, 2], ValueType.UINT8)
    with open_gguf(first) as file, GGUFWriter(second) as writer:
        for key, value in file.metadata.items():
            writer.add(key, value)
    assert second.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("alignment", [32, 64, 8])
def test_tensors_in_pieces_and_any_order(tmp_path: Path, alignment: int) -> None:
    path = tmp_path / "out.gguf"
    rng = np.random.default_rng(1)
    tensors = {
        "a": rng.standard_normal((3, 5)).astype(np.float32),
        "b": rng.standard_normal((2, 3, 4)).astype(np.float16),
        "c": rng.standard_normal(7).astype(np.float32),
    }
    with GGUFWriter(path, alignment) as writer:
        writer.add("general.architecture", "llama")
        for name, values in tensors.items():
            writer.add_tensor(name, values.shape, TensorType[f"F{8 * values.itemsize}"])
        writer.write("c", tensors["c"])
        for row in tensors["a"]:
            writer.write("a", row)
        writer.write("b", np.asfortranarray(tensors["b"]))  # memory order must not matter
    for found in gguf.GGUFReader(path).tensors:
        assert np.array_equal(found.data, tensors[found.name])
    with open_gguf(path) as file:
        assert file.alignment == alignment
        for name, values in tensors.items():
            assert file.tensors[name].data.tobytes() == values.tobytes()
            assert file.tensors[name].offset % alignment == 0


def write_four_floats(path: Path, data: bytes, error: Exception | None = None) -> None:
    with GGUFWriter(path) as writer:
        writer.add_tensor("a", (4,), TensorType.F32)
        writer.write("a", data)
        if error:
            raise error


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        write_four_floats(path, bytes(16), RuntimeError())
    with pytest.raises(ValueError, match="'a' has 16 bytes, but only 8 were written"):
        write_four_floats(path, bytes(8))
    assert os.listdir(tmp_path) == ["out.gguf"]
    assert path.read_bytes() == b"old"
    write_four_floats(path, bytes(16))
    assert os.listdir(tmp_path) == ["out.gguf"]
    assert path.read_bytes() != b"old"


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="alignment 12"):
        GGUFWriter(tmp_path / "out.gguf", alignment=12)
    with pytest.raises(ValueError, match="within its `with` block"):
        GGUFWriter(tmp_path / "out.gguf")._data_section()
    with GGUFWriter(tmp_path / "out.gguf") as writer:
        writer.add("k", 1)
        for key, value, type, message in (
            ("k", 1, None, "'k' is there already"),
            ("", 1, None, "a key has 1 to 65535 bytes"),
            ("v", 300, ValueType.UINT8, "'v': 300 does not fit its type"),
            ("v", 1 << 64, None, "does not fit its type"),
            ("v", "text", ValueType.INT32, "does not fit its type"),
            ("v", [], None, "give the type of the elements"),
            ("v", [1, "a"], None, "no common type"),
        ):
            with pytest.raises(ValueError, match=message):
                writer.add(key, value, type)
        writer.add_tensor("a", (4,), TensorType.F32)
        for name, shape, kind, message in (
            ("a", (4,), TensorType.F32, "'a' is there already"),
            ("n" * 64, (4,), TensorType.F32, "1 to 63 bytes"),
            ("b", (), TensorType.F32, "impossible shape"),
            ("b", (1, 1, 1, 1, 1), TensorType.F32, "impossible shape"),
            ("b", (5,), TensorType.Q8_0, "whole Q8_0 blocks"),
        ):
            with pytest.raises(ValueError, match=message):
                writer.add_tensor(name, shape, kind)
        with pytest.raises(ValueError, match="'b' was not declared"):
            writer.write("b", b"")
        with pytest.raises(ValueError, match="has 16 bytes; 17 were given"):
            writer.write("a", bytes(17))
        writer.write("a", bytes(16))
        with pytest.raises(ValueError, match="after the first"):
            writer.add("late", 1)
        with pytest.raises(ValueError, match="after the first"):
            writer.add_tensor("late", (1,), TensorType.F32)
