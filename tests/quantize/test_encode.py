"""Blocks beside ggml's own: errors on many kinds of tensors; and what all blocks must be."""

from __future__ import annotations

import json

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.gguf.blocks import dequantize
from ostinato.gguf.types_table import TensorType
from ostinato.quantize.encode import TARGETS, encode
from ostinato.quantize.mixes import MIXES, PLAIN
from tests.quantize import llama
from tests.quantize.tensors import KINDS, SHAPE, TYPES, Floats, error, values

GOLDEN = json.loads(llama.GOLDEN.read_text())["errors"]
RATIO = 1.02  # of our error to llama.cpp's, root mean square or largest
SIMPLE = [TensorType[name] for name in ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")]  # no search

# The largest error of a block over its largest magnitude: half a step, and somewhat more for scales of few bits.
WORST = {
    "F32": 0.0, "F16": 2**-11, "BF16": 2**-8, "Q8_0": 0.005, "Q4_0": 0.13, "Q4_1": 0.07, "Q5_0": 0.065, "Q5_1": 0.035,
    "Q2_K": 0.6, "Q3_K": 0.4, "Q4_K": 0.15, "Q5_K": 0.1, "Q6_K": 0.04, "IQ4_NL": 0.15, "IQ4_XS": 0.2, "MXFP4": 0.26,
}  # fmt: skip
SMALLEST_HALF = 2.0**-24


def restored(exact: Floats, type: TensorType, threads: int = 2) -> Floats:
    return dequantize(encode(exact, type, threads), type, exact.shape)


def test_every_mix_can_be_encoded() -> None:
    assert {mix.base for mix in MIXES.values()} == TARGETS == {*TYPES, *PLAIN}


def ratios(type: TensorType, kind: str) -> tuple[float, float]:
    """Our errors over llama.cpp's."""
    exact = values(kind)
    square, largest = map(float, GOLDEN[type.name][kind].split())
    ours = error(restored(exact, type), exact)
    return ours[0] / square if square else 1 + ours[0], ours[1] / largest if largest else 1 + ours[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type", TYPES, ids=lambda type: type.name)
def test_errors_are_those_of_llama_cpp(type: TensorType, kind: str) -> None:
    """Where scales are searched for, two fits of nearly the same squared error may differ in their largest error."""
    square, largest = ratios(type, kind)
    assert square <= RATIO
    assert largest <= (RATIO if type in SIMPLE else 1.25)


@pytest.mark.parametrize("type", TYPES, ids=lambda type: type.name)
def test_largest_errors_are_those_of_llama_cpp_on_the_whole(type: TensorType) -> None:
    assert np.mean([ratios(type, kind)[1] for kind in KINDS]) <= RATIO


@pytest.mark.parametrize("type", SIMPLE, ids=lambda type: type.name)
@pytest.mark.parametrize("kind", ["normal", "heavy tails", "constant", "zero", "mixed", "tiny"])
def test_simple_blocks_are_those_of_the_package(type: TensorType, kind: str) -> None:
    exact = values(kind)
    expected = np.asarray(gguf.quantize(exact, gguf.GGMLQuantizationType(type))).view(np.uint8)
    assert encode(exact, type, 2).tobytes() == expected.tobytes()


@pytest.mark.parametrize("type", [*PLAIN, *TYPES], ids=lambda type: type.name)
def test_what_was_restored_stays_nearly_so(type: TensorType) -> None:
    """Quantising twice costs next to nothing more."""
    exact = values("normal")
    once = restored(exact, type)
    assert error(restored(once, type), exact)[0] <= 1.1 * error(once, exact)[0] + 1e-12


@pytest.mark.parametrize("type", sorted(TARGETS), ids=lambda type: type.name)
@settings(max_examples=60, derandomize=True, deadline=None)
@given(seed=st.integers(0, 1 << 32), exponents=st.tuples(st.integers(-140, 12), st.integers(0, 60)))
def test_any_finite_values(type: TensorType, seed: int, exponents: tuple[int, int]) -> None:
    """Values from subnormals up, far apart in one block: no NaN, and no error beyond what the block's peak allows."""
    rng = np.random.default_rng(seed)
    low, spread = exponents
    power = rng.integers(low, min(low + spread, 12) + 1, 512)
    exact = (rng.uniform(-1, 1, 512) * 2.0**power).astype(np.float32)
    exact[rng.random(512) < rng.random()] = 0
    peak = np.abs(exact).reshape(-1, min(type.block_elements, 512)).max(axis=1, keepdims=True)
    difference = np.abs(restored(exact, type) - exact).reshape(len(peak), -1)
    exponents_left = 64 * SMALLEST_HALF if type is not TensorType.F32 else 0.0
    assert (difference <= WORST[type.name] * peak + exponents_left).all()


@pytest.mark.parametrize("type", sorted(TARGETS), ids=lambda type: type.name)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused(type: TensorType, bad: float) -> None:
    exact = values("normal").reshape(-1).copy()
    exact[12345] = bad
    with pytest.raises(ValueError, match=f"{bad}: the file is damaged, or comes from a damaged one"):
        encode(exact, type, 2)


@pytest.mark.parametrize(
    ("type", "value"),
    [("F16", 65520), ("BF16", 3.4e38), ("Q8_0", 8.4e6), ("Q4_0", 6e5), ("Q5_1", 2.1e6), ("Q4_K", 7e7), ("Q6_K", 9e8)],
)
def test_what_is_too_large_is_refused(type: str, value: float) -> None:
    exact = np.zeros(1024, np.float32)
    exact[700] = value
    with pytest.raises(ValueError, match=f"too large for {type}"):
        encode(exact, TensorType[type], 1)
    exact[700] = value * 0.1
    assert np.isfinite(restored(exact, TensorType[type])).all()


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "mixed rows"])
@pytest.mark.parametrize("type", TYPES, ids=lambda type: type.name)
def test_golden_errors_are_those_of_the_installed_llama_cpp(type: TensorType, kind: str) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (pip install '.[dev]')")
    assert llama.error_text(kind, type) == GOLDEN[type.name][kind]


def test_shapes_are_flat() -> None:
    exact = values("normal")
    assert len(encode(exact, TensorType.Q4_K, 2)) == SHAPE[0] * SHAPE[1] // 256 * 144
