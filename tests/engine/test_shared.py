"""The shared mapping: what one side writes the other reads, and a mapping of another shape is refused."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from ostinato.backends.sampling import Sampling
from ostinato.engine.bell import Bell
from ostinato.engine.ports import Link, RingPort, decode_event, encode_events
from ostinato.engine.records_table import COUNTERS, TOKEN, Command, EngineState, FinishReason
from ostinato.engine.request import Request, TokenEvent
from ostinato.engine.shared import MESSAGE_BYTES, PAGE, Shared, SharedError, Sizes

SIZES = Sizes(capacity=5, context=50, blocks_per_sequence=4, kv_bytes=(10_000, 5 << 30))


@pytest.fixture
def shared() -> Shared:
    return Shared.create(SIZES)


def test_both_sides_see_the_same(shared: Shared) -> None:
    other = Shared.attach(shared.fd)
    assert other.sizes == SIZES
    other.check(SIZES)
    record, _ = shared.table.allocate(Request([1, 2], 3, Sampling(seed=9)))  # type: ignore[misc]
    assert other.table.request(record) == Request([1, 2], 3, Sampling(seed=9), [])
    other.kv(0)[9_999] = 7
    other.kv(1)[-1] = 8
    assert (shared.kv(0)[9_999], shared.kv(1)[-1], len(shared.kv(1))) == (7, 8, 5 << 30)
    other.counters = {name: (index + 1) << 40 for index, name in enumerate(COUNTERS)}
    assert shared.counters["rows"] == (COUNTERS.index("rows") + 1) << 40
    other.set_state(EngineState.REFUSED, "because ä")
    assert (shared.state, shared.message) == (EngineState.REFUSED, "because ä")
    other.set_state(EngineState.REFUSED, "x" * 5000)
    assert shared.message == "x" * MESSAGE_BYTES


def test_sections_are_apart_and_aligned() -> None:
    end = 0
    for name, (start, size) in SIZES.sections().items():
        assert start >= end
        assert start % (PAGE if name.startswith("kv") else 64) == 0
        end = start + size
    assert end <= SIZES.total < end + PAGE


def test_a_mapping_takes_memory_only_as_it_is_touched() -> None:
    shared = Shared.create(replace(SIZES, capacity=256, context=131072))
    assert os.fstat(shared.fd).st_blocks * 512 < 4 << 20


@pytest.mark.parametrize(
    ("word", "value", "what"),
    [(0, 1, "magic 0x1"), (1, 99, "version 99"), (2, 6, "its header speaks of"), (5, 9, "9 cache groups")],
)
def test_another_header_is_refused(shared: Shared, word: int, value: int, what: str) -> None:
    os.pwrite(shared.fd, np.int32(value).tobytes(), 4 * word)
    with pytest.raises(SharedError, match=what):
        Shared.attach(shared.fd)


def test_other_sizes_are_refused(shared: Shared) -> None:
    with pytest.raises(SharedError, match="context=51"):
        shared.check(replace(SIZES, context=51))
    os.ftruncate(shared.fd, 8)
    with pytest.raises(SharedError, match="8 bytes"):
        Shared.attach(shared.fd)
    with pytest.raises(SharedError, match="9 cache groups"):
        Shared.create(replace(SIZES, kv_bytes=(1,) * 9))


def test_events_survive_the_ring_to_the_bit() -> None:
    events = [
        TokenEvent(3, 0, 17, FinishReason.NONE, -0.25, tuple((i, -i / 4) for i in range(20))),
        TokenEvent(4, 2**30, -1, FinishReason.FAULT),
    ]
    rows = encode_events(events, lambda record: 100 + record)
    assert rows.shape == (2, len(TOKEN.words))
    assert rows[:, 1].tolist() == [103, 104]
    assert decode_event(rows[0], 3) == events[0]
    assert repr(decode_event(rows[1], 4)) == repr(events[1]), "NaN is not equal to itself"


@pytest.fixture(params=["eventfd", "pipe"])
def bell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bell:
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("this system has no eventfd")
    return Bell.create()


def test_bell_wakes_once_and_notices_the_other_sides_end(bell: Bell) -> None:
    ours, theirs = os.pipe()
    assert bell.wait(ours, 0.0)
    for _ in range(70_000):  # more than a pipe holds
        bell.ring()
    started = time.monotonic()
    assert bell.wait(ours, 10.0)
    assert time.monotonic() - started < 5
    started = time.monotonic()
    assert bell.wait(ours, 0.05), "it was cleared, so this times out"
    assert time.monotonic() - started > 0.04
    threading.Timer(0.05, bell.ring).start()
    assert bell.wait(ours, None)
    threading.Timer(0.05, os.close, [theirs]).start()
    assert not bell.wait(ours, None)
    bell.close()


def test_port_takes_commands_and_waits_for_room(shared: Shared) -> None:
    alive, _theirs = os.pipe()
    link = Link(shared.fd, Bell.create(), Bell.create(), alive)
    assert Link.parse(str(link)) == link
    port = RingPort(Shared.attach(shared.fd), link)
    shared.commands.push_many(np.array([[1, 2, 3], [2, 2, 3]], np.int32))
    assert port.commands() == [(Command.SUBMIT, 2, 3), (Command.CANCEL, 2, 3)]
    assert port.commands() == []
    events = [TokenEvent(0, index, index) for index in range(3 * SIZES.token_slots)]
    publishing = threading.Thread(target=port.publish, args=[events])
    publishing.start()
    got: list[int] = []
    rows = np.empty((7, len(TOKEN.words)), np.int32)
    while len(got) < len(events):
        assert link.tokens.wait(alive, 5.0)
        while count := shared.tokens.pop_many(rows):
            got += rows[:count, 2].tolist()
        if shared.blocked:
            link.commands.ring()
    publishing.join()
    assert got == list(range(len(events)))


def test_a_command_that_came_while_the_port_waited_for_room_is_not_slept_over(shared: Shared) -> None:
    alive, _theirs = os.pipe()
    link = Link(shared.fd, Bell.create(), Bell.create(), alive)
    port = RingPort(Shared.attach(shared.fd), link)
    events = [TokenEvent(0, index, index) for index in range(SIZES.token_slots + 1)]
    publishing = threading.Thread(target=port.publish, args=[events])
    publishing.start()
    while not shared.blocked:
        time.sleep(0.001)
    shared.commands.push_many(np.array([[1, 2, 3]], np.int32))
    shared.tokens.pop_many(np.empty((1, len(TOKEN.words)), np.int32))
    link.commands.ring()
    publishing.join()
    waiting = threading.Thread(target=port.wait, daemon=True)
    waiting.start()
    waiting.join(5.0)
    assert not waiting.is_alive()
    assert port.commands() == [(Command.SUBMIT, 2, 3)]
