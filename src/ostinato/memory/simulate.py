"""What a policy would have hit on a recorded trace; the oracle's rate is the bound of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ostinato import _memory
from ostinato.memory.options import PolicyName
from ostinato.memory.trace import Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POLICIES = tuple(policy.value for policy in PolicyName)
HALF_LIVES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)  # tokens: those that are tried


def hit_rate(
    trace: Trace, cache: Sequence[int], quotas: Sequence[int], policy: str, half_life: float,
    kept: Sequence[int] = (), skip: int = 0,
) -> float:  # fmt: skip
    """The fraction of wanted parcels that were there, from step `skip` on.

    `cache` is the cache of each parcel, `quotas` each cache's slots (MemoryPlan has both), `half_life` is LFRU's, in
    steps; `kept` parcels are there from the start.
    """
    import numpy as np

    hits = _hits(trace, cache, quotas, policy, half_life, kept)
    wanted = np.diff(trace.first)[skip:]
    return float(hits[skip:].sum() / max(1, wanted.sum()))


def hit_rates_by_layer(
    trace: Trace, cache: Sequence[int], quotas: Sequence[int], policy: str, half_life: float
) -> list[float]:
    """The same for each cache, where every step wants parcels of one cache only."""
    import numpy as np

    hits, wanted = _hits(trace, cache, quotas, policy, half_life), np.diff(trace.first)
    some = wanted > 0
    own = np.array(cache)[trace.parcels[trace.first[:-1][some]]]
    there, all_of = (np.bincount(own, values[some], len(quotas)) for values in (hits, wanted))
    return (there / np.maximum(all_of, 1)).tolist()


def _hits(
    trace: Trace, cache: Sequence[int], quotas: Sequence[int], policy: str, half_life: float, kept: Sequence[int] = ()
) -> NDArray[np.int32]:
    """Of every step."""
    import numpy as np

    caches, slots, resident = (np.array(values, np.int32) for values in (cache, quotas, kept))
    return _memory.simulate(trace.arrays, caches, slots, resident, policy, half_life)


def compare(
    trace: Trace, cache: Sequence[int], quotas: Sequence[int], half_life: float, skip: int = 0
) -> Mapping[str, float]:
    """The hit rate of every policy."""
    return {policy: hit_rate(trace, cache, quotas, policy, half_life, skip=skip) for policy in POLICIES}


def best_half_life(trace: Trace, cache: Sequence[int], quotas: Sequence[int], layers: int) -> float:
    """The half-life of LFRU, in tokens, that would have hit most; of equal ones the shortest."""
    rates = {tokens: hit_rate(trace, cache, quotas, "lfru", tokens * layers) for tokens in HALF_LIVES}
    return max(HALF_LIVES, key=lambda tokens: (rates[tokens], -tokens))
