"""Rings: nothing lost, nothing torn, from Python, between threads under ThreadSanitizer, and killed at every store."""

from __future__ import annotations

import json
import mmap
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ostinato._rings import Broadcast, BroadcastReader, Ring, load_word, store_word
from tests.programs import NATIVE, SANITIZERS, compiled, compiler, emit_tables, runs_well

WORDS = 5


def memory(size: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, size), dtype=np.uint8)


def records(first: int, count: int) -> np.ndarray:
    return (np.arange(first, first + count)[:, None] * 10 + np.arange(WORDS)).astype(np.int32)


def pop(ring: Ring, count: int) -> np.ndarray:
    out = np.full((count, WORDS), -1, np.int32)
    return out[: ring.pop_many(out)]


def test_push_takes_what_fits_and_pop_keeps_the_order() -> None:
    shared = memory(Ring.bytes(8, WORDS))
    producer, consumer = Ring(shared, 8, WORDS), Ring(shared, 8, WORDS)
    assert producer.push_many(records(0, 20)) == 8
    assert producer.push_many(records(8, 1)) == 0
    assert len(consumer) == 8
    assert (pop(consumer, 3) == records(0, 3)).all()
    assert producer.push_many(records(8, 12)) == 3, "around the end"
    assert (pop(consumer, 100) == records(3, 8)).all()
    assert len(pop(consumer, 1)) == 0


@pytest.mark.parametrize(("slots", "words"), [(0, 1), (3, 1), (8, 0), (-8, 1), (2**40, 1), (8, 5000)])
def test_bad_geometry_is_refused(slots: int, words: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Ring.bytes(slots, words)


def test_wrong_memory_and_records_are_refused() -> None:
    shared = memory(Ring.bytes(8, WORDS))
    with pytest.raises(ValueError, match="expected"):
        Ring(shared[:-1], 8, WORDS)
    with pytest.raises(ValueError, match="64-byte aligned"):
        Ring(memory(4096)[4:], 8, WORDS)
    ring = Ring(shared, 8, WORDS)
    with pytest.raises(ValueError, match="4 words"):
        ring.push_many(np.zeros((1, 4), np.int32))
    with pytest.raises(TypeError):
        ring.pop_many(np.zeros((1, WORDS), np.int64))  # type: ignore[arg-type]


def test_a_scribbled_ring_says_so() -> None:
    shared = memory(Ring.bytes(8, WORDS))
    ring = Ring(shared, 8, WORDS)
    shared.view(np.uint64)[0] = 9  # nine records in eight slots
    with pytest.raises(RuntimeError, match="corrupt"):
        pop(ring, 8)
    with pytest.raises(RuntimeError, match="corrupt"):
        ring.push_many(records(0, 1))


def test_broadcast_tells_readers_what_they_lost() -> None:
    shared = memory(Broadcast.bytes(8, WORDS))
    writer = Broadcast(shared, 8, WORDS)
    writer.write_many(records(0, 3))
    reader = BroadcastReader(shared, 8, WORDS)
    out = np.empty((100, WORDS), np.int32)
    assert reader.read_many(out) == (0, 0), "a reader starts with what comes next"
    writer.write_many(records(3, 5))
    assert reader.read_many(out) == (5, 0)
    assert (out[:5] == records(3, 5)).all()
    writer.write_many(records(8, 20))
    assert reader.read_many(out) == (4, 16), "it takes up at the newer half"
    assert (out[:4] == records(24, 4)).all()


def build(folder: Path, source: str, *flags: str) -> Path:
    """Compiles a program of native/rings/tests."""
    warnings = ("-std=c++20", "-Wall", "-Wextra", "-Werror")
    includes = ("-I", emit_tables(folder), "-I", NATIVE)
    command = [compiler(), *warnings, *flags, *includes, NATIVE / "rings" / "tests" / source]
    return compiled(command, folder / Path(source).stem)


@pytest.mark.parametrize("flags", [("-O2",), ("-O1", "-g", *SANITIZERS["thread"])], ids=["plain", "thread-sanitizer"])
def test_threads_over_one_mapping(tmp_path: Path, flags: tuple[str, ...]) -> None:
    runs_well(build(tmp_path, "threads.cpp", "-pthread", *flags))


def test_writers_killed_after_every_store(tmp_path: Path) -> None:
    program = build(tmp_path, "kills.cpp", "-O1", "-DOSTINATO_AFTER_STORE=after_store")
    done = subprocess.run([program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)
    assert points == {
        "ring_push": 4 * WORDS + 1,  # words of four records, head
        "ring_pop": 1,  # tail
        "sequence_commit": 12,  # words of a slot, flip
        "broadcast_write": 2 * (WORDS + 3),  # two records: number, words, number, head
    }


def test_single_words() -> None:
    words = np.zeros(4, np.int32)
    store_word(words, 2, -7)
    assert load_word(words, 2) == -7
    assert words.tolist() == [0, 0, -7, 0]
    for call in (lambda: load_word(words, 4), lambda: store_word(words, 4, 1)):
        with pytest.raises(IndexError):
            call()
