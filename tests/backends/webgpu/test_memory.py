"""Buffers: weights lie as planes.py says, blocks of keys and values can be moved, sizes are bounded and named."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import wgpu

from ostinato.backends.contract import CompileError, Plan, StateAction
from ostinato.backends.device.lower import Call
from ostinato.backends.device.planes import to_planes
from ostinato.backends.pools import move_blocks
from ostinato.backends.webgpu.adapter import DEFAULT_LIMITS, Device, best, open_device
from ostinato.backends.webgpu.kv import KVPool
from ostinato.backends.webgpu.memory import Allocator, OutOfMemoryError, Slice
from ostinato.backends.webgpu.weights import upload
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import Rows, resolve
from ostinato.program.ir import CacheGroup
from tests.backends.cases import TYPES, Weights
from tests.backends.webgpu.support import needs_adapter

pytestmark = needs_adapter
GROUP = CacheGroup("full", layers=3, kv_heads=2, key_dim=24, value_dim=40)
PLAN = Plan(blocks=11, block_size=4)


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    opened = open_device(best(), DEFAULT_LIMITS, frozenset())
    yield opened
    opened.handle.destroy()


@pytest.fixture
def allocator(device: Device) -> Iterator[Allocator]:
    made = Allocator(device)
    yield made
    made.close()


def read(device: Device, place: Slice) -> np.ndarray:
    data = device.handle.queue.read_buffer(place.buffer, place.offset, place.size)
    return np.frombuffer(data, dtype=np.uint8)


def test_weights_lie_in_planes(device: Device, allocator: Allocator) -> None:
    weights = Weights(5)
    exprs = [weights.normal(kind.name, (7, 512), kind) for kind in TYPES]
    exprs.append(weights.normal("gain", (40,), TensorType.F32))
    exprs.append(Rows(exprs[0], 2, 5))
    calls = [Call("linear", {}, (expr, None)) for expr in exprs] * 2
    places = upload(allocator, calls, weights.tensors)
    assert list(places) == exprs, "each weight once"
    assert len({place.buffer for place in places.values()}) == 1
    for expr, place in places.items():
        assert place.offset % device.alignment == 0
        wanted = np.concatenate(list(to_planes(resolve(expr, weights.tensors)))).reshape(-1)
        np.testing.assert_array_equal(read(device, place), wanted)


def test_weights_fill_several_buffers(allocator: Allocator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.backends.webgpu.weights._SHARED_BUFFER", 3000)
    weights = Weights(5)
    exprs = [weights.normal(str(i), (1, 256), TensorType.F32) for i in range(5)]
    places = upload(allocator, [Call("linear", {}, (expr,)) for expr in exprs], weights.tensors)
    assert [place.offset for place in places.values()] == [0, 1024, 0, 1024, 0]
    assert len({place.buffer for place in places.values()}) == 3


def test_blocks_move_as_in_a_pool(allocator: Allocator) -> None:
    pool = KVPool(allocator, GROUP, PLAN)
    assert len(pool.layers) == 3
    twin = np.random.default_rng(0).integers(0, 256, (PLAN.blocks, PLAN.cache_bytes(GROUP) // PLAN.blocks), np.uint8)
    everything = range(PLAN.blocks)
    pool.move(StateAction.RESTORE, everything, (), twin.tobytes())
    for blocks, to in (((2, 9), (0, 1)), ((0, 1, 2), (1, 2, 3)), ((), ())):
        pool.move(StateAction.COPY, blocks, to, b"")
        move_blocks(twin, StateAction.COPY, blocks, to, b"")
    assert pool.move(StateAction.SPILL, everything, (), b"") == twin.tobytes()
    assert pool.move(StateAction.SPILL, (10, 3), (), b"") == twin[[10, 3]].tobytes()
    with pytest.raises(ValueError, match="5 bytes for 1 blocks"):
        pool.move(StateAction.RESTORE, (1,), (), b"12345")


def test_a_layer_lies_as_shaders_read_it(device: Device, allocator: Allocator) -> None:
    """Blocks of one layer, one after the other."""
    pool = KVPool(allocator, GROUP, PLAN)
    size = PLAN.cache_bytes(GROUP) // PLAN.blocks // GROUP.layers
    pool.move(StateAction.RESTORE, [4], (), b"".join(bytes([layer + 1]) * size for layer in range(GROUP.layers)))
    for number, layer in enumerate(pool.layers):
        blocks = read(device, layer).reshape(PLAN.blocks, size)
        assert (blocks[4] == number + 1).all()
        assert not np.delete(blocks, 4, axis=0).any()


def test_layers_spread_over_buffers(device: Device) -> None:
    """Of 100 MB each: two fit a buffer of 256 MiB."""
    bytes_per_block = 16 * 2 * 1024
    allocator = Allocator(device)
    pool = KVPool(allocator, CacheGroup("big", 3, 4, 128, 128), Plan(blocks=100_000_000 // bytes_per_block))
    assert [layer.buffer for layer in pool.layers].count(pool.layers[0].buffer) == 2
    assert pool.layers[2].buffer is not pool.layers[0].buffer
    allocator.close()


def test_a_layer_that_cannot_be_bound(allocator: Allocator) -> None:
    with pytest.raises(CompileError, match=r"cache 'full' needs .* binds 134\.22 MB: \d+ would fit"):
        KVPool(allocator, GROUP, Plan(blocks=1 << 20, block_size=16))


def test_sizes_are_bounded(allocator: Allocator) -> None:
    with pytest.raises(
        CompileError, match=r"a thing needs 268\.44 MB in one piece, for .*; the adapter binds 134\.22 MB"
    ):
        allocator.whole("a thing", 1 << 28, PLAN)
    with pytest.raises(CompileError, match=r"a thing needs 536\.87 MB; a buffer of the adapter has at most 268\.44 MB"):
        allocator.buffer("a thing", 1 << 29)


def test_many_blocks_are_spilled_in_pieces(allocator: Allocator, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = KVPool(allocator, GROUP, PLAN)
    data = np.random.default_rng(1).bytes(5 * PLAN.cache_bytes(GROUP) // PLAN.blocks)
    pool.move(StateAction.RESTORE, range(1, 6), (), data)
    monkeypatch.setattr("ostinato.backends.webgpu.kv._PIECE", 2 * len(data) // 5)
    assert pool.move(StateAction.SPILL, range(1, 6), (), b"") == data
    assert pool.move(StateAction.SPILL, [], (), b"") == b""


@pytest.mark.parametrize(
    ("action", "blocks", "to", "says"),
    [
        (StateAction.SPILL, [PLAN.blocks], [], f"block {PLAN.blocks}: the plan has {PLAN.blocks}"),
        (StateAction.RESTORE, [-1], [], "block -1: the plan has"),
        (StateAction.COPY, [0], [PLAN.blocks], "the plan has"),
        (StateAction.COPY, [0, 1], [2], "2 blocks for 1"),
    ],
)
def test_blocks_that_are_not_there(
    allocator: Allocator, action: StateAction, blocks: list[int], to: list[int], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        KVPool(allocator, GROUP, PLAN).move(action, blocks, to, b"")


def test_the_end_of_memory_says_how_much_there_was(allocator: Allocator, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, **_: object) -> None:
        raise wgpu.GPUOutOfMemoryError("no more")

    allocator.buffer("first", 4096)
    monkeypatch.setattr(type(allocator.device.handle), "create_buffer", full)
    with pytest.raises(OutOfMemoryError, match="second: no more"):
        allocator.buffer("second", 16)
    assert allocator.allocated == 4096
