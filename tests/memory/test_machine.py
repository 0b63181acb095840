"""Whatever is wanted, hinted, released, resized, kept and broken, in any order: the store keeps its promises."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from ostinato import _memory
from tests.memory.worlds import BLOCK, ScriptedSource, held_bytes, ints, world

PARCELS, SLOTS, LAYERS = 12, 5, 3
WORLD = world(PARCELS, LAYERS, seed=8, largest=2 * BLOCK)
RESIDENT = 3
some = st.lists(st.integers(0, PARCELS - 1), min_size=1, max_size=7, unique=True)


class StoreMachine(RuleBasedStateMachine):
    """A model of what requests hold and wait for, beside a store of two caches whose source may fail."""

    requests = Bundle("requests")
    policy = "lfru"

    def __init__(self) -> None:
        super().__init__()
        self.source = ScriptedSource(WORLD.data)
        w = world(PARCELS, LAYERS, seed=8, largest=2 * BLOCK)
        w.cache = [p % 2 for p in range(PARCELS)]
        self.budget = SLOTS * w.slot_bytes
        self.store = w.store(
            self.source, SLOTS, caches=[(0, 3), (0, 2)], policy=self.policy, chunk=BLOCK, threads=3, half_life=4.0
        )
        self.held: dict[int, set[int]] = {}
        self.missing: dict[int, set[int]] = {}

    def teardown(self) -> None:
        self.store.close()
        self.store.check_integrity()

    @rule(target=requests)
    def open(self) -> _memory.Request:
        request = _memory.Request(self.store)
        self.held[id(request)], self.missing[id(request)] = set(), set()
        return request

    @rule(request=requests, parcels=some)
    def want(self, request: _memory.Request, parcels: list[int]) -> None:
        parcels = [p for p in parcels if p not in self.held[id(request)] | self.missing[id(request)]]
        request.want(ints(parcels))
        self.missing[id(request)] |= set(parcels)

    @rule(request=requests)
    def poll(self, request: _memory.Request) -> None:
        self.arrived(request, request.poll())

    @rule(request=requests)
    def take(self, request: _memory.Request) -> None:
        """Waits only where nobody's pins stand in the way (what arrived for another is pinned, too)."""
        others = [self.missing[key] for key in self.missing if key != id(request)]
        if not any(self.held.values()) and not any(others):
            self.arrived(request, request.take())

    def arrived(self, request: _memory.Request, arrivals: list[tuple[int, str]]) -> None:
        for parcel, error in arrivals:
            self.missing[id(request)].remove(parcel)
            assert error == "" or error.startswith("planted fault")
            if not error:
                self.held[id(request)].add(parcel)

    @rule(request=requests, parcels=some)  # what is drawn must not depend on what happens to have arrived
    def release(self, request: _memory.Request, parcels: list[int]) -> None:
        held = self.held[id(request)]
        for parcel in held & set(parcels):
            request.release(parcel)
        held -= set(parcels)

    @rule(request=consumes(requests))
    def drop(self, request: _memory.Request) -> None:
        request.clear()
        del self.held[id(request)], self.missing[id(request)]

    @rule(parcels=some)
    def hint(self, parcels: list[int]) -> None:
        self.store.hint(ints(parcels))

    @rule(parcels=st.sampled_from([[], [0], [1], [0, 1], [2, 4]]))
    def keep(self, parcels: list[int]) -> None:
        try:
            self.store.keep(ints(parcels))
        except ValueError as error:
            self.check_reason(error, "cannot keep")

    @rule(quotas=st.sampled_from([(3, 2), (1, 1), (1, 2), (2, 3), (4, 1)]))
    def resize(self, quotas: tuple[int, int]) -> None:
        try:
            self.store.resize(0, sum(quotas), quotas)
        except ValueError as error:
            self.check_reason(error, "few slots")  # others are kept

    def check_reason(self, error: ValueError, expected: str) -> None:
        assert expected in str(error)

    @rule(parcels=st.sets(st.integers(0, PARCELS - 1), max_size=2))
    def break_file(self, parcels: set[int]) -> None:
        self.source.broken = {WORLD.extents[parcel][0][0] for parcel in parcels}

    @invariant()
    def sound(self) -> None:
        self.store.check_integrity()
        assert self.store.bytes <= self.budget
        states = self.store.states()
        for held in self.held.values():
            assert all(states[parcel] == RESIDENT for parcel in held)

    @invariant()
    def what_is_held_is_the_file(self) -> None:
        for request in self.live():
            for parcel in self.held[id(request)]:
                assert held_bytes(WORLD, request, parcel) == WORLD.content(parcel)

    def live(self) -> list[_memory.Request]:
        return [r for r in self.names_to_values.values() if isinstance(r, _memory.Request) and id(r) in self.held]


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)


def test_a_long_random_walk_ends_with_everything_readable() -> None:
    rng = np.random.default_rng(0)
    machine = StoreMachine()
    requests: list[_memory.Request] = [machine.open() for _ in range(3)]  # type: ignore[misc]
    for _ in range(500):
        request = requests[rng.integers(3)]
        for parcel in list(machine.held[id(request)]):
            request.release(parcel)
        machine.held[id(request)].clear()
        machine.hint(rng.choice(PARCELS, 2, replace=False).tolist())
        machine.want(request, rng.choice(PARCELS, 4, replace=False).tolist())
        machine.poll(request)
        machine.sound()
    for request in requests:
        request.clear()
    last = _memory.Request(machine.store)
    for parcel in range(PARCELS):
        last.want(ints([parcel]))
        assert last.wait(parcel) == ""
        assert held_bytes(WORLD, last, parcel) == WORLD.content(parcel)
        last.release(parcel)
    machine.teardown()
