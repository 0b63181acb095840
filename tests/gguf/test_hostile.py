"""Files that lie: each is refused with one GGUFError, quickly and without large allocations."""

from __future__ import annotations

import os
import re
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.gguf import ArrayView, GGUFError, TensorType, ValueType, open_gguf
from tests.gguf import craft
from tests.gguf.craft import array, entry, tensor, text
from tests.support import find_data_dir

HUGE = (1 << 64) - 1
U32 = struct.pack("<I", 7)


def hostile_files() -> list[Path]:
    folder = find_data_dir()
    return sorted((folder / "hostile-gguf").glob("*.gguf")) if folder else []


def open_and_touch(path: Path) -> None:
    """Open, and read everything that a user could read."""
    with open_gguf(path) as file:
        for value in file.metadata.values():
            if isinstance(value, ArrayView):
                list(value)
        for found in file.tensors.values():
            if found.part.header.has_data:
                assert found.data.size == found.nbytes


def refusal(path: Path) -> GGUFError | None:
    """The error, if the file is refused; any other exception is a failure."""
    try:
        open_and_touch(path)
    except GGUFError as error:
        return error
    return None


@pytest.mark.parametrize("path", hostile_files(), ids=lambda path: path.stem)
def test_verdict_in_the_name(path: Path) -> None:
    if ".accept" in path.name:
        open_and_touch(path)
    else:
        with pytest.raises(GGUFError):
            open_gguf(path)


def test_hostile_folder_is_there(data_dir: Path) -> None:
    assert (data_dir / "hostile-gguf").is_dir()


# Each bad file with what the error names.
CRAFTED: dict[str, tuple[bytes, str]] = {
    "not gguf": (b"GGML" + bytes(40), r"at byte 0, magic: b'GGML'; expected b'GGUF'"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version: the file is big-endian"),
    "version 1": (craft.file(version=1), "at byte 4, version: 1; expected 2 or 3"),
    "tensor count": (
        craft.file(tensor_count=1 << 63),
        "at byte 8, tensor count: 9223372036854775808 is too many for a file of 24 bytes; expected at most 0",
    ),
    "key count": (craft.file(key_count=HUGE), "at byte 16, key count"),
    "key length": (craft.file([struct.pack("<Q", HUGE) + bytes(16)]), "length of key 0: 18446744073709551615 bytes"),
    "empty key": (craft.file([entry("", ValueType.UINT32, U32)]), "key 0: is empty"),
    "key not utf-8": (craft.file([entry(b"\xff\xfe", ValueType.UINT32, U32)]), "key 0: .* is not UTF-8"),
    "key twice": (craft.file([entry("k", ValueType.UINT32, U32)] * 2), "key 'k': occurs twice"),
    "value type": (craft.file([entry("k", 13, U32)]), "type of 'k': unknown value type 13"),
    "string length": (
        craft.file([entry("k", ValueType.STRING, struct.pack("<Q", 1 << 62))]),
        "length of value of 'k': 4611686018427387904 bytes",
    ),
    "array length": (
        craft.file([entry("k", ValueType.ARRAY, array(ValueType.UINT8, HUGE, b""))]),
        "length of the value of 'k': 18446744073709551615 elements; expected at most 0",
    ),
    "array length times size": (
        craft.file([entry("k", ValueType.ARRAY, array(ValueType.UINT64, 1 << 61, bytes(16)))]),
        "elements; expected at most 2",
    ),
    "array element type": (craft.file([entry("k", ValueType.ARRAY, array(99, 1, U32))]), "unknown value type 99"),
    "string in array": (
        craft.file([entry("k", ValueType.ARRAY, array(ValueType.STRING, 2, text("a") + struct.pack("<Q", HUGE)))]),
        "string 1 of 2 in the value of 'k': does not fit",
    ),
    "arrays without end": (
        craft.file([entry("k", ValueType.ARRAY, array(ValueType.ARRAY, 1, b"") * 9)]),
        "arrays nested more than 4 deep",
    ),
    "too many arrays": (
        craft.file(
            [entry("k", ValueType.ARRAY, array(ValueType.ARRAY, 70000, array(ValueType.UINT8, 0, b"") * 70000))]
        ),
        "more than 65536 arrays within arrays",
    ),
    "alignment 0": (
        craft.file([entry("general.alignment", ValueType.UINT32, bytes(4))]),
        "'general.alignment': 0; expected a power of two",
    ),
    "alignment of another type": (
        craft.file([entry("general.alignment", ValueType.UINT64, struct.pack("<Q", 32))]),
        "'general.alignment': UINT64; expected UINT32",
    ),
    "alignment an array": (
        craft.file([entry("general.alignment", ValueType.ARRAY, array(ValueType.UINT32, 1, U32))]),
        "'general.alignment': ARRAY; expected UINT32",
    ),
    "long tensor name": (craft.file(tensors=[tensor("n" * 64, [1])]), "64 bytes; expected at most 63"),
    "tensor name not utf-8": (craft.file(tensors=[tensor(b"\xff", [1])]), "name of tensor 0: .* is not UTF-8"),
    "tensor name with nul": (craft.file(tensors=[tensor("a\0b", [1])]), "holds a NUL"),
    "tensor twice": (craft.file(tensors=[tensor("a", [1]), tensor("a", [1], offset=32)]), "'a' occurs twice"),
    "dimensions": (craft.file(tensors=[tensor("a", [1] * 5)]), "5 dimensions; expected at most 4"),
    "dimensions huge": (
        craft.file(tensors=[text("a") + struct.pack("<I", 0xFFFFFFFF) + bytes(64)]),
        "4294967295 dimensions",
    ),
    "negative size": (craft.file(tensors=[tensor("a", [1 << 63])]), "expected less than 2"),
    "product of sizes": (craft.file(tensors=[tensor("a", [1 << 32, 1 << 32])]), "expected less than 2"),
    "bytes overflow": (
        craft.file(tensors=[tensor("a", [4, (1 << 30) - 1, (1 << 30) + 1])]),
        "tensor data: ends at byte",
    ),
    "tensor type removed": (craft.file(tensors=[tensor("a", [32], 4)]), "4 is not a valid TensorType"),
    "tensor type unknown": (craft.file(tensors=[tensor("a", [32], 1 << 31)]), "is not a valid TensorType"),
    "broken block": (craft.file(tensors=[tensor("a", [31], TensorType.Q8_0)]), "whole Q8_0 blocks of 32"),
    "offset not zero": (craft.file(tensors=[tensor("a", [8], offset=32)], data=bytes(64)), "32; expected 0"),
    "offset unaligned": (
        craft.file(tensors=[tensor("a", [1]), tensor("b", [1], offset=4)], data=bytes(64)),
        "offset of tensor 'b': 4; expected 32",
    ),
    "overlap": (
        craft.file(tensors=[tensor("a", [16]), tensor("b", [16], offset=32)], data=bytes(128)),
        "offset of tensor 'b': 32; expected 64",
    ),
    "data too short": (
        craft.file(tensors=[tensor("a", [16])], data=bytes(63)),
        "tensor data: ends at byte .* it may be truncated",
    ),
    "split count not a number": (
        craft.file([entry("split.count", ValueType.STRING, text("2"))]),
        "key 'split.count': '2'; expected an integer",
    ),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted(name: str, tmp_path: Path) -> None:
    content, message = CRAFTED[name]
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(GGUFError, match=message) as caught:
        open_gguf(path)
    assert str(caught.value).startswith(f"{path}: at byte ")
    assert caught.value.offset is not None
    assert 0 <= caught.value.offset <= len(content)
    assert caught.value.field
    assert caught.value.expectation


def test_what_is_no_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    empty = tmp_path / "empty"
    empty.touch()
    for path, message in (
        (tmp_path, "not a regular file"),
        (fifo, "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (empty, "the file is empty"),
        (tmp_path / "absent", "cannot be opened: No such file"),
        (Path("nul\0byte"), "cannot be opened"),
    ):
        with pytest.raises(GGUFError, match=message):
            open_gguf(path)


def test_long_keys_do_not_flood_the_message(tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    path.write_bytes(craft.file([entry("k" * 60000, 99, U32)]))
    with pytest.raises(GGUFError) as caught:
        open_gguf(path)
    assert len(str(caught.value)) < len(str(path)) + 400


def refused_cheaply(path: Path, message: str) -> None:
    """Refused within a second and a megabyte."""
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(GGUFError, match=message):
        open_gguf(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            craft.file([entry("k", ValueType.ARRAY, array(ValueType.STRING, 1 << 36, b""))]),
            "68719476736 strings; expected at most",
        ),
        (
            craft.file([entry("k", ValueType.STRING, struct.pack("<Q", 1 << 30))]),
            "1073741824 bytes; expected at most",
        ),
        (craft.file(key_count=1 << 30), "1073741824 is too many for a file of"),
        (craft.file(tensor_count=1 << 30), "1073741824 is too many for a file of"),
    ],
)
def test_sparse_terabytes_are_refused_at_once(tmp_path: Path, content: bytes, message: str) -> None:
    """Counts that the file's size would pay for, but no real file has."""
    path = tmp_path / "sparse.gguf"
    path.write_bytes(content)
    os.truncate(path, 1 << 40)
    refused_cheaply(path, message)


# --- truncation and mutation ------------------------------------------------------------------------------------------


def small_file() -> bytes:
    strings = text("a") + text("bc")
    return craft.file(
        [
            entry("general.architecture", ValueType.STRING, text("llama")),
            entry("n", ValueType.UINT32, U32),
            entry("f", ValueType.FLOAT64, bytes(8)),
            entry("words", ValueType.ARRAY, array(ValueType.STRING, 2, strings)),
            entry("deep", ValueType.ARRAY, array(ValueType.ARRAY, 1, array(ValueType.INT16, 3, bytes(6)))),
        ],
        [tensor("a", [4, 2]), tensor("b", [32], TensorType.Q8_0, 32), tensor("none", [0], offset=96)],
        bytes(96),
    )


def test_every_truncation(tmp_path: Path) -> None:
    """A file cut anywhere is refused, but for the two sound lengths: all of it, and exactly its header."""
    whole = small_file()
    path = tmp_path / "cut.gguf"
    opened = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        if refusal(path) is None:
            opened.append(length)
    assert opened == [len(whole) - 96, len(whole)]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutants") / "mutant.gguf"


@settings(
    max_examples=600, deadline=2000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(flips=st.lists(st.tuples(st.integers(0, len(small_file()) - 97), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes(scratch: Path, flips: list[tuple[int, int]]) -> None:
    mutant = bytearray(small_file())
    for position, bits in flips:
        mutant[position] ^= bits
    check(scratch, bytes(mutant))


WORDS = [0, 1, 8, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, 1 << 61, (1 << 63) - 1, 1 << 63, HUGE - 7, HUGE]


@settings(
    max_examples=400, deadline=2000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(4, len(small_file()) - 104), word=st.sampled_from(WORDS), cut=st.integers(0, 40))
def test_overwritten_words(scratch: Path, position: int, word: int, cut: int) -> None:
    mutant = bytearray(small_file())
    struct.pack_into("<Q", mutant, position, word)
    check(scratch, bytes(mutant[: len(mutant) - cut]))


def check(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    error = refusal(path)
    assert error is None or re.match(rf"{re.escape(str(path))}: at byte \d+, ", str(error))
