"""What goes wrong with files: truncated, changed, unreadable, corrupted; and replicas that serve instead."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ostinato import _memory
from tests.memory.worlds import BLOCK, ScriptedSource, World, counted, held_bytes, ints, world, written

ABSENT, RESIDENT = 0, 3


def wanted(store: _memory.Store, parcel: int) -> tuple[_memory.Request, str]:
    request = _memory.Request(store)
    request.want(ints([parcel]))
    return request, request.wait(parcel)


@pytest.mark.parametrize("mode", ["direct", "cached", "mapped"])
def test_a_file_truncated_underneath(tmp_path: Path, mode: str) -> None:
    w = world(8)
    path = written(w, tmp_path / "f")
    store = w.store(_memory.FileSource(path, mode), slots=3)
    os.truncate(path, len(w.data) - 100)
    for parcel in (0, 7):
        error = wanted(store, parcel)[1]
        assert error.startswith(f"{path}: was truncated from {len(w.data)} to {len(w.data) - 100} bytes")
    store.check_integrity()
    assert counted(store, "failures") == 2


@pytest.mark.parametrize("mode", ["direct", "cached", "mapped"])
def test_a_file_changed_underneath(tmp_path: Path, mode: str) -> None:
    w = world(8)
    path = written(w, tmp_path / "f")
    store = w.store(_memory.FileSource(path, mode), slots=3)
    request, error = wanted(store, 1)
    assert error == ""
    with open(path, "r+b") as file:
        file.write(b"different")
    os.utime(path, ns=(0, 1))  # whatever the clock's grain
    assert "was changed while it was in use" in wanted(store, 2)[1]
    assert held_bytes(w, request, 1) == w.content(1), "what is there already stays"
    store.check_integrity()


def test_a_file_replaced_by_renaming_is_still_the_one_that_was_opened(tmp_path: Path) -> None:
    w = world(8)
    path = written(w, tmp_path / "f")
    store = w.store(_memory.FileSource(path, "direct"), slots=3)
    written(world(8, seed=9), tmp_path / "new")
    os.replace(tmp_path / "new", path)
    request, error = wanted(store, 4)
    assert error == ""
    assert held_bytes(w, request, 4) == w.content(4)


@pytest.mark.parametrize("what", ["folder", "absent", "empty", "pipe"])
def test_what_is_not_a_file_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    if what == "empty":
        path.touch()
    if what == "pipe":
        os.mkfifo(path)
    for mode in ("direct", "cached", "mapped"):
        with pytest.raises(_memory.ReadError, match=str(path)):
            _memory.FileSource(str(path), mode)


def test_an_error_reaches_only_who_wants_the_parcel_and_it_can_be_tried_again() -> None:
    w = world(8)
    source = ScriptedSource(w.data)
    source.broken = {w.extents[3][0][0]}
    store = w.store(source, slots=4, chunk=BLOCK)
    good, bad, also = (_memory.Request(store) for _ in range(3))
    good.want(ints([1, 2]))
    bad.want(ints([0, 3]))
    also.want(ints([3]))
    assert [good.wait(1), good.wait(2), bad.wait(0)] == ["", "", ""]
    assert bad.wait(3) == also.wait(3) == f"planted fault at {w.extents[3][0][0] // BLOCK * BLOCK}"
    assert store.states()[3] == ABSENT
    store.check_integrity()
    source.broken.clear()
    also.want(ints([3]))
    assert also.wait(3) == ""
    assert held_bytes(w, also, 3) == w.content(3)


def test_a_prefetch_that_fails_harms_nobody() -> None:
    w = world(4)
    source = ScriptedSource(w.data)
    source.broken = {w.extents[2][0][0]}
    store = w.store(source, slots=2)
    store.hint(ints([2]))
    while counted(store, "failures") == 0:
        store.check_integrity()
    assert (store.states()[2], counted(store, "wasted")) == (ABSENT, 1)
    assert wanted(store, 0)[1] == "", "it shares no block with the broken one"


def test_a_replica_serves_what_cannot_be_read() -> None:
    w = world(6)
    source, replica = ScriptedSource(w.data), ScriptedSource(w.data)
    source.broken = {w.extents[3][0][0]}
    store = w.store(source, 3, replica, chunk=BLOCK)
    request, error = wanted(store, 3)
    assert error == ""
    assert held_bytes(w, request, 3) == w.content(3)
    assert counted(store, "replica_bytes") == BLOCK, "one chunk"
    replica.broken = source.broken
    request.clear()
    for parcel in (0, 1, 2):
        wanted(store, parcel)[0].clear()
    error = wanted(store, 3)[1]
    assert error.count("planted fault") == 2
    assert "its replica" in error


def test_a_replica_has_the_size_of_its_file(tmp_path: Path) -> None:
    w = world(4)
    with pytest.raises(ValueError, match="replica"):
        w.store(ScriptedSource(w.data), 2, ScriptedSource(w.data[:-1]))


@pytest.fixture
def summed(tmp_path: Path) -> World:
    w = world(12, seed=5, largest=4 * BLOCK)
    files = [(_memory.FileSource(written(w, tmp_path / "f"), "direct"), None)]
    w.checksums = _memory.checksums(w.native(), files)
    return w


def test_checksums_are_crc32c(summed: World) -> None:
    assert _memory.crc32c(np.frombuffer(b"123456789", np.uint8)) == 0xE3069283, "the check value of the standard"
    assert _memory.crc32c(np.zeros(32, np.uint8)) == 0x8A9136AA, "RFC 3720, B.4"
    for parcel, checksum in enumerate(summed.checksums):
        assert _memory.crc32c(np.frombuffer(summed.content(parcel), np.uint8)) == checksum


def test_a_flipped_bit_is_noticed_and_repaired(summed: World) -> None:
    damaged = summed.data.copy()
    offset, size = summed.extents[7][0]
    damaged[offset + size // 2] ^= 4
    alone = summed.store(ScriptedSource(damaged), 4)
    assert wanted(alone, 6)[1] == ""
    at = summed.extents[7][0][0]
    assert wanted(alone, 7)[1] == f"the source: expert 7 of layer 0 at byte {at} does not have its checksum"
    alone.check_integrity()
    repaired = summed.store(ScriptedSource(damaged), 4, ScriptedSource(summed.data))
    request, error = wanted(repaired, 7)
    assert error == ""
    assert held_bytes(summed, request, 7) == summed.content(7)
    both = summed.store(ScriptedSource(damaged), 4, ScriptedSource(damaged))
    assert wanted(both, 7)[1].endswith("nor has the replica's")


def test_bytes_around_a_parcel_do_not_matter_to_its_checksum(summed: World) -> None:
    damaged = summed.data.copy()
    inside = np.zeros(len(damaged), bool)
    for parcel in summed.extents:
        for offset, size in parcel:
            inside[offset : offset + size] = True
    damaged[~inside] ^= 255
    store = summed.store(ScriptedSource(damaged), 12)
    assert [wanted(store, p)[1] for p in range(12)] == [""] * 12


def test_a_source_of_larger_blocks(tmp_path: Path) -> None:
    w = world(6, seed=2)
    source = ScriptedSource(w.data, block=4 * BLOCK)
    slot = 32 * BLOCK
    store = w.store(source, 3, pools=[(slot, 3)], budget=3 * slot, chunk=4 * BLOCK)
    for parcel in range(6):
        request, error = wanted(store, parcel)
        assert error == ""
        assert held_bytes(w, request, parcel) == w.content(parcel)
