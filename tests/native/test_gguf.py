"""The native string scanner against one in Python, on sound and broken runs."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato import _gguf


def skip_strings(buffer: bytes, offset: int, count: int) -> tuple[int, int]:
    for walked in range(count):
        if offset + 8 > len(buffer):
            return walked, offset
        end = offset + 8 + int.from_bytes(buffer[offset : offset + 8], "little")
        if end > len(buffer):
            return walked, offset
        offset = end
    return count, offset


STRINGS = st.lists(st.binary(max_size=9), max_size=6).map(
    lambda texts: b"".join(struct.pack("<Q", len(text)) + text for text in texts)
)


@settings(max_examples=300, derandomize=True)
@given(
    run=STRINGS,
    cut=st.integers(0, 12),
    count=st.integers(0, 8),
    flip=st.tuples(st.integers(0, 63), st.integers(0, 255)),
    offset=st.integers(0, 9),
)
def test_against_python(run: bytes, cut: int, count: int, flip: tuple[int, int], offset: int) -> None:
    broken = bytearray(run[: len(run) - cut] if cut else run)
    if flip[0] < len(broken):
        broken[flip[0]] ^= flip[1]
    start = min(offset, len(broken))
    assert _gguf.skip_strings(bytes(broken), start, count) == skip_strings(bytes(broken), start, count)


@pytest.mark.parametrize("length", [(1 << 64) - 1, (1 << 64) - 8, (1 << 64) - 16, 1 << 63, 1])
def test_no_sum_wraps(length: int) -> None:
    assert _gguf.skip_strings(struct.pack("<Q", length), 0, 1) == (0, 0)


def test_hostile_counts_end_with_the_bytes() -> None:
    assert _gguf.skip_strings(bytes(24), 0, (1 << 64) - 1) == (3, 24)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="past the end"):
        _gguf.skip_strings(b"", 1, 1)
    with pytest.raises(TypeError):
        _gguf.skip_strings(b"", -1, 1)
    with pytest.raises(TypeError):
        _gguf.skip_strings(3, 0, 1)  # type: ignore[arg-type]
    assert _gguf.skip_strings(memoryview(bytes(8)), 0, 1) == (1, 8)
