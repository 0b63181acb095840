"""The safetensors reader: what the format's own library writes, and files that lie."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.convert.errors import ConvertError
from ostinato.convert.numbers import F8_E4M3, F8_E5M2, to_float32
from ostinato.convert.safetensors import INDEX, SINGLE, open_checkpoint, read_safetensors
from tests.convert.checkpoints import raw_file, safetensors, write_json

GOOD: dict[str, Any] = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"])
def test_types_of_the_formats_own_writer(tmp_path: Path, dtype: str) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    values = {"x": np.arange(12).reshape(3, 4).astype(dtype), "empty": np.zeros((0, 4), dtype)}
    library.save_file(values, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = read_safetensors(tmp_path / "x.safetensors")
    assert found.keys() == values.keys()
    for name, array in values.items():
        np.testing.assert_array_equal(found[name].array(), array)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_are_those_of_torch(tmp_path: Path, name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    library = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    bits = torch.arange(256, dtype=torch.uint8) if "8_" in name else torch.arange(-32768, 32767, dtype=torch.int16)
    values = bits.view(getattr(torch, name))
    library.save_file({"x": values}, tmp_path / "x.safetensors")
    ours = to_float32(read_safetensors(tmp_path / "x.safetensors")["x"].array())
    np.testing.assert_array_equal(ours, values.float().numpy())


def test_e4m3_ends_at_448() -> None:
    assert np.nanmax(to_float32(np.arange(256, dtype=np.uint8).view(F8_E4M3))) == 448
    assert to_float32(np.array([0x7B], np.uint8).view(F8_E5M2)) == 57344


def test_shards(tmp_path: Path) -> None:
    safetensors(tmp_path / "one.safetensors", {"a": np.ones((2, 2), np.float32)})
    safetensors(tmp_path / "two.safetensors", {"b": np.zeros(3, np.float32)})
    write_json(tmp_path / INDEX, {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})
    assert open_checkpoint(tmp_path).keys() == {"a", "b"}


@pytest.mark.parametrize("file", ["../one.safetensors", "/etc/passwd", "sub/one.safetensors", "..", "", "a\\b", "x\0y"])
def test_shards_stay_in_their_folder(tmp_path: Path, file: str) -> None:
    safetensors(tmp_path / "one.safetensors", {"a": np.ones((2, 2), np.float32)})
    (tmp_path / "inner").mkdir()
    write_json(tmp_path / "inner" / INDEX, {"weight_map": {"a": file}})
    with pytest.raises(ConvertError, match="is not the name of a file in this folder"):
        open_checkpoint(tmp_path / "inner")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"a": "gone.safetensors"}}, "gone.safetensors, which .* lists, is missing"),
        ({"weight_map": {"b": "one.safetensors"}}, "tensor 'b', which .* lists, is missing"),
        ({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}, "is in another file as well"),
        ({"weight_map": ["one.safetensors"]}, "'weight_map' must be an object"),
        ({}, "'weight_map' must be an object"),
    ],
)
def test_broken_indices(tmp_path: Path, index: dict[str, Any], message: str) -> None:
    safetensors(tmp_path / "one.safetensors", {"a": np.ones((2, 2), np.float32)})
    safetensors(tmp_path / "two.safetensors", {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)})
    write_json(tmp_path / INDEX, index)
    with pytest.raises(ConvertError, match=message):
        open_checkpoint(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=f"neither {SINGLE} nor {INDEX} is there$"):
        open_checkpoint(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ConvertError, match=r"pytorch_model\.bin holds pickled data"):
        open_checkpoint(tmp_path)


def entry(**changes: Any) -> dict[str, Any]:
    return {"a": {**GOOD["a"], **changes}}


BROKEN: dict[str, tuple[dict[str, Any] | bytes, int, str]] = {
    "no object": (b"[]", 0, "expected a JSON object"),
    "not JSON": (b"{nope}", 0, "not sound JSON"),
    "not UTF-8": (b'{"\xff": 1}', 0, "not sound JSON"),
    "deep": (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", 0, "nested too deeply"),
    "twice": (b'{"a": 1, "a": 2}', 0, "key 'a' is there twice"),
    "long number": (b'{"a": ' + b"9" * 5000 + b"}", 0, "not sound JSON"),
    "no entry": ({"a": 3}, 0, "is no object"),
    "type": (entry(dtype="F31"), 16, "has dtype 'F31'"),
    "odd type": (entry(dtype=["F32"]), 16, "has dtype"),
    "negative": (entry(shape=[-2, -2]), 16, "must be natural numbers"),
    "fraction": (entry(shape=[2.0, 2]), 16, "must be natural numbers"),
    "huge": (entry(shape=[2**40, 2**40]), 16, "which is not its size"),
    "too huge": (entry(shape=[2**63]), 16, "must be natural numbers"),
    "axes": (entry(shape=[1] * 9), 16, "must be natural numbers"),
    "size": (entry(shape=[2, 3]), 16, "which is not its size"),
    "backwards": (entry(data_offsets=[16, 0]), 16, "which is not its size"),
    "cut off": (GOOD, 8, "the file at"),
    "padded": (GOOD, 24, "the file at"),
    "hole": (entry(data_offsets=[4, 20]), 20, "expected"),
    "overlap": (GOOD | {"b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}, 16, "expected"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(tmp_path: Path, case: str) -> None:
    header, size, message = BROKEN[case]
    path = tmp_path / "x.safetensors"
    raw_file(path, header, bytes(size))
    with pytest.raises(ConvertError, match=message) as caught:
        read_safetensors(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("raw", [b"", b"1234567", bytes(8), b"\xff" * 8 + b"{}", (99).to_bytes(8, "little") + b"{}"])
def test_files_without_a_header(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(raw)
    with pytest.raises(ConvertError, match=r"x\.safetensors: "):
        read_safetensors(tmp_path / "x.safetensors")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "gone"):
        with pytest.raises(ConvertError):
            read_safetensors(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_files_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Bytes changed anywhere: an error, or tensors that can be read to the end."""
    text = json.dumps(GOOD).encode()
    raw = bytearray(len(text).to_bytes(8, "little") + text + bytes(range(16)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutant.safetensors"
    path.write_bytes(raw)
    try:
        found = read_safetensors(path)
    except ConvertError:
        return
    for source in found.values():
        source.array().copy()
