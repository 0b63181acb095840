"""File to file: what is written, what is kept, what is refused, and that nothing half-written stays behind."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato.gguf.blocks import dequantize
from ostinato.gguf.errors import GGUFError
from ostinato.gguf.reader import GGUFFile, open_gguf
from ostinato.gguf.types_table import TensorType, ValueType
from ostinato.gguf.values import ArrayView
from ostinato.gguf.writer import GGUFWriter
from ostinato.quantize import encode as encoding
from ostinato.quantize.encode import encode
from ostinato.quantize.file import make_plan, read_facts, write_quantised
from ostinato.quantize.mixes import MIXES
from ostinato.quantize.rules import ModelFacts
from tests.quantize import llama
from tools.tiny_models import write_tiny_model

Q4_K_M = MIXES["Q4_K_M"]


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dense") / "dense.gguf"
    write_tiny_model(path)
    return path


def write_matrix(path: Path, values: np.ndarray, type: TensorType = TensorType.F32, **metadata: Any) -> None:
    """A file of one matrix `m.weight`, given in the type's bytes [rows, row bytes]."""
    with GGUFWriter(path) as writer:
        for key, value in metadata.items():
            writer.add(key.replace("__", "."), value)
        stored = values.view(np.uint8)
        columns = stored.shape[-1] // type.block_bytes * type.block_elements
        writer.add_tensor("m.weight", (*stored.shape[:-1], columns), type)
        writer.write("m.weight", stored.data)


def quantised(source: Path, target: Path, mix: str = "Q4_K_M", threads: int = 2) -> Path:
    with open_gguf(source) as file:
        write_quantised(file, make_plan(file, MIXES[mix]), target, threads)
    return target


def as_read(file: GGUFFile, name: str) -> np.ndarray:
    tensor = file.tensors[name]
    return dequantize(tensor.data, tensor.type, tensor.shape)


def test_tensors_are_those_of_the_source(dense: Path, tmp_path: Path) -> None:
    with open_gguf(dense) as before, open_gguf(quantised(dense, tmp_path / "out.gguf")) as after:
        assert [(t.name, t.shape) for t in after.tensors.values()] == [
            (t.name, t.shape) for t in before.tensors.values()
        ]
        assert after.tensors["output.weight"].type is TensorType.Q6_K
        for name, tensor in after.tensors.items():
            expected = encode(as_read(before, name), tensor.type, 1)
            assert tensor.data.tobytes() == expected.tobytes()


def test_slices_and_threads_change_nothing(dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = quantised(dense, tmp_path / "whole.gguf", threads=1).read_bytes()
    monkeypatch.setattr(encoding, "SLICE", 4096)
    assert quantised(dense, tmp_path / "slices.gguf", threads=3).read_bytes() == whole


def test_metadata_keeps_its_types(tmp_path: Path) -> None:
    numbers = np.arange(8, dtype=np.float32).reshape(1, 8)
    values: dict[str, tuple[Any, ValueType]] = {
        "a.u8": (7, ValueType.UINT8), "a.i64": (-(1 << 40), ValueType.INT64), "a.f64": (0.1, ValueType.FLOAT64),
        "a.bool": (True, ValueType.BOOL), "a.text": ("Ω", ValueType.STRING), "a.raw": (b"\xff", ValueType.STRING),
        "general.file_type": (0, ValueType.UINT64),
    }  # fmt: skip
    with GGUFWriter(tmp_path / "in.gguf", alignment=256) as writer:
        for key, (value, type) in values.items():
            writer.add(key, value, type)
        writer.add("a.list", [1, 2, 3], ValueType.INT16)
        writer.add_tensor("x", numbers.shape, TensorType.F32)
        writer.write("x", numbers.data)
    with open_gguf(tmp_path / "in.gguf") as before, open_gguf(quantised(tmp_path / "in.gguf", tmp_path / "o")) as after:
        kept = set(before.metadata) - {"general.alignment"}
        assert set(after.metadata) == kept | {"general.quantization_version"}
        for key in kept - {"general.file_type", "a.list"}:
            assert (after.metadata[key], after.value_type(key)) == (before.metadata[key], before.value_type(key))
        found = after.metadata["a.list"]
        assert isinstance(found, ArrayView)
        assert (found.type, list(found)) == (ValueType.INT16, [1, 2, 3])
        assert after.metadata["general.file_type"] == 15
        assert after.metadata["general.quantization_version"] == 2


def test_parts_become_one_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    exact = rng.standard_normal((2, 4, 256), np.float32)
    for index in range(2):
        with GGUFWriter(tmp_path / f"m-{index + 1:05}-of-00002.gguf") as writer:
            writer.add("split.no", index, ValueType.UINT16)
            writer.add("split.count", 2, ValueType.UINT16)
            writer.add("split.tensors.count", 2, ValueType.INT32)
            writer.add_tensor(f"{index}.weight", (4, 256), TensorType.F32)
            writer.write(f"{index}.weight", exact[index].data)
    with open_gguf(quantised(tmp_path / "m-00001-of-00002.gguf", tmp_path / "one.gguf", "Q8_0")) as file:
        assert len(file.parts) == 1
        assert not [key for key in file.metadata if key.startswith("split.")]
        assert as_read(file, "1.weight") == pytest.approx(exact[1], abs=0.02)


def test_quantised_tensors_are_said_to_be(dense: Path, tmp_path: Path) -> None:
    small = quantised(dense, tmp_path / "small.gguf", "Q8_0")
    with open_gguf(small) as file:
        assert make_plan(file, MIXES["Q8_0"]).requantised == ()
        plan = make_plan(file, Q4_K_M)
        assert "blk.0.attn_q.weight" in plan.requantised
        write_quantised(file, plan, tmp_path / "smaller.gguf", 2)
        with open_gguf(tmp_path / "smaller.gguf") as smaller:
            expected = encode(as_read(file, "blk.0.attn_q.weight"), TensorType.Q4_K, 1)
            assert smaller.tensors["blk.0.attn_q.weight"].data.tobytes() == expected.tobytes()
    assert quantised(small, tmp_path / "same.gguf", "Q8_0").read_bytes() == small.read_bytes()


def test_advance_counts_all_bytes(dense: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    with open_gguf(dense) as file:
        plan = make_plan(file, Q4_K_M)
        write_quantised(file, plan, tmp_path / "out.gguf", 2, seen.append)
    assert sum(seen) == plan.bytes_before
    with open_gguf(tmp_path / "out.gguf") as file:
        assert plan.bytes_after == sum(tensor.nbytes for tensor in file.tensors.values())


@pytest.mark.parametrize("type", [TensorType.F32, TensorType.F16, TensorType.BF16], ids=lambda type: type.name)
@pytest.mark.parametrize("mix", ["Q4_K_M", "Q8_0", "F32", "F16", "BF16"])
def test_nan_is_refused_by_name(type: TensorType, mix: str, tmp_path: Path) -> None:
    exact = np.ones((4, 512), np.float32)
    exact[2, 300] = np.nan
    write_matrix(tmp_path / "in.gguf", encode_unchecked(exact, type), type)
    with pytest.raises(GGUFError, match=r"tensor 'm.weight': element \[2, 300\] is nan: the file is damaged"):
        quantised(tmp_path / "in.gguf", tmp_path / "out.gguf", mix)
    assert os.listdir(tmp_path) == ["in.gguf"]


def encode_unchecked(exact: np.ndarray, type: TensorType) -> np.ndarray:
    """Bytes that may hold NaN, which the quantisers refuse."""
    if type is TensorType.BF16:
        return np.ascontiguousarray(exact.view(np.uint16)[:, 1::2])
    return exact.astype(np.float16 if type is TensorType.F16 else np.float32)


def test_too_large_is_refused_by_name(tmp_path: Path) -> None:
    exact = np.ones((4, 256), np.float32)
    exact[1, 2] = 1e5
    write_matrix(tmp_path / "in.gguf", exact)
    with pytest.raises(GGUFError, match=r"'m.weight': element \[1, 2\] is 100000: too large for F16"):
        quantised(tmp_path / "in.gguf", tmp_path / "out.gguf", "F16")


def test_the_old_file_stays_when_it_fails(tmp_path: Path) -> None:
    write_matrix(tmp_path / "in.gguf", np.full((4, 256), np.inf, np.float32))
    (tmp_path / "out.gguf").write_text("precious")
    with pytest.raises(GGUFError, match=r"element \[0, 0\] is inf"):
        quantised(tmp_path / "in.gguf", tmp_path / "out.gguf")
    assert (tmp_path / "out.gguf").read_text() == "precious"


def test_places_that_cannot_be_written_to(dense: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.gguf"
    link.symlink_to(dense)
    for place in (dense, link):
        with pytest.raises(ValueError, match="is the file to be read"):
            quantised(dense, place)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        quantised(dense, tmp_path / "nowhere" / "out.gguf")
    with pytest.raises(FileExistsError, match="not a regular file"):
        quantised(dense, tmp_path)


def test_a_header_by_itself_is_refused(tmp_path: Path) -> None:
    write_matrix(tmp_path / "in.gguf", np.ones((64, 256), np.float32))
    raw = (tmp_path / "in.gguf").read_bytes()
    (tmp_path / "head.gguf").write_bytes(raw[: len(raw) - 64 * 1024])
    with pytest.raises(GGUFError, match=r"'m\.weight': is missing"):
        quantised(tmp_path / "head.gguf", tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("metadata", "facts"),
    [
        ({}, ModelFacts("", 0, 0, 0)),
        ({"general__architecture": "x", "x__block_count": 3}, ModelFacts("x", 3, 0, 0)),
        (
            {"general__architecture": "x", "x__attention__head_count": 8, "x__attention__head_count_kv": [2, 4]},
            ModelFacts("x", 0, 0, 4),
        ),
    ],
)
def test_facts(metadata: dict[str, Any], facts: ModelFacts, tmp_path: Path) -> None:
    write_matrix(tmp_path / "in.gguf", np.ones((1, 256), np.float32), **metadata)
    with open_gguf(tmp_path / "in.gguf") as file:
        assert read_facts(file) == facts


@pytest.mark.parametrize("key", ["general__architecture", "x__block_count", "x__attention__head_count"])
def test_facts_of_the_wrong_type_are_refused(key: str, tmp_path: Path) -> None:
    metadata: dict[str, Any] = {"general__architecture": "x", key: 0.5}
    write_matrix(tmp_path / "in.gguf", np.ones((1, 256), np.float32), **metadata)
    with open_gguf(tmp_path / "in.gguf") as file, pytest.raises(GGUFError, match=re.escape(key.replace("__", "."))):
        read_facts(file)


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["Q8_0", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K"])
def test_logits_are_as_near_as_those_of_llama_cpps_file(mix: str, dense: Path, tmp_path: Path) -> None:
    """Each file's normalised mean squared error against F32, in our engine and in llama.cpp."""
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (pip install '.[dev]')")
    from ostinato import load

    tokens = np.random.default_rng(0).integers(3, 500, 200).tolist()

    def ours(path: Path) -> np.ndarray:
        with load(str(path), backend="reference") as model:
            return model.logits(tokens)

    def theirs(path: Path) -> np.ndarray:
        model = llama_cpp.Llama(str(path), n_ctx=256, logits_all=True, verbose=False, n_threads=1)
        model.eval(tokens)
        return np.array(model.scores[: len(tokens)])

    llama.quantize_file(dense, tmp_path / "theirs.gguf", MIXES[mix])
    quantised(dense, tmp_path / "ours.gguf", mix)
    exact = ours(dense)
    for engine in (ours, theirs):
        errors = [np.square(engine(tmp_path / f"{name}.gguf") - exact).sum() for name in ("ours", "theirs")]
        assert errors[0] <= 1.02 * errors[1]
