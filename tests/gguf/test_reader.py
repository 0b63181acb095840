"""The reader against files of the `gguf` package, its views, its getters, split files."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import gguf
import numpy as np
import pytest

from ostinato import _gguf
from ostinato.gguf import ArrayView, GGUFError, TensorType, ValueType, open_gguf
from ostinato.gguf.mapping import MappedFile
from tests.gguf import craft

SCALARS = {
    "uint8": 200, "int8": -100, "uint16": 60000, "int16": -30000, "uint32": 4_000_000_000, "int32": -2_000_000_000,
    "uint64": 1 << 63, "int64": -(1 << 62), "float32": 0.5, "float64": 0.1, "bool": True, "string": "naïve ♫",
}  # fmt: skip
ARRAYS = {
    ValueType.UINT8: [0, 255], ValueType.INT8: [-128, 127], ValueType.UINT16: [65535], ValueType.INT16: [-5],
    ValueType.UINT32: [1 << 31], ValueType.INT32: [-1, 2, 3], ValueType.UINT64: [1 << 63],
    ValueType.INT64: [-(1 << 63)],
    ValueType.FLOAT32: [0.25, -1.5], ValueType.FLOAT64: [0.1, 1e300], ValueType.BOOL: [True, False, True],
    ValueType.STRING: ["", "a", "♫♫"],
}  # fmt: skip


@pytest.fixture
def package_file(tmp_path: Path) -> Path:
    """Every type of value, and some tensors, written by the `gguf` package."""
    path = tmp_path / "package.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for type, value in SCALARS.items():
        getattr(writer, f"add_{type}")(f"scalar.{type}", value)
    for kind, values in ARRAYS.items():
        writer.add_key_value(f"array.{kind.name}", values, gguf.GGUFValueType.ARRAY, sub_type=gguf.GGUFValueType(kind))
    writer.add_tensor("matrix", np.arange(15, dtype=np.float32).reshape(3, 5))
    writer.add_tensor("cube", np.arange(24, dtype=np.float16).reshape(2, 3, 4))
    writer.add_tensor("vector", np.arange(7, dtype=np.int32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_scalar(package_file: Path) -> None:
    with open_gguf(package_file) as file:
        assert {type: file.metadata[f"scalar.{type}"] for type in SCALARS} == SCALARS
        assert file.metadata["scalar.bool"] is True


@pytest.mark.parametrize("kind", ARRAYS)
def test_every_array(package_file: Path, kind: ValueType) -> None:
    with open_gguf(package_file) as file:
        array = file.require(f"array.{kind.name}", ArrayView)
        assert (array.type, len(array), list(array), array[-1]) == (
            kind,
            len(ARRAYS[kind]),
            ARRAYS[kind],
            ARRAYS[kind][-1],
        )
        if kind is ValueType.STRING:
            with pytest.raises(TypeError):
                array.numpy()
        else:
            assert array.numpy().tolist() == ARRAYS[kind]


def test_tensors_lie_where_the_package_says(package_file: Path) -> None:
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(package_file).tensors}
    with open_gguf(package_file) as file:
        assert list(file.tensors) == ["matrix", "cube", "vector"]
        assert file.tensors["matrix"].shape == (3, 5)
        assert file.tensors["cube"].shape == (2, 3, 4)
        for name, tensor in file.tensors.items():
            assert tensor.offset == theirs[name].data_offset
            assert tensor.data.tobytes() == theirs[name].data.tobytes()
            assert tensor.type == theirs[name].tensor_type
            assert not tensor.data.flags.writeable


def pages_in_memory(mapped: MappedFile) -> float:
    """The part of a mapped file's pages that the page cache holds."""
    pages = np.zeros(-(-mapped.memory.nbytes // mmap.PAGESIZE), np.uint8)
    address = np.frombuffer(mapped.memory, np.uint8).ctypes.data
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = ctypes.c_void_p(address), ctypes.c_size_t(mapped.memory.nbytes), pages.ctypes.data_as(ctypes.c_void_p)
    assert libc.mincore(*arguments) == 0, os.strerror(ctypes.get_errno())
    return float((pages & 1).mean())


@pytest.mark.skipif(sys.platform != "linux", reason="reading ahead needs Linux")
def test_populating_reads_ahead(tmp_path: Path) -> None:
    path = tmp_path / "cold"
    path.write_bytes(os.urandom(8 << 20))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    mapped = MappedFile(path)
    if pages_in_memory(mapped) > 0:
        pytest.skip("this file system keeps everything in memory")
    mapped.populate()
    end = time.monotonic() + 20
    while pages_in_memory(mapped) < 1:
        assert time.monotonic() < end, "not all of it was read"
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="reading ahead needs Linux")
def test_what_is_left_out_stays_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "cold"
    path.write_bytes(os.urandom(8 << 20))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    mapped = MappedFile(path)
    if pages_in_memory(mapped) > 0:
        pytest.skip("this file system keeps everything in memory")
    mapped.sparse()
    assert mapped.memory[4 << 20] >= 0
    assert pages_in_memory(mapped) < 0.01
    mapped.populate([(1 << 20, 3 << 20), (4 << 20, 7 << 20)])
    end = time.monotonic() + 20
    while pages_in_memory(mapped) < 3 / 8:
        assert time.monotonic() < end, "not all of it was read"
        time.sleep(0.01)
    time.sleep(0.05)
    assert pages_in_memory(mapped) < 3 / 8 + 0.01


def test_populating_changes_nothing(package_file: Path) -> None:
    """Neither twice, nor when the file is closed before it has ended."""
    with open_gguf(package_file) as file:
        expected = file.tensors["matrix"].data.tobytes()
        file.populate()
        file.populate()
        assert file.tensors["matrix"].data.tobytes() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reading ahead needs Linux")
def test_populating_a_file_that_shrinks_is_harmless(tmp_path: Path) -> None:
    path = tmp_path / "shrinking"
    path.write_bytes(bytes(8 << 20))
    mapped = MappedFile(path)
    os.truncate(path, 1 << 20)
    assert not _gguf.Populating(mapped.memory, [(0, mapped.memory.nbytes)]).wait()
    assert mapped.memory[0] == 0


def test_views_outlive_the_file(package_file: Path) -> None:
    with open_gguf(package_file) as file:
        tensor = file.tensors["vector"]
        data = tensor.data
    assert data.view(np.int32).tolist() == list(range(7))
    with pytest.raises(GGUFError, match="closed"):
        _ = tensor.data


def test_getters(package_file: Path) -> None:
    with open_gguf(package_file) as file:
        assert file.require("scalar.string", str) == "naïve ♫"
        assert file.get("scalar.int8", 0) == -100
        assert file.get("absent", 7) == 7
        converted = file.require("scalar.uint8", float)
        assert (type(converted), converted) == (float, 200.0)
        with pytest.raises(GGUFError, match="key 'absent': is missing; expected a value of type int"):
            file.require("absent", int)
        with pytest.raises(GGUFError, match=r"'scalar.bool': holds a value of type bool; expected int") as caught:
            file.require("scalar.bool", int)
        assert (caught.value.path, caught.value.field) == (package_file, "key 'scalar.bool'")
        assert package_file.read_bytes()[caught.value.offset or 0 :][8:19] == b"scalar.bool"


def test_version_2_and_custom_alignment(tmp_path: Path) -> None:
    path = tmp_path / "two.gguf"
    keys = [craft.entry("general.alignment", ValueType.UINT32, b"\x08\0\0\0")]
    tensors = [craft.tensor("a", [1]), craft.tensor("b", [2], offset=8)]
    path.write_bytes(craft.file(keys, tensors, bytes(range(16)), version=2, alignment=8))
    with open_gguf(path) as file:
        assert (file.version, file.alignment) == (2, 8)
        assert file.tensors["b"].data.tolist() == list(range(8, 16))


def test_nested_arrays(tmp_path: Path) -> None:
    path = tmp_path / "nested.gguf"
    inner = craft.array(ValueType.INT8, 2, b"\x01\xff") + craft.array(ValueType.STRING, 1, craft.text("x"))
    value = craft.array(ValueType.ARRAY, 2, inner)
    path.write_bytes(craft.file([craft.entry("nested", ValueType.ARRAY, value)]))
    with open_gguf(path) as file:
        first, second = file.require("nested", ArrayView)
        assert isinstance(first, ArrayView)
        assert isinstance(second, ArrayView)
        assert (list(first), list(second)) == ([1, -1], ["x"])
        assert path.read_bytes()[first.offset : first.offset + 2] == b"\x01\xff"


def test_text_that_is_not_utf8_comes_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bytes.gguf"
    strings = craft.array(ValueType.STRING, 2, craft.text(b"\xff") + craft.text("ok"))
    path.write_bytes(
        craft.file(
            [craft.entry("name", ValueType.STRING, craft.text(b"\xfe")), craft.entry("list", ValueType.ARRAY, strings)]
        )
    )
    with open_gguf(path) as file:
        assert file.metadata["name"] == b"\xfe"
        assert list(file.require("list", ArrayView)) == [b"\xff", "ok"]
        with pytest.raises(GGUFError, match="holds text that is not UTF-8; expected str"):
            file.require("name", str)


def test_a_header_by_itself_opens_without_data(tmp_path: Path) -> None:
    path = tmp_path / "header.gguf"
    path.write_bytes(craft.file(tensors=[craft.tensor("a", [8])]))
    with open_gguf(path) as file:
        assert file.tensors["a"].nbytes == 32
        with pytest.raises(GGUFError, match="the file ends after its header"):
            _ = file.tensors["a"].data


def test_a_vocabulary_is_that_of_the_package(data_dir: Path) -> None:
    path = data_dir / "vocab" / "ggml-vocab-llama-spm.gguf"
    theirs = gguf.GGUFReader(path).fields["tokenizer.ggml.tokens"]
    with open_gguf(path) as file:
        tokens = list(file.require("tokenizer.ggml.tokens", ArrayView))
    assert len(tokens) == len(theirs.data)
    assert tokens[::1000] == [theirs.contents(index) for index in range(0, len(tokens), 1000)]


def test_importing_stays_light() -> None:
    program = "import sys; from ostinato.gguf import open_gguf, GGUFWriter; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- split files ------------------------------------------------------------------------------------------------------


def write_split(folder: Path, count: int = 3, *, total: int | None = None) -> list[Path]:
    """`count` parts of one tensor each, whose bytes are the part's number."""
    paths = []
    for part in range(count):
        paths.append(folder / f"model-{part + 1:05}-of-{count:05}.gguf")
        keys = craft.split_keys(part, count, count if total is None else total)
        if part == 0:
            keys.append(craft.entry("general.architecture", ValueType.STRING, craft.text("llama")))
        paths[-1].write_bytes(craft.file(keys, [craft.tensor(f"t{part}", [8])], bytes([part]) * 32))
    return paths


@pytest.mark.parametrize("opened", [0, 1, 2])
def test_any_part_opens_all(tmp_path: Path, opened: int) -> None:
    paths = write_split(tmp_path)
    with open_gguf(paths[opened]) as file:
        assert file.require("general.architecture", str) == "llama"
        assert list(file.tensors) == ["t0", "t1", "t2"]
        assert [tensor.part.path for tensor in file.tensors.values()] == paths
        assert [int(tensor.data[0]) for tensor in file.tensors.values()] == [0, 1, 2]
        assert file.tensors["t0"].type is TensorType.F32


def test_split_faults(tmp_path: Path) -> None:
    paths = write_split(tmp_path, total=4)
    with pytest.raises(GGUFError, match=r"'split.tensors.count': 4; expected 3"):
        open_gguf(paths[0])
    paths = write_split(tmp_path)
    renamed = paths[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(GGUFError, match=r"renamed.gguf.*'split.count': 3; a part's name ends in"):
        open_gguf(renamed)
    with pytest.raises(GGUFError, match=r"model-00001-of-00003.gguf: cannot be opened"):
        open_gguf(paths[1])
    paths = write_split(tmp_path)
    paths[1].write_bytes(paths[0].read_bytes())
    with pytest.raises(GGUFError, match=r"model-00002-of-00003.gguf: .*'split.no': 0; expected 1"):
        open_gguf(paths[2])
    keys = craft.split_keys(1, 3, 3)
    paths[1].write_bytes(craft.file(keys, [craft.tensor("t0", [8])], bytes(32)))
    with pytest.raises(GGUFError, match=r"tensor 't0': is in an earlier part too"):
        open_gguf(paths[0])
