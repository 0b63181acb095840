"""What is concluded from the experts that tokens were sent to, on routings whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.memory.heat import LayerHeat, heat_of_routing, stacks_of
from ostinato.memory.parcels import ExpertStack, Parcel, Parcels
from ostinato.memory.routing import Routing, followed, foreseen, joined
from ostinato.memory.simulate import hit_rate, hit_rates_by_layer

EXPERTS = 16


def parcels(layers: int) -> Parcels:
    stacks = tuple(ExpertStack(layer + 1, (), layer * EXPERTS, EXPERTS, ()) for layer in range(layers))
    return Parcels(tuple(Parcel(s.layer, ()) for s in stacks for _ in range(EXPERTS)), 0, stacks)


def routed(*chosen: np.ndarray) -> Routing:
    return Routing(parcels(len(chosen)), tuple(own.astype(np.int32) for own in chosen))


def some(tokens: int, seed: int) -> np.ndarray:
    """Two different experts for each token, all equally likely."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, EXPERTS, tokens)
    return np.stack([first, (first + rng.integers(1, EXPERTS, tokens)) % EXPERTS], axis=1)


def test_a_trace_is_token_by_token() -> None:
    routing = routed(np.array([[3, 1], [0, 2]]), np.array([[5], [6]]))
    assert routing.trace.first.tolist() == [0, 2, 3, 5, 6]
    assert routing.trace.parcels.tolist() == [3, 1, 16 + 5, 0, 2, 16 + 6]
    assert routing.profile.layers == (1, 2)
    assert routing.profile.counts[0][:4] == (1, 1, 1, 1)
    assert routing.profile.counts[1][5:7] == (1, 1)
    assert stacks_of(routing.parcels) == "2 layers of 16 experts"


def test_texts_are_joined() -> None:
    one, two = routed(some(5, 1), some(5, 2)), routed(some(3, 3), some(3, 4))
    both = joined([one, two])
    assert both.tokens == 8
    assert [len(own) for own in both.chosen] == [8, 8]
    assert np.array_equal(both.chosen[1][5:], two.chosen[1])
    assert joined([one]).trace.parcels.tolist() == one.trace.parcels.tolist()


def test_what_follows_is_found_and_what_does_not_is_not() -> None:
    first, other = some(4000, 5), some(4000, 6)
    shifted = (first * 5 + 3) % EXPERTS
    none, sure, chance = followed(routed(first, shifted, other))
    assert none is None
    assert sure == 1.0
    assert chance == pytest.approx(2 / EXPERTS, abs=0.03)
    assert followed(routed(first[:1], other[:1])) == [None, None]


def test_what_is_foreseen() -> None:
    chosen = np.array([[3, 1], [0, 2], [4, 5], [6, 7]], np.int32)
    ahead = np.array([[1, 3], [2, 9], [8, 9], [7, 6]], np.int32)
    one = Routing(parcels(2), (chosen, chosen), (None, ahead))
    assert foreseen(one) == [None, 5 / 8]
    assert foreseen(joined([one, one, one])) == [None, 5 / 8]
    assert foreseen(routed(chosen, chosen)) == [None, None]


def test_heat_of_known_counts() -> None:
    even = LayerHeat(0, (5,) * 16)
    assert (even.entropy, even.top_quarter, even.untouched) == (4.0, 0.25, 0)
    one = LayerHeat(0, (0, 7, 0, 0))
    assert (one.entropy, one.top_quarter, one.untouched) == (0.0, 1.0, 3)
    nothing = LayerHeat(0, (0, 0))
    assert (nothing.entropy, nothing.top_quarter) == (0.0, 0.0)


def test_hit_rates_of_layers_add_up_to_the_whole() -> None:
    skewed = np.minimum(some(3000, 7), some(3000, 8) // 2)
    routing = routed(some(3000, 9), skewed + np.array([0, 8]) * (skewed[:, :1] == skewed[:, 1:]))
    cache = [0] * EXPERTS + [1] * EXPERTS
    rates = hit_rates_by_layer(routing.trace, cache, [4, 4], "lfru", 8.0)
    whole = hit_rate(routing.trace, cache, [4, 4], "lfru", 8.0)
    assert np.mean(rates) == pytest.approx(whole)
    assert rates[1] > rates[0] + 0.2
    heats = heat_of_routing(routing, 4.0)
    assert heats[0].hits[1] == pytest.approx(rates[0])
    assert heats[0].hits[0] > heats[0].hits[1] > heats[0].hits[2]
    assert heats[1].entropy < heats[0].entropy
