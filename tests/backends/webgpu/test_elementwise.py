"""pack and the elementwise phases, one by one on the adapter at hand, against NumPy and the reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from ostinato.backends.contract import Plan
from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import packed_words
from ostinato.backends.device.planes import FORMATS
from ostinato.backends.device.state_table import INACTIVE
from ostinato.backends.stepstate import Rows
from ostinato.gguf.blocks import dequantize
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, RopeStyle
from ostinato.program.ops_table import Axis
from tests.backends import reference_op
from tests.backends.cases import nmse
from tests.backends.webgpu.runner import Buffers, plain_rows, run, run_all, step_state
from tests.backends.webgpu.support import needs_adapter
from tests.backends.webgpu.test_matmul import planes, weights
from tests.native.sums import quantize

pytestmark = needs_adapter

PLAN = Plan(max_rows=64, max_logit_rows=16, max_sequences=4, context=131072 + 64, blocks=8, block_size=4096)
T = {"axis": int(Axis.T), "factor": 1}
FLOAT32 = np.float32(2) ** np.arange(-149, 128, dtype=np.float32)


def call_on(
    phase: str,
    inputs: Mapping[str, np.ndarray],
    shapes: Mapping[str, float],
    rows: Rows,
    size: int,
    weights: tuple[np.ndarray | None, ...] = (),
    workgroups: int = 3,
) -> np.ndarray:
    """The `size` words that a call writes to its place `out`, as uint32; the inputs stand before it."""
    places, at = {}, 0
    for name, values in inputs.items():
        places[name], at = at, at + values.size
    parts = [np.ascontiguousarray(values).reshape(-1).view(np.uint32) for values in inputs.values()]
    arena = np.concatenate([*parts, np.full(size + 1, 0xDEADBEEF, np.uint32)])
    call = Call(phase, {"out": at, **places, **shapes})
    found = run(call, Buffers(arena, step_state(PLAN, rows)), weights, workgroups=workgroups).arena
    assert found[-1] == 0xDEADBEEF
    assert np.array_equal(found[:at], arena[:at])
    return found[at:-1]


def floats(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


# ---------------------------------------------------------------------------------------------------------- pack


def packed(x: np.ndarray, group: int, workgroups: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quants int8 [rows, width], sums int16 [rows, width / 16] and the bits of scales [rows, width / group]."""
    rows, width = x.shape
    words = packed_words(width, group)
    shapes = {"width": width, "group": group, **T}
    out = call_on("pack", {"x": x}, shapes, plain_rows(rows), rows * words, workgroups=workgroups)
    found = np.ascontiguousarray(out.reshape(rows, words))
    q, sums = width // 4, width // 4 + width // 32
    return (
        found[:, :q].copy().view(np.int8),
        found[:, q:sums].copy().view(np.int16),
        found[:, sums : sums + width // group].copy(),
    )


def check_packed(x: np.ndarray, group: int) -> None:
    """Rows of numbers, as sums.md says."""
    q, sums, scales = packed(x, group)
    with np.errstate(over="ignore"):
        wanted, wanted_scales = quantize(x, group)
    assert np.array_equal(q, wanted.reshape(q.shape))
    assert np.array_equal(sums, wanted.reshape(len(x), -1, 16).sum(axis=2))
    assert np.array_equal(scales, wanted_scales.view(np.uint32))


@pytest.mark.parametrize(("width", "group"), [(256, 256), (1280, 256), (32, 32), (352, 32)])
def test_pack(width: int, group: int) -> None:
    check_packed(floats(9, width), group)


def test_pack_rounds_ties_to_even() -> None:
    x = np.resize(np.arange(-126.5, 127), (2, 256)).astype(np.float32)
    x[:, 0] = 127
    check_packed(x, 256)


def test_pack_divides_exactly_at_every_magnitude() -> None:
    """Down to subnormal values, up to the largest; the scale of the smallest rows is subnormal itself."""
    random = np.random.default_rng(2)
    x = random.uniform(-1, 1, (len(FLOAT32), 32)).astype(np.float32)
    with np.errstate(over="ignore", under="ignore"):
        x = (x * FLOAT32[:, None]).astype(np.float32)
    for first in range(0, len(x), PLAN.max_rows):
        check_packed(x[first : first + PLAN.max_rows], 32)


def test_pack_takes_subnormal_values_for_what_they_are() -> None:
    x = np.zeros((1, 32), np.float32)
    x[0, :4] = np.float32(2.0**-120) * np.array([1, 2.0**-7, -(2.0**-7), 2.0**-6 + 2.0**-8], np.float32)
    check_packed(x, 32)
    assert packed(x, 32)[0][0, :4].tolist() == [127, 1, -1, 2]


@pytest.mark.parametrize("group", [32, 256])
def test_pack_of_what_is_no_number(group: int) -> None:
    x = floats(4, 512)
    x[0, 5], x[1, 300], x[2, 511] = np.nan, np.inf, -np.inf
    q, sums, scales = packed(x, group)
    broken = ~np.isfinite(x.reshape(4, -1, group)).all(axis=2)
    assert broken.sum() == 3
    assert np.array_equal(np.isnan(scales.view(np.float32)), broken)
    assert not q.reshape(4, -1, group)[broken].any()
    assert not sums.reshape(4, -1, group // 16)[broken].any()
    whole, _ = quantize(np.where(np.isfinite(x), x, 0), group)
    assert np.array_equal(q.reshape(whole.shape)[~broken], whole[~broken])


def test_pack_with_any_number_of_workgroups() -> None:
    x = floats(9, 1280)
    for one, other in zip(packed(x, 256, 1), packed(x, 256, 20), strict=True):
        assert np.array_equal(one, other)


# -------------------------------------------------------------------------------------------------------- angles


def angles(position: np.ndarray, dims: int, base: float, scale: float, factors: np.ndarray | None = None) -> np.ndarray:
    rows = Rows(*(np.zeros(len(position), np.int32), position, np.zeros(len(position), np.int32)), np.zeros(0, int), 0)
    shapes = {"dims": dims, "base": base, "scale": scale, "has_factors": int(factors is not None)}
    out = call_on("angles", {}, shapes, rows, len(position) * dims, (factors,))
    return out.view(np.float32).reshape(len(position), dims)


@pytest.mark.parametrize(("base", "scale"), [(10000.0, 1.0), (1e6, 1.0), (500000.0, 0.25)])
@pytest.mark.parametrize("scaled", [False, True])
def test_angles_at_every_distance(base: float, scale: float, scaled: bool) -> None:
    """As exact as float32 angles allow: cos and sin are compared with float64's of the same float32 angle."""
    dims = 128
    position = np.array([0, 1, 2, 3, 7, 100, 1023, 4096, 32767, 65536, 99999, 131071, 131072], np.int32)
    factors = np.linspace(1, 8, dims // 2, dtype=np.float32) if scaled else None
    frequency = np.float32(base) ** -(np.arange(0, dims, 2, dtype=np.float32) / np.float32(dims))
    if factors is not None:
        frequency = frequency / factors
    theta = (position[:, None].astype(np.float32) * np.float32(scale) * frequency).astype(np.float64)
    wanted = np.stack([np.cos(theta), np.sin(theta)], axis=-1).reshape(len(position), dims)
    assert np.abs(angles(position, dims, base, scale, factors) - wanted).max() < 2e-7


def test_angles_of_an_inactive_row() -> None:
    found = angles(np.array([INACTIVE, 5], np.int32), 16, 10000.0, 1.0)
    assert np.array_equal(found[0], np.tile(np.float32([1, 0]), 8))


# --------------------------------------------------------------------------------------------------- elementwise


@pytest.mark.parametrize(("style", "dims"), [(RopeStyle.NORM, 24), (RopeStyle.NEOX, 24), (RopeStyle.NEOX, 40)])
def test_rope_in_place(style: RopeStyle, dims: int) -> None:
    rows, heads, head = 5, 3, 40
    x, turn = floats(rows, heads * head), floats(rows, dims, seed=2)
    arena = np.concatenate([x.reshape(-1), turn.reshape(-1)]).view(np.uint32)
    words = {
        "out": 0,
        "x": 0,
        "angles": x.size,
        "width": heads * head,
        "heads": heads,
        "dims": dims,
        "style": int(style),
    }
    found = run(Call("rope", words), Buffers(arena, step_state(PLAN, plain_rows(rows)))).floats(0, rows, heads * head)
    assert nmse(found, reference_op.call("rope", None, x, turn, heads=heads, style=style)) < 1e-13


@pytest.mark.parametrize(("width", "groups"), [(64, 1), (300, 1), (1024, 8), (1500, 3)])
def test_rms_norm(width: int, groups: int) -> None:
    x, gain = floats(5, width), floats(width // groups, seed=2)
    shapes = {"width": width, "groups": groups, "eps": 1e-5, **T}
    outs = [
        call_on("rms_norm", {"x": x[first:]}, shapes, plain_rows(5 - first), x[first:].size, (gain,), workgroups)
        for first, workgroups in ((0, 1), (0, 9), (3, 3))
    ]
    wanted = reference_op.call("rms_norm", None, x, gain, eps=1e-5, groups=groups)
    assert nmse(outs[0].view(np.float32).reshape(5, width), wanted) < 1e-13
    assert np.array_equal(outs[0], outs[1])
    assert np.array_equal(outs[0][3 * width :], outs[2])


@pytest.mark.parametrize("act", [Activation.SILU, Activation.GELU])
def test_glu(act: Activation) -> None:
    """Far from zero, too, where e^x over- or underflows."""
    gate, up = floats(3, 172) * np.float32(3), floats(3, 172, seed=2)
    gate[0, :8] = [-1000, -90, -87.5, -20, 20, 87.5, 90, 1000]
    out = call_on("glu", {"gate": gate, "up": up}, {"width": 172, "act": int(act), **T}, plain_rows(3), gate.size)
    with np.errstate(over="ignore"):
        wanted = reference_op.call("glu", None, gate.astype(np.float64), up, act=act)
    found = out.view(np.float32).reshape(wanted.shape)
    assert np.abs(found - wanted).max() <= 2e-6 * np.abs(wanted).max()
    assert nmse(found[1:], wanted[1:]) < 1e-13


def test_add_of_logit_rows() -> None:
    a, b = floats(4, 100), floats(4, 100, seed=2)
    shapes = {"width": 100, "axis": int(Axis.R), "factor": 2}
    out = call_on("add", {"a": a, "b": b}, shapes, plain_rows(9, 0, [3, 8]), a.size)
    assert np.array_equal(out.view(np.float32), (a + b).reshape(-1))


def test_select() -> None:
    x, rows = floats(9, 70), plain_rows(9, 5, [1, 4, 8])
    out = call_on("select", {"x": x}, {"width": 70}, rows, 3 * 70)
    assert np.array_equal(out.view(np.float32).reshape(3, 70), x[rows.logit])


def test_combine() -> None:
    e, mix = floats(5 * 3, 70), floats(5, 3, seed=2)
    shapes = {"width": 70, "top_k": 3, **T}
    out = call_on("combine", {"e": e, "weights": mix}, shapes, plain_rows(5), 5 * 70)
    assert nmse(out.view(np.float32).reshape(5, 70), reference_op.call("combine", None, e, mix)) < 1e-13


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_embed_in_parts(kind: TensorType) -> None:
    """Rows of a table in two bindings; what a block holds is any pattern of bits."""
    n, width, split = 24, 512, 10
    w = weights(kind, n, width, np.random.default_rng(3))
    table = dequantize(w.reshape(-1), kind, (n, width))
    rows = plain_rows(n)
    calls = [
        (Call("embed", {"out": 0, "width": width, "table_type": int(kind), "first": first, "count": count}),
         (planes(kind, w[first : first + count], width),))
        for first, count in ((0, split), (split, n - split))
    ]  # fmt: skip
    arena = np.zeros(n * width, np.uint32)
    found = run_all(calls, Buffers(arena, step_state(PLAN, rows))).floats(0, n, width)
    assert nmse(found, table) < 1e-13
