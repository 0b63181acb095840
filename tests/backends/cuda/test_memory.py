"""Uploads through staging of any size, bytes by name, and blocks on their way to the host and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ostinato.backends.contract import Plan
from ostinato.backends.cuda.blocks import Blocks
from ostinato.backends.cuda.driver import OutOfDeviceMemoryError
from ostinato.backends.cuda.memory import Memory, Upload, aligned
from ostinato.program.ir import CacheGroup
from tests.backends.cuda.host_driver import HostDriver


@pytest.fixture
def driver() -> Iterator[HostDriver]:
    made = HostDriver()
    yield made
    if not made.closed:
        made.close()


@pytest.fixture
def memory(driver: HostDriver) -> Iterator[Memory]:
    made = Memory(driver)
    yield made
    made.close()


def content(memory: Memory, address: int, nbytes: int) -> bytes:
    """Read back through pinned memory, as a result is."""
    place = memory.pin(f"content at {address}", nbytes)
    memory.driver.copy(place.ctypes.data, address, nbytes)
    memory.driver.synchronize()
    return place.tobytes()


@pytest.mark.parametrize("staging", [64, 4096])
@pytest.mark.parametrize("sizes", [(1,), (32,), (33, 31, 0, 200), (5000,), (100,) * 9])
def test_upload(memory: Memory, staging: int, sizes: tuple[int, ...]) -> None:
    """Pieces smaller and larger than half the staging, one after the other."""
    random = np.random.default_rng(1)
    pieces = [random.integers(0, 256, size, dtype=np.uint8) for size in sizes]
    to = memory.allocate("weights", sum(sizes))
    with Upload(memory, staging) as upload:
        upload.pieces(to, iter(pieces))
        words = upload.array("words", np.arange(7, dtype=np.int32))
    assert content(memory, to, sum(sizes)) == b"".join(piece.tobytes() for piece in pieces)
    assert content(memory, words, 28) == np.arange(7, dtype=np.int32).tobytes()
    assert memory.bytes == {"weights": sum(sizes), "words": 28}


def test_an_upload_that_fails_gives_its_staging_back(memory: Memory, driver: HostDriver) -> None:
    def pieces() -> Iterator[np.ndarray]:
        yield np.zeros(10, np.uint8)
        raise OSError("the file ends")

    to = memory.allocate("weights", 100)
    with pytest.raises(OSError, match="the file ends"), Upload(memory, 64) as upload:
        upload.pieces(to, pieces())
    assert not driver.pinned


def test_a_card_that_is_full(driver: HostDriver) -> None:
    driver.memory_bytes = 100
    memory = Memory(driver)
    memory.allocate("some", 60)
    with pytest.raises(OutOfDeviceMemoryError, match="50 bytes"):
        memory.allocate("more", 50)
    assert memory.bytes == {"some": 60}
    memory.close()
    memory.close()
    assert driver.free_bytes() == 100


def test_names_are_used_once(memory: Memory) -> None:
    memory.allocate("some", 1)
    memory.pin("some", 1)
    with pytest.raises(AssertionError):
        memory.allocate("some", 1)
    with pytest.raises(AssertionError):
        memory.pin("some", 1)


def test_pinned_memory_begins_as_zeros(memory: Memory) -> None:
    assert not memory.pin("some", 100).any()
    assert [aligned(n) for n in (0, 1, 256, 257)] == [0, 256, 256, 512]


def test_blocks(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """[layers][blocks][bytes] on the card, block after block on the host; staging for less than all of them."""
    monkeypatch.setattr("ostinato.backends.cuda.blocks.STAGING_BYTES", 1)
    plan = Plan(blocks=6, block_size=4)
    groups = [CacheGroup("full", 3, 2, 8, 4), CacheGroup("window", 1, 1, 8, 8)]
    values = [np.random.default_rng(i).integers(0, 256, plan.cache_bytes(g), np.uint8) for i, g in enumerate(groups)]
    with Upload(memory, 4096) as upload:
        kv = [upload.array(group.name, each) for group, each in zip(groups, values, strict=True)]
    blocks = Blocks(memory, groups, kv, plan)
    wanted = values[0].reshape(3, 6, -1)
    assert blocks.spill(0, [4, 1]) == wanted[:, [4, 1]].transpose(1, 0, 2).tobytes()
    assert blocks.spill(1, [5]) == values[1].reshape(6, -1)[5].tobytes()
    blocks.copy(0, [4, 1], [0, 5])
    assert blocks.spill(0, [0, 5]) == blocks.spill(0, [4, 1])
    blocks.restore(0, [3, 2], blocks.spill(0, [1, 1]))
    assert blocks.spill(0, [2, 3, 4]) == wanted[:, [1, 1, 4]].transpose(1, 0, 2).tobytes()
    assert blocks.spill(0, []) == b""
    with pytest.raises(ValueError, match="3 bytes for 1 blocks"):
        blocks.restore(0, [0], b"abc")
