"""The native quantisers by themselves: levels, threads, arguments that do not fit; under the sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from ostinato import _quantize
from ostinato.gguf.types_table import TensorType
from tests.programs import NATIVE, SANITIZERS, compiled, compiler, emit_tables
from tests.quantize.tensors import KINDS, TYPES, values

F32, F16, BF16, Q4_K = TensorType.F32, TensorType.F16, TensorType.BF16, TensorType.Q4_K


def encode(source: np.ndarray, form: TensorType, type: TensorType, threads: int = 1, level: str = "") -> np.ndarray:
    count = source.nbytes // form.block_bytes
    out = np.full(count // type.block_elements * type.block_bytes, 0xA5, np.uint8)
    assert _quantize.encode(source.view(np.uint8).reshape(-1), form, type, out, threads, level) == -1
    return out


@pytest.mark.parametrize("type", [F16, BF16, *TYPES], ids=lambda type: type.name)
def test_levels_and_threads_give_the_same_bytes(type: TensorType) -> None:
    exact = np.concatenate([values(kind) for kind in KINDS])[:, :768]  # the last chunk is not full
    expected = encode(np.ascontiguousarray(exact), F32, type, level="portable")
    for level in _quantize.levels():
        for threads in (1, 2, 5):
            assert encode(np.ascontiguousarray(exact), F32, type, threads, level).tobytes() == expected.tobytes()


def test_every_half_is_read_and_written() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    finite = bits[np.isfinite(bits.view(np.float16))]
    exact = encode(finite, F16, F32).view(np.float32)
    assert np.array_equal(exact, finite.view(np.float16).astype(np.float32))
    assert np.array_equal(encode(exact, F32, F16).view(np.uint16), finite)
    assert np.array_equal(encode(encode(exact, F32, BF16), BF16, F32).view(np.uint32) >> 16 << 16,
                          encode(encode(exact, F32, BF16), BF16, F32).view(np.uint32))  # fmt: skip


def test_halves_are_rounded_to_nearest() -> None:
    rng = np.random.default_rng(2)
    exact = (rng.uniform(-2, 2, 1 << 16) * 2.0 ** rng.integers(-28, 15, 1 << 16)).astype(np.float32)
    between = np.arange(1, 1 << 12, dtype=np.float32) * np.float32(2.0**-25)  # ties, the subnormal ones too
    for x in (exact, between, np.float32(1) + between):
        assert encode(x, F32, F16).tobytes() == x.astype(np.float16).tobytes()


def test_the_first_bad_block_is_told_whatever_the_threads() -> None:
    exact = values("normal").reshape(-1).copy()
    exact[[9000, 20000, 30000]] = np.nan
    out = np.empty(len(exact) // 256 * 144, np.uint8)
    for threads in (1, 2, 7):
        assert _quantize.encode(exact.view(np.uint8), F32, Q4_K, out, threads) == 9000 // 256 * 256


@pytest.mark.parametrize(
    ("source", "form", "type", "out", "level", "text"),
    [
        (1024, TensorType.Q8_0, Q4_K, 144, "", "F32, F16 and BF16 only"),
        (1024, F32, TensorType.IQ1_S, 50, "", "no encoder"),
        (1020, F32, Q4_K, 144, "", "whole blocks"),
        (1023, F32, F32, 1023, "", "whole blocks"),
        (1024, F32, Q4_K, 143, "", "size of the encoded"),
        (1024, F32, Q4_K, 144, "neon9", "no such instruction level"),
    ],
)
def test_what_does_not_fit_is_refused(
    source: int, form: TensorType, type: TensorType, out: int, level: str, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        _quantize.encode(np.zeros(source, np.uint8), form, type, np.zeros(out, np.uint8), 1, level)


def test_nothing_is_encoded_to_nothing() -> None:
    assert _quantize.encode(np.zeros(0, np.uint8), F32, Q4_K, np.zeros(0, np.uint8), 4) == -1


@pytest.mark.slow
def test_nothing_is_read_or_written_out_of_bounds(tmp_path: Path) -> None:
    """Any bits as values, infinities and NaN among them, at any address, under the sanitizers."""
    folder = NATIVE / "quantize"
    sources = [*(folder / f"{name}.cpp" for name in ("encoders", "levels", "quantize")), folder / "tests/fuzz_test.cpp"]
    flags = ("-std=c++20", "-O1", "-g", *SANITIZERS["address"], "-fsanitize=float-cast-overflow", "-Wno-psabi")
    include = (f"-I{NATIVE}", f"-I{emit_tables(tmp_path)}", "-DOSTINATO_LEVEL=portable")
    fuzz = compiled([compiler(), *flags, *include, *sources], tmp_path / "fuzz")
    done = subprocess.run([fuzz, "1", "300"], timeout=250, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000, "hardly anything was encoded"
