"""Experts in device slots: the wanted ones come, moves pay for themselves, and equals do not change places for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ostinato.memory.cost import Line, Sample, fit
from ostinato.memory.device import DevicePlan, plan_device
from ostinato.memory.hot import LOOK_STEPS, MOST_MOVES, MOVES_A_STEP, BusCosts, HotSet, first_parcels
from ostinato.memory.parcels import ExpertStack
from ostinato.memory.profile import Profile, ProfileError
from ostinato.memory.simulate import hit_rate
from ostinato.memory.trace import make_trace

COSTS = BusCosts(Line(10e-6, 25e9))
EXPERT = 1 << 20
LAYERS, EXPERTS = 4, 32
STACKS = tuple(ExpertStack(layer, (), layer * EXPERTS, EXPERTS, ()) for layer in range(LAYERS))


def planned(slots: int, sizes: list[int] | None = None) -> DevicePlan:
    sizes = [EXPERT] * (LAYERS * EXPERTS) if sizes is None else sizes
    return plan_device(sizes, other_bytes=0, device_memory=slots * EXPERT, pinned_memory=1 << 40)


def hot_set(slots: int) -> HotSet:
    made = planned(slots)
    return HotSet(made, COSTS, first_parcels(made, STACKS))


def drawn(tokens: int, skew: float, seed: int = 0, used: int = 4) -> NDArray[np.bool_]:
    """[tokens, parcels]: what each token wants, by Zipf's law over experts in an order of each layer's own."""
    rng = np.random.default_rng(seed)
    weights = np.log(np.arange(1, EXPERTS + 1, dtype=float) ** -skew)
    wanted = np.zeros((tokens, LAYERS * EXPERTS), bool)
    for layer in range(LAYERS):
        scores = rng.gumbel(size=(tokens, EXPERTS)) + rng.permuted(weights)
        chosen = np.argsort(-scores, axis=1)[:, :used] + layer * EXPERTS
        np.put_along_axis(wanted, chosen, True, axis=1)
    return wanted


def served(hot: HotSet, wanted: NDArray[np.bool_], every: int = 1) -> float:
    """The share of reads that met a slot, `every` tokens looked at together."""
    uses = np.zeros(wanted.shape[1], np.uint32)
    for first in range(0, len(wanted), every):
        part = wanted[first : first + every]
        uses += part.sum(axis=0, dtype=np.uint32)
        hot.update(uses, len(part))
        hot.check_integrity()
    assert hot.device_reads + hot.bus_reads == wanted.sum()
    assert hot.bus_bytes == hot.bus_reads * EXPERT
    assert hot.moved_bytes == hot.moves * EXPERT
    return hot.device_reads / int(wanted.sum())


def test_every_layer_has_its_first_experts_at_first() -> None:
    made = planned(8)
    assert first_parcels(made, STACKS) == [0, 1, 32, 33, 64, 65, 96, 97]


def test_a_profile_says_what_is_there_at_first(tmp_path: Path) -> None:
    counts = [[0] * EXPERTS for _ in STACKS]
    counts[2][7], counts[0][9], counts[3][31] = 50, 40, 30
    Profile((0, 1, 2, 3), tuple(map(tuple, counts))).save(tmp_path / "hot.json")
    made = planned(4)
    assert first_parcels(made, STACKS, str(tmp_path / "hot.json")) == [0, 9, 64 + 7, 96 + 31], "then the first ones"
    with pytest.raises(ProfileError, match="of another model"):
        first_parcels(made, STACKS[:2], str(tmp_path / "hot.json"))


def test_what_is_wanted_comes_and_stays() -> None:
    hot, uses = hot_set(8), np.zeros(LAYERS * EXPERTS, np.uint32)
    wanted = [5, 6, 40, 41, 70, 71, 100, 101]
    for _ in range(64):
        uses[wanted] += 1
        hot.update(uses, 1)
    assert hot.resident == wanted
    assert hot.moves == 8


def test_equals_do_not_change_places_for_ever() -> None:
    """Twice as many experts as slots, wanted in turn: whoever is there stays there."""
    hot, uses = hot_set(16), np.zeros(LAYERS * EXPERTS, np.uint32)
    moves = []
    for step in range(1000):
        uses[16 * (step % 2) : 16 * (step % 2) + 16] += 1
        moves.append(len(hot.update(uses, 1)))
    assert sum(moves[100:]) == 0


def test_chance_moves_little() -> None:
    """Experts wanted alike look unequal by chance; what is moved for it is little beside what is read."""
    rng = np.random.default_rng(1)
    hot, uses = hot_set(16), np.zeros(LAYERS * EXPERTS, np.uint32)
    for _ in range(4000):
        uses[:32] += (rng.random(32) < 0.5).astype(np.uint32)
        hot.update(uses, 1)
    assert hot.moved_bytes < 0.03 * hot.bus_bytes


def test_a_look_moves_no_more_than_the_bus_should_carry() -> None:
    hot, uses = hot_set(64), np.zeros(LAYERS * EXPERTS, np.uint32)
    uses[hot.resident] = 0
    outsiders = [parcel for parcel in range(LAYERS * EXPERTS) if parcel not in hot.resident]
    uses[outsiders] = 10
    assert hot.update(uses, LOOK_STEPS - 1) == []
    assert len(hot.update(uses, 1)) == MOVES_A_STEP * LOOK_STEPS
    uses[outsiders] += 1000
    assert len(hot.update(uses, 1000)) == MOST_MOVES


def test_rows_of_one_step_are_one_read() -> None:
    """A prompt that sends 500 rows through an expert once does not make it hotter than what every token wants."""
    hot, uses = hot_set(4), np.zeros(LAYERS * EXPERTS, np.uint32)
    for _ in range(40):
        uses[[8, 40, 72, 104]] += 1
        hot.update(uses, 1)
    there = hot.resident
    uses[20] += 500
    hot.update(uses, LOOK_STEPS)
    assert hot.resident == there == [8, 40, 72, 104]


def test_counters_wrap() -> None:
    uses = np.full(LAYERS * EXPERTS, 2**32 - 3, np.uint32)
    hot = hot_set(4)
    hot.update(uses, LOOK_STEPS)  # all were wanted alike
    uses[50:51] += np.uint32(40)
    hot.update(uses, 40)
    assert 50 in hot.resident


def test_a_slow_start_of_copies_makes_small_experts_stay() -> None:
    """A copy that takes a hundred reads' time is not made for thirty reads."""
    made = planned(4)
    dear = HotSet(made, BusCosts(Line(100 * EXPERT / 25e9, 25e9)), first_parcels(made, STACKS))
    uses = np.zeros(LAYERS * EXPERTS, np.uint32)
    uses[60] = 30
    assert dear.update(uses, 30) == []


def test_sizes_do_not_mix() -> None:
    sizes = [EXPERT, 3 * EXPERT] * (LAYERS * EXPERTS // 2)
    made = planned(64, sizes)
    hot = HotSet(made, COSTS, first_parcels(made, STACKS))
    uses = np.zeros(len(sizes), np.uint32)
    for _ in range(20):
        uses[-20:] += 1
        for out, into in hot.update(uses, 4):
            assert made.class_of[out] == made.class_of[into]
        hot.check_integrity()
    assert hot.figures()["gpu_parcel_bytes"] <= hot.figures()["gpu_slot_bytes"] == made.slot_bytes


@pytest.mark.parametrize("slots", [16, 32, 64])
@pytest.mark.parametrize("every", [1, 50])
def test_it_serves_more_than_a_cache_that_takes_all_in(slots: int, every: int) -> None:
    """And less than Belady's, who knows what comes (but must take in what is read)."""
    wanted = drawn(1500, 1.0)
    steps = [
        np.flatnonzero(row[layer * 32 : layer * 32 + 32]) + layer * 32 for row in wanted for layer in range(LAYERS)
    ]
    trace, cache = make_trace([list(step) for step in steps]), [0] * (LAYERS * EXPERTS)
    lru, belady = (hit_rate(trace, cache, [slots], policy, 16.0 * LAYERS) for policy in ("lru", "oracle"))
    share = served(hot_set(slots), wanted, every)
    assert lru + 0.03 < share < belady + 0.1


@given(
    st.integers(0, LAYERS * EXPERTS), st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 200)), max_size=20),
)  # fmt: skip
def test_slots_are_always_full_of_their_own_size(slots: int, seed: int, looks: list[tuple[int, int]]) -> None:
    hot, rng = hot_set(slots), np.random.default_rng(seed)
    uses = np.zeros(LAYERS * EXPERTS, np.uint32)
    for steps, most in looks:
        uses += rng.integers(0, most + 1, len(uses), dtype=np.uint32)
        moves = hot.update(uses, steps)
        hot.check_integrity()
        assert len({parcel for move in moves for parcel in move}) == 2 * len(moves), "none moves twice in one look"


def test_a_bus_whose_copies_take_as_long_for_more_bytes() -> None:
    line = fit([Sample(1 << 16, 2e-5), Sample(1 << 22, 1e-5)])
    made = planned(4)
    hot = HotSet(made, BusCosts(line), first_parcels(made, STACKS))
    uses = np.zeros(LAYERS * EXPERTS, np.uint32)
    uses[-1] = LOOK_STEPS
    assert hot.update(uses, LOOK_STEPS) == [], "a copy takes much longer than these reads"
