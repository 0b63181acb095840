"""The prompt kernels in Triton's interpreter, against float32 products of dequantised weights.

Run with TRITON_INTERPRET=1 where torch and triton are installed (`make gpu-check`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ostinato.backends.contract import Plan
from ostinato.backends.cuda.machine import EXPERT_OPERANDS
from ostinato.backends.cuda.prompt.launches import Addresses, Cubins, Launch, prompt_calls
from ostinato.backends.cuda.prompt.manifest import BLOCK_M, BLOCK_N, FORMATS, KERNELS, MANIFEST, source_hash
from ostinato.backends.device.lower import lower
from ostinato.backends.device.planes import row_bytes, to_planes
from ostinato.gguf.blocks import dequantize, quantize
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import Tensor, WeightExpr, resolve
from tests.backends.cases import CASES, QUANTISED, MemoryTensor, nmse

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
TYPES = [TensorType[name] for name in FORMATS]


@pytest.fixture(scope="module")
def kernels() -> Any:
    if not INTERPRETED:
        pytest.skip("TRITON_INTERPRET is not set: `make gpu-check` runs the prompt kernels in Triton's interpreter")
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("triton", reason="triton is not installed")
    from ostinato.backends.cuda.prompt import linear

    return linear


def weight(kind: TensorType, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random weights as float32 and in planes."""
    values = np.random.default_rng(seed).normal(0, shape[-1] ** -0.5, shape).astype(np.float32)
    packed = quantize(values, kind).reshape(-1)
    view = resolve(Tensor("w"), {"w": MemoryTensor("w", kind, shape, packed)})
    return dequantize(packed, kind, shape), np.concatenate(list(to_planes(view)))


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def run(kernels: Any, name: str, kind: TensorType, grid: tuple[int, int], arguments: Sequence[Any]) -> None:
    import torch

    tensors = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments]
    getattr(kernels, name)[grid](*tensors, kind.name, BLOCK_M, BLOCK_N, True)


def linear(kernels: Any, kind: TensorType, x: np.ndarray, planes: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    rows, k, n = len(x), x.shape[1], len(planes)
    out = np.full((rows + 1, n), np.nan, dtype=np.float32)  # a row behind, which nobody may touch
    arguments = (x, planes, np.zeros(1, np.float32) if bias is None else bias, out, rows, n, k, n,
                 row_bytes(kind, k), int(bias is not None))  # fmt: skip
    run(kernels, "linear", kind, (-(-n // BLOCK_N), -(-rows // BLOCK_M)), arguments)
    assert np.isnan(out[rows]).all()
    return out[:rows]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize(("n", "k", "rows"), [(130, 512, 70), (33, 256, 5), (64, 1024, 64)])
def test_linear(kernels: Any, kind: TensorType, n: int, k: int, rows: int) -> None:
    dense, planes = weight(kind, (n, k), seed=n)
    x, bias = normal(rows, k), normal(n, seed=2)
    found = linear(kernels, kind, x, planes, bias)
    assert nmse(found, x @ dense.T + bias) < QUANTISED
    assert nmse(linear(kernels, kind, x, planes, None), x @ dense.T) < QUANTISED


def test_a_width_that_is_no_multiple_of_a_tile(kernels: Any) -> None:
    dense, planes = weight(TensorType.Q8_0, (40, 96), seed=5)
    x = normal(9, 96)
    assert nmse(linear(kernels, TensorType.Q8_0, x, planes, None), x @ dense.T) < QUANTISED


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_rows_bits_do_not_depend_on_how_many_there_are(kernels: Any, kind: TensorType) -> None:
    _, planes = weight(kind, (70, 512), seed=7)
    x = normal(130, 512)
    together = linear(kernels, kind, x, planes, None)
    for first, last in ((0, 1), (3, 70), (64, 130)):
        alone = linear(kernels, kind, x[first:last].copy(), planes, None)
        assert np.array_equal(alone, together[first:last])


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("gelu", [0, 1], ids=["silu", "gelu"])
def test_experts(kernels: Any, kind: TensorType, gelu: int) -> None:
    experts, top_k, rows, width, hidden = 5, 2, 40, 256, 512
    ids = np.random.default_rng(3).integers(0, experts - 1, (rows, top_k)).astype(np.int32)  # the last one has none
    order = np.argsort(ids.reshape(-1), kind="stable").astype(np.int32)
    offsets = np.zeros(2 * experts + 1, np.int32)
    offsets[1:] = np.cumsum(np.bincount(ids.reshape(-1), minlength=2 * experts))
    stacks = [weight(kind, shape, seed) for seed, shape in enumerate(
        ((experts, hidden, width), (experts, hidden, width), (experts, width, hidden)))]  # fmt: skip
    gate, up, down = (dense for dense, _ in stacks)
    homes, table = scattered([planes for _, planes in stacks], experts)
    x = normal(rows, width)
    inner = np.full((rows * top_k, hidden), np.nan, np.float32)
    out = np.full((rows * top_k, width), np.nan, np.float32)
    tiles = -(-rows * top_k // BLOCK_M) + experts
    for first, count in ((0, 3), (3, 2)):  # as if split over two bindings
        gates, ups, downs = (table[EXPERT_OPERANDS * first + operand :] for operand in range(EXPERT_OPERANDS))
        run(kernels, "experts_in", kind, (-(-hidden // BLOCK_N), tiles),
            (x, order, offsets, gates, ups, inner, experts, first, count, hidden, width, top_k, gelu,
             row_bytes(kind, width)))  # fmt: skip
        run(kernels, "experts_out", kind, (-(-width // BLOCK_N), tiles),
            (inner, order, offsets, downs, out, experts, first, count, width, hidden,
             row_bytes(kind, hidden)))  # fmt: skip
    for a in range(rows * top_k):
        e, row = ids.reshape(-1)[a], x[a // top_k]
        g = gate[e] @ row
        g = 0.5 * g * (1 + np.tanh(np.sqrt(2 / np.pi) * (g + 0.044715 * g**3))) if gelu else g / (1 + np.exp(-g))
        assert nmse(out[a], down[e] @ (g * (up[e] @ row))) < 3 * QUANTISED
    assert len(homes) == EXPERT_OPERANDS * experts


def scattered(stacks: Sequence[np.ndarray], experts: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Every expert's planes on their own, in another order, and int64 addresses of them as kernels take these."""
    parts = {(e, o): part for o, planes in enumerate(stacks) for e, part in enumerate(np.split(planes, experts))}
    homes = {key: aligned_copy(parts[key]) for key in sorted(parts, reverse=True)}
    return list(homes.values()), np.array([homes[key].ctypes.data for key in sorted(homes)], np.int64)


def aligned_copy(values: np.ndarray, alignment: int = 16) -> np.ndarray:
    """As a card's memory is aligned."""
    whole = np.zeros(values.nbytes + alignment, np.uint8)
    start = -whole.ctypes.data % alignment
    out = whole[start : start + values.nbytes].reshape(values.shape)
    out[...] = values
    return out


def test_entries_of_an_expert_are_as_far_apart_as_kernels_take_them(kernels: Any) -> None:
    assert kernels._APART.value == EXPERT_OPERANDS


def test_the_cubins_are_of_these_sources() -> None:
    import json

    assert json.loads(MANIFEST.read_text())["sources"] == source_hash(), "run tools/cubins.py"


def test_architectures() -> None:
    for capability, built in (((8, 0), 80), ((8, 9), 80), ((9, 0), 90), ((10, 3), 100), ((12, 0), 120)):
        cubins = Cubins.for_capability(*capability)
        assert cubins is not None
        assert cubins._architecture == built
        for kernel in (f"{name}_{kind.lower()}" for name in KERNELS for kind in FORMATS):
            assert cubins.image(kernel)[:4] == b"\x7fELF"
            assert Cubins.entry(kernel).encode() in cubins.image(kernel)
            assert cubins.resources(kernel)[1] <= 99 * 1024
    assert Cubins.for_capability(7, 5) is None


def launches(name: str) -> list[tuple[str, Launch]]:
    """Launches of a case with 70 prompt rows; weights lie at 1 GiB x their order of use."""
    programs, tensors = next(case for case in CASES if case.name == name).programs()
    calls = lower(programs.prefill, tensors, Plan(max_rows=128)).calls
    addresses: dict[WeightExpr, int] = {}
    where = Addresses(4096, lambda expr: addresses.setdefault(expr, (1 + len(addresses)) << 30))
    return [(calls[index].phase, call.launch(70, where)) for index, call in prompt_calls(calls).items()]


def test_launch_of_a_linear() -> None:
    [(phase, launch)] = launches("linear Q4_K 130x1024")
    assert (phase, launch.kernel, launch.grid) == ("linear", "linear_q4_k", (3, 2))
    values = dict(zip(KERNELS["linear"], launch.arguments, strict=True))
    assert (values["rows"], values["n"], values["k"], values["stride"]) == (70, 130, 1024, 130)
    assert (values["row_bytes"], values["has_bias"], values["bias"]) == (576, 0, 0)
    assert values["x"] == 4096  # the embedding is the first value of the arena


def test_launches_of_experts() -> None:
    found = launches("experts Q6_K 2/8 SOFTMAX normalise")
    assert [(phase, launch.grid) for phase, launch in found] == [("experts_in", (8, 11)), ("experts_out", (4, 11))]


def test_floats_have_none() -> None:
    assert launches("linear F16 33x256") == []
    assert launches("experts F32 2/8 SOFTMAX normalise") == []
