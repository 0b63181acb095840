"""Block formats against the `gguf` package; the fits of our own against a plain one."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from ostinato.gguf.blocks import FORMATS, BlockFormatError, dequantize, q4_k, quantize
from ostinato.gguf.grids_table import FP4_VALUES, GRIDS, IQ4_VALUES, Grid, signs
from ostinato.gguf.types_table import TensorType, nbytes
from tests.gguf.blocks import FLOATS, oracle, put_scales, random_blocks, scales
from tests.support import same_bits

READ = sorted(FORMATS)
QUANTISED = [TensorType[name] for name in ("Q8_0", "Q4_0", "Q4_K", "Q6_K")]
WRITTEN = [TensorType.F32, TensorType.F16, TensorType.BF16, *QUANTISED]
SAME_AS_PACKAGE = [TensorType[name] for name in ("F32", "F16", "BF16", "Q8_0", "Q4_0")]

# Root of the mean squared error over that of the values, for normally distributed ones.
ERROR_BOUND = {"F32": 0.0, "F16": 3e-4, "BF16": 2e-3, "Q8_0": 6e-3, "Q4_0": 0.09, "Q4_K": 0.075, "Q6_K": 0.018}


def package(type: TensorType) -> gguf.GGMLQuantizationType:
    return gguf.GGMLQuantizationType(type)


def relative_error(values: np.ndarray, type: TensorType) -> float:
    restored = dequantize(quantize(values, type), type, values.shape)
    return float(np.sqrt(np.square(restored - values).mean() / np.square(values).mean()))


def weights(*shape: int) -> np.ndarray:
    """Like real ones: normal, rows of different size, a few outliers."""
    rng = np.random.default_rng(7)
    values = rng.standard_normal(shape, np.float32) * rng.uniform(0.005, 0.1, (shape[0], 1)).astype(np.float32)
    values[rng.random(shape) < 0.002] *= 8
    return values


@pytest.mark.parametrize("type", READ, ids=lambda type: type.name)
def test_dequantize_is_that_of_the_package(type: TensorType) -> None:
    """Random codes: enough of them that every index, nibble and sign bit takes every value."""
    raw = random_blocks(type, 1024, np.random.default_rng(int(type)))
    expected = oracle(raw, type)
    found = dequantize(raw, type, expected.shape)
    assert found.dtype == np.float32
    assert np.isfinite(expected).all()
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("type", sorted(FORMATS - set(FLOATS)), ids=lambda type: type.name)
def test_odd_scales_are_those_of_the_package(type: TensorType) -> None:
    """Zeros, subnormals, the largest numbers, infinities and NaN, in every scale: the same bits, or both NaN."""
    rng = np.random.default_rng(int(type))
    odd = np.array(scales(type).odd)
    raw = random_blocks(type, 1024, rng)
    put_scales(raw, type, rng.choice(odd, (1024, max(len(scales(type).at), 1))))
    expected = oracle(raw, type)
    assert same_bits(dequantize(raw, type, expected.shape), expected)


def test_every_float_pattern() -> None:
    patterns = np.arange(65536, dtype=np.uint16)
    for type in (TensorType.F16, TensorType.BF16):
        raw = patterns.view(np.uint8).reshape(-1, 2)
        assert same_bits(dequantize(raw, type, (65536, 1)), oracle(raw, type))


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: grid.name)
def test_grids_are_those_of_the_package(grid: Grid) -> None:
    theirs = getattr(gguf.quants, {"IQ1": "IQ1_S"}.get(grid.name, grid.name))
    theirs.init_grid()
    assert np.array_equal(np.array(grid.points), theirs.grid.reshape(theirs.grid_shape))


def test_tables_are_those_of_the_package() -> None:
    assert gguf.quants.IQ4_NL.kvalues == IQ4_VALUES
    assert gguf.quants.MXFP4.kvalues == gguf.quants.NVFP4.kvalues == FP4_VALUES
    assert bytes(signs(index) for index in range(128)) == gguf.quants.IQ2_XXS.ksigns


@pytest.mark.parametrize("type", SAME_AS_PACKAGE)
def test_quantize_is_that_of_the_package(type: TensorType) -> None:
    values = weights(16, 512)
    values[3, :64] = 0
    values[5, 7] = -values[5].max() * 2
    expected = np.asarray(gguf.quantize(values, package(type))).view(np.uint8)
    found = quantize(values, type)
    assert found.dtype == np.uint8
    assert found.shape == (16, nbytes(type, (512,)))
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("type", WRITTEN)
def test_round_trip_error(type: TensorType) -> None:
    values = np.random.default_rng(3).standard_normal((32, 1024), np.float32)
    assert relative_error(values, type) <= ERROR_BOUND[type.name]


def plain_q4_k(values: np.ndarray) -> np.ndarray:
    """What 4 bits from minimum to maximum of each 32 give, with unrounded scales."""
    subs = values.reshape(-1, 32)
    low = np.minimum(subs.min(1, keepdims=True), 0)
    step = (subs.max(1, keepdims=True) - low) / 15
    return (np.rint((subs - low) / step) * step + low).reshape(values.shape)


def plain_q6_k(values: np.ndarray) -> np.ndarray:
    """What 6 bits, symmetric, of each 16 give, with unrounded scales."""
    subs = values.reshape(-1, 16)
    step = np.abs(subs).max(1, keepdims=True) / 31
    return (np.rint(subs / step) * step).reshape(values.shape)


@pytest.mark.parametrize(("type", "plain"), [(TensorType.Q4_K, plain_q4_k), (TensorType.Q6_K, plain_q6_k)])
def test_search_beats_a_plain_fit(type: TensorType, plain: object) -> None:
    """Although its scales are rounded, and those of the plain fit are not."""
    assert callable(plain)
    values = weights(64, 1024)
    ours = np.square(dequantize(quantize(values, type), type, values.shape) - values).sum()
    assert ours < np.square(plain(values) - values).sum()


@pytest.mark.parametrize("type", [TensorType.Q4_K, TensorType.Q6_K])
@pytest.mark.parametrize("kind", ["zero", "constant", "negative", "one spike", "mixed scales"])
def test_unusual_blocks(type: TensorType, kind: str) -> None:
    """No warning, no NaN, and no element further off than its sub-block's largest magnitude allows."""
    values = np.random.default_rng(5).standard_normal((4, 256), np.float32)
    match kind:
        case "zero":
            values[:] = 0
        case "constant":
            values[:] = 0.25
        case "negative":
            values = -np.abs(values)
        case "one spike":
            values[:] = 0
            values[:, 100] = 3
        case "mixed scales":
            values *= np.repeat(np.float32(10) ** np.arange(-4, 4), 32)
    restored = dequantize(quantize(values, type), type, values.shape)
    peak = np.abs(values).max(axis=1, keepdims=True)
    assert (np.abs(restored - values) <= peak * {TensorType.Q4_K: 0.1, TensorType.Q6_K: 0.025}[type]).all()


@pytest.mark.parametrize("type", QUANTISED)
def test_what_a_half_cannot_scale_becomes_zero(type: TensorType) -> None:
    values = np.random.default_rng(5).standard_normal((4, 256), np.float32)
    for factor in (1e-30, 1e-44):
        tiny = values * np.float32(factor)
        assert not dequantize(quantize(tiny, type), type, values.shape).any()


def test_large_tensors_are_converted_in_parts() -> None:
    values = np.random.default_rng(6).standard_normal((9, 1 << 17), np.float32)  # more than two parts
    raw = quantize(values, TensorType.Q8_0)
    assert raw[8].tobytes() == quantize(values[8], TensorType.Q8_0).tobytes()
    whole = dequantize(raw, TensorType.Q8_0, values.shape)
    assert whole[8].tobytes() == dequantize(raw[8], TensorType.Q8_0, (1 << 17,)).tobytes()


def test_six_bit_scales_pack_and_unpack() -> None:
    rng = np.random.default_rng(8)
    scales, mins = rng.integers(0, 64, (2, 100, 8), dtype=np.uint8)
    unpacked = q4_k.unpack_scales(q4_k.pack_scales(scales, mins))
    assert np.array_equal(unpacked[0], scales)
    assert np.array_equal(unpacked[1], mins)


def test_refusals() -> None:
    values = np.zeros((2, 256), np.float32)
    with pytest.raises(BlockFormatError, match="cannot quantise to IQ2_XS; can: F32, F16, BF16, Q4_0"):
        quantize(values, TensorType.IQ2_XS)
    with pytest.raises(BlockFormatError, match="block format I32 is not supported; supported: F32, F16"):
        dequantize(np.zeros(4, np.uint8), TensorType.I32, (1,))
    with pytest.raises(ValueError, match="whole Q4_K blocks"):
        quantize(values[:, :128], TensorType.Q4_K)
    with pytest.raises(ValueError, match="expected float32"):
        quantize(values.astype(np.float64), TensorType.F16)
    with pytest.raises(ValueError, match="expected 288 of uint8"):
        dequantize(np.zeros(100, np.uint8), TensorType.Q4_K, (2, 256))
    values[1, 3] = np.nan
    with pytest.raises(ValueError, match=r"NaN, infinity or a magnitude of .* cannot be quantised to Q6_K"):
        quantize(values, TensorType.Q6_K)
    values[1, 3] = 9e8
    for type in QUANTISED:
        with pytest.raises(ValueError, match="overflows float16"):
            quantize(values, type)
