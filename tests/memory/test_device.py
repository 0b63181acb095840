"""Slots in a device's budget: what must be there comes first, every size has its share, and every expert a home."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.memory.budget import BudgetError
from ostinato.memory.device import SLOT_ALIGNMENT, DevicePlan, plan_device

MIB = 1 << 20
AMPLE = 1 << 40


def planned(sizes: list[int], memory: int, other: int = 0, pinned: int = AMPLE) -> DevicePlan:
    return plan_device(sizes, other_bytes=other, device_memory=memory, pinned_memory=pinned)


def test_what_is_left_becomes_slots() -> None:
    made = planned([MIB] * 10, 7 * MIB + 5, other=3 * MIB)
    assert [(own.slot_bytes, own.slots, len(own.parcels)) for own in made.classes] == [(MIB, 4, 10)]
    assert made.pinned_bytes == 10 * MIB
    assert made.nbytes == 7 * MIB
    assert not made.complete


def test_no_slot_at_all_will_do() -> None:
    made = planned([MIB] * 10, 3 * MIB, other=3 * MIB)
    assert made.slots == 0
    assert made.pinned_bytes == 10 * MIB


def test_what_holds_everything_needs_no_home() -> None:
    made = planned([MIB] * 10, 13 * MIB, other=3 * MIB, pinned=0)
    assert made.complete
    assert made.pinned_bytes == 0


def test_every_size_has_the_same_share() -> None:
    made = planned([MIB] * 20 + [2 * MIB] * 20, 30 * MIB)
    assert [(own.slot_bytes, own.slots) for own in made.classes] == [(2 * MIB, 10), (MIB, 10)]
    assert made.class_of == (1,) * 20 + (0,) * 20


def test_too_little_says_what_would_do() -> None:
    with pytest.raises(BudgetError, match=re.escape("must have there takes 3.00 MiB, all of it 13.00 MiB")):
        planned([MIB] * 10, 3 * MIB - 1, other=3 * MIB)


def test_a_home_larger_than_may_be_pinned_says_what_would_do() -> None:
    with pytest.raises(
        BudgetError, match=r"need 10\.00 MiB of pinned memory; 9\.00 MiB may .* or 13\.00 MiB of the dev"
    ):
        planned([MIB] * 10, 12 * MIB, other=3 * MIB, pinned=9 * MIB)


@given(st.lists(st.integers(1, 3000), max_size=40), st.integers(0, 60_000), st.integers(0, 5000))
def test_slots_fit_the_budget_and_their_parcels(sizes: list[int], rest: int, other: int) -> None:
    made = planned(sizes, other + rest, other)
    assert made.nbytes <= other + rest
    assert sorted(parcel for own in made.classes for parcel in own.parcels) == list(range(len(sizes)))
    for own in made.classes:
        assert own.slot_bytes % SLOT_ALIGNMENT == 0
        assert own.slots <= len(own.parcels)
        assert all(sizes[parcel] <= own.slot_bytes for parcel in own.parcels)
        room = own.slots < len(own.parcels) and made.nbytes + own.slot_bytes <= other + rest
        assert not room, "a slot more would have fitted"
