"""linear, experts_in and experts_out, one by one on the adapter at hand: against native/cpu/sums.md in NumPy.

WGSL lets an adapter round the product in fma, or not: both ways of it are computed, and one must be met to the bit.
"""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pytest

from ostinato.backends.contract import Plan
from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import packed_words
from ostinato.backends.device.planes import FORMATS, to_planes
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation
from ostinato.model.weights import Tensor, resolve
from ostinato.program.ops_table import Axis
from tests.backends.cases import MemoryTensor, nmse
from tests.backends.webgpu.runner import Buffers, plain_rows, run_all, step_state
from tests.backends.webgpu.support import needs_adapter
from tests.gguf.blocks import put_scales, random_blocks, scales
from tests.native import sums
from tests.support import same_bits

pytestmark = needs_adapter

TYPES = tuple(FORMATS)
QUANTISED = tuple(kind for kind in TYPES if FORMATS[kind].group)
# A type for each shape of sums: what is not of one format is asked of these.
SHAPES = (TensorType.F32, TensorType.F16, TensorType.Q8_0, TensorType.Q4_1, TensorType.Q4_K, TensorType.Q6_K)
ROWS = {"axis": int(Axis.T), "factor": 1}
PLAN = Plan(max_rows=128, max_sequences=4, context=256, blocks=8)
POISON = np.float32(-12345.5)
NAME = attrgetter("name")


def weights(kind: TensorType, n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Any codes at all, scales of ordinary size: [n, bytes of a row]."""
    return random_blocks(kind, n * k // kind.block_elements, rng).reshape(n, -1)


def planes(kind: TensorType, w: np.ndarray, k: int, experts: int = 0) -> np.ndarray:
    """Bytes of a weight [n, bytes per row], as a device holds them."""
    shape = (experts, len(w) // experts, k) if experts else (len(w), k)
    tensors = {"w": MemoryTensor("w", kind, shape, np.ascontiguousarray(w).reshape(-1))}
    return np.concatenate(list(to_planes(resolve(Tensor("w"), tensors))))


def pack_call(out: int, x: int, k: int, group: int, factor: int = 1) -> Call:
    return Call("pack", {"out": out, "x": x, "width": k, "group": group, **ROWS, "factor": factor})


def linear(
    kind: TensorType,
    w: np.ndarray,
    x: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    workgroups: int = 3,
    features: frozenset[str] = frozenset({"dot4I8Packed"}),
    parts: tuple[int, ...] = (),
) -> np.ndarray:
    """x [rows, k] times w [n, bytes per row]; in parts of so many weight rows, where they are given."""
    (rows, k), n, group = x.shape, len(w), FORMATS[kind].group
    stride = n + 3
    out = x.size
    packed = out + -(-rows * stride // 4) * 4
    arena = np.full(packed + rows * packed_words(k, group or 32), POISON)
    arena[: x.size] = x.reshape(-1)
    calls = [(pack_call(packed, 0, k, group), ())] if group else []
    first = 0
    for count in parts or (n,):
        words = {"out": out + first, "x": packed if group else 0, "n": count, "k": k, "weight_type": int(kind),
                 "stride": stride, "first": first, "has_bias": int(bias is not None), **ROWS}  # fmt: skip
        calls.append((Call("linear", words), (planes(kind, w[first : first + count], k), bias)))
        first += count
    buffers = Buffers(arena=arena.view(np.uint32), state=step_state(PLAN, plain_rows(rows)))
    found = run_all(calls, buffers, workgroups=workgroups, features=features).floats(out, rows, stride)
    assert np.all(found[:, n:] == POISON)
    return found[:, :n]


def emulated(kind: TensorType, w: np.ndarray, x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What sums.md says, with fma rounded once and twice."""
    fused = sums.emulate(kind, w, x)
    with monkeypatch.context() as patch:
        patch.setattr(sums, "fma", lambda a, b, c: a * b + c)
        return [fused, sums.emulate(kind, w, x)]


def widths(kind: TensorType) -> tuple[int, ...]:
    """One block, part of a sweep, several sweeps; tails of the float lanes."""
    return (4, 172, 1000) if not FORMATS[kind].group else (kind.block_elements, 3 * kind.block_elements, 2304)


@pytest.mark.parametrize("kind", TYPES, ids=NAME)
def test_linear_is_what_sums_md_says(kind: TensorType, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    for k in widths(kind):
        w, x = weights(kind, 37, k, rng), rng.standard_normal((5, k), np.float32)
        found = linear(kind, w, x)
        assert any(same_bits(found, wanted) for wanted in emulated(kind, w, x, monkeypatch)), k


@pytest.mark.parametrize("kind", SHAPES[2:], ids=NAME)
def test_portable_dot_products_are_the_same(kind: TensorType) -> None:
    rng = np.random.default_rng(2)
    w, x = weights(kind, 21, 768, rng), rng.standard_normal((6, 768), np.float32)
    assert same_bits(linear(kind, w, x, features=frozenset()), linear(kind, w, x))


@pytest.mark.parametrize("kind", SHAPES, ids=NAME)
def test_a_row_does_not_see_its_company(kind: TensorType) -> None:
    rng = np.random.default_rng(3)
    k, n = 512, 19
    w, x = weights(kind, n, k, rng), rng.standard_normal((70, k), np.float32)
    bias = rng.standard_normal(n, np.float32)
    together = linear(kind, w, x, bias)
    for workgroups in (1, 16):
        assert same_bits(linear(kind, w, x, bias, workgroups=workgroups), together)
    for row in (0, 3, 31, 32, 69):
        assert same_bits(linear(kind, w, x[row : row + 1], bias), together[row : row + 1])
    assert same_bits(linear(kind, w, x[30:37], bias), together[30:37])
    assert same_bits(linear(kind, w, x, bias, parts=(5, 1, 13)), together)


@pytest.mark.parametrize("kind", QUANTISED, ids=NAME)
def test_extreme_quants_are_exact(kind: TensorType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest sums there are, of both signs."""
    k = 512
    patterns = np.array([0x00, 0x7F, 0x80, 0xFF], np.uint8)
    blocks = np.repeat(patterns, k // kind.block_elements)[:, None].repeat(kind.block_bytes, axis=1)
    put_scales(blocks, kind, np.array([[scales(kind).one]]))
    w = blocks.reshape(len(patterns), -1)
    signs = np.where(np.arange(k) % 3 == 0, 1, -1)
    x = np.stack([np.full(k, 127), np.full(k, -127), 127 * signs]).astype(np.float32)
    found = linear(kind, w, x)
    assert any(same_bits(found, wanted) for wanted in emulated(kind, w, x, monkeypatch))


@pytest.mark.parametrize("kind", SHAPES[2:], ids=NAME)
def test_a_row_without_numbers_has_no_products(kind: TensorType) -> None:
    rng = np.random.default_rng(4)
    w, x = weights(kind, 5, 256, rng), rng.standard_normal((3, 256), np.float32)
    broken = x.copy()
    broken[1, 17] = np.inf
    found = linear(kind, w, broken)
    assert np.isnan(found[1]).all()
    assert same_bits(found[[0, 2]], linear(kind, w, x)[[0, 2]])


def test_scales_below_the_normal_float16_count() -> None:
    rng = np.random.default_rng(5)
    w, x = weights(TensorType.Q8_0, 6, 64, rng), rng.standard_normal((2, 64), np.float32)
    small = w.reshape(6, 2, 34).copy()
    small[..., :2] = np.array([3 * 2.0**-24], "<f2").view(np.uint8)
    large = small.copy()
    large[..., :2] = np.array([3 * 2.0**-4], "<f2").view(np.uint8)
    found, wanted = (linear(TensorType.Q8_0, part.reshape(6, -1), x) for part in (small, large))
    assert same_bits(found, wanted * np.float32(2.0**-20))


# ------------------------------------------------------------------------------------------------------- experts

EXPERTS, TOP_K, TOKENS, PROMPT = 5, 2, 41, 34
HIDDEN = 24


def assignments() -> tuple[np.ndarray, np.ndarray]:
    """order and offsets as `group` makes them: one expert has most rows, one has none."""
    pairs = np.array([(0, 1), (0, 3), (4, 0), (0, 3)])
    ids = pairs[np.arange(TOKENS) % len(pairs)]
    kind = (np.arange(TOKENS) >= PROMPT).astype(np.int32)
    bucket = (ids + EXPERTS * kind[:, None]).reshape(-1)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=2 * EXPERTS))])
    return np.argsort(bucket, kind="stable").astype(np.uint32), offsets.astype(np.uint32)


def run_experts(calls: list[tuple[Call, tuple[np.ndarray, ...]]], x: np.ndarray, out: int, workgroups: int) -> Buffers:
    order, offsets = assignments()
    arena = np.concatenate([order, offsets, np.zeros(512 - len(order) - len(offsets), np.uint32)])
    arena = np.concatenate([arena, x.reshape(-1).view(np.uint32), np.zeros(out, np.uint32)])
    state = step_state(PLAN, plain_rows(TOKENS, PROMPT))
    return run_all(calls, Buffers(arena=arena, state=state), workgroups=workgroups)


def expert_words(k: int, n: int, first: int, count: int) -> dict[str, int]:
    """`order` stands at word 0 of the arena, `offsets` behind it."""
    return {"order": 0, "offsets": TOKENS * TOP_K, "experts": EXPERTS, "first": first, "count": count, "n": n, "k": k,
            "top_k": TOP_K, **ROWS}  # fmt: skip


def experts_out(kind: TensorType, w: np.ndarray, x: np.ndarray, split: int, workgroups: int) -> np.ndarray:
    """x [assignments, k] in sorted order; the weights of the experts below `split` and of the others apart."""
    k, n, group = x.shape[1], len(w) // EXPERTS, FORMATS[kind].group
    packed = 512 + x.size
    out = packed + len(x) * packed_words(k, group or 32)
    calls: list[tuple[Call, tuple[np.ndarray, ...]]] = []
    if group:
        calls.append((pack_call(packed, 512, k, group, TOP_K), ()))
    for first, count in ((0, split), (split, EXPERTS - split)):
        part = planes(kind, w[first * n : (first + count) * n], k, count) if count else np.zeros(16, np.uint8)
        words = {"out": out, "x": packed if group else 512, "down_type": int(kind), **expert_words(k, n, first, count)}
        calls.append((Call("experts_out", words), (part,)))
    size = out - packed + len(x) * n
    return run_experts(calls, x, size, workgroups).floats(out, len(x), n)


@pytest.mark.parametrize("kind", [TensorType.F16, TensorType.Q8_0, TensorType.Q4_K], ids=NAME)
def test_experts_out(kind: TensorType, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    k, n = 256, 21
    w, x = weights(kind, EXPERTS * n, k, rng), rng.standard_normal((TOKENS * TOP_K, k), np.float32)
    order, offsets = assignments()
    options = []
    for every in emulated(kind, w, x, monkeypatch):
        wanted = np.empty((len(x), n), np.float32)
        for bucket in range(2 * EXPERTS):
            rows = slice(offsets[bucket], offsets[bucket + 1])
            e = bucket % EXPERTS
            wanted[order[rows]] = every[rows, e * n : (e + 1) * n]
        options.append(wanted)
    found = experts_out(kind, w, x, EXPERTS, 7)
    assert any(same_bits(found, wanted) for wanted in options)
    assert same_bits(experts_out(kind, w, x, 2, 1), found)


def experts_in(
    kinds: tuple[TensorType, TensorType], ws: tuple[np.ndarray, np.ndarray], x: np.ndarray, split: int, workgroups: int
) -> np.ndarray:
    """x [tokens, k]; hidden values of the assignments in sorted order."""
    k, n = x.shape[1], len(ws[0]) // EXPERTS
    at = 512 + x.size
    places, calls = [], []
    for kind in kinds:
        group = FORMATS[kind].group
        places.append(at if group else 512)
        if group:
            calls.append((pack_call(at, 512, k, group), ()))
            at += TOKENS * packed_words(k, group)
    for first, count in ((0, split), (split, EXPERTS - split)):
        parts = tuple(
            planes(kind, w[first * n : (first + count) * n], k, count) if count else np.zeros(16, np.uint8)
            for kind, w in zip(kinds, ws, strict=True)
        )
        words = {"out": at, "gate_x": places[0], "up_x": places[1], "gate_type": int(kinds[0]),
                 "up_type": int(kinds[1]), "act": int(Activation.SILU), **expert_words(k, n, first, count)}  # fmt: skip
        calls.append((Call("experts_in", words), parts))
    size = at - 512 - x.size + TOKENS * TOP_K * n
    return run_experts(calls, x, size, workgroups).floats(at, TOKENS * TOP_K, n)


@pytest.mark.parametrize(
    "kinds",
    [(TensorType.F32, TensorType.F32), (TensorType.Q4_K, TensorType.F16), (TensorType.Q8_0, TensorType.Q6_K)],
    ids=lambda kinds: " ".join(kind.name for kind in kinds),
)
def test_experts_in(kinds: tuple[TensorType, TensorType]) -> None:
    rng = np.random.default_rng(8)
    k, n = 256, HIDDEN
    ws = tuple(weights(kind, EXPERTS * n, k, rng) for kind in kinds)
    x = rng.standard_normal((TOKENS, k), np.float32)
    order, offsets = assignments()
    expert = np.repeat(np.arange(2 * EXPERTS) % EXPERTS, np.diff(offsets))
    gate, up = (
        sums.emulate(kind, w, x).reshape(TOKENS, EXPERTS, n)[order // TOP_K, expert].astype(np.float64)
        for kind, w in zip(kinds, ws, strict=True)
    )
    found = experts_in(kinds, ws, x, EXPERTS, 7)
    assert nmse(found, gate / (1 + np.exp(-gate)) * up) < 1e-12
    assert same_bits(experts_in(kinds, ws, x, 3, 2), found)
