"""Hit rates of cache policies on traces of experts, beside Belady's bound.

    python -m bench.policies [--layers 24 --experts 64 --used 8 --tokens 1500]     synthetic traces
    python -m bench.policies --layers 12 FILE ...                                   recorded ones (bench/expert_use.py)

Each layer ranks its experts at random and draws `used` distinct ones a token, by Zipf's law (weight rank^-skew).
With `repeat`, an expert of the last token is drawn again first with that probability, as neighbouring tokens do in real
models; every `drift` tokens one pair of ranks in a hundred changes places.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostinato.memory.simulate import hit_rate
from ostinato.memory.trace import Trace, load_trace, make_trace

LAWS = ((0.0, 0.0, 0), (0.7, 0.0, 8), (0.7, 0.5, 8), (1.0, 0.0, 8), (1.0, 0.5, 8), (1.0, 0.5, 1), (1.3, 0.3, 8))
HALF_LIVES = (2, 4, 8, 16, 32, 64)  # tokens, of LFRU
BUDGETS = (0.5, 0.25, 0.12)  # of all parcels


@dataclass(frozen=True)
class Law:
    """What a synthetic trace is drawn by."""

    layers: int
    experts: int
    used: int
    skew: float
    repeat: float
    drift: int  # tokens; 0: never

    @property
    def weights(self) -> NDArray[np.float64]:
        """Of each rank; their sum is 1."""
        weights = np.arange(1, self.experts + 1, dtype=np.float64) ** -self.skew
        return weights / weights.sum()

    @property
    def entropy(self) -> float:
        """Bits of one draw, of log2(experts)."""
        return float(-(self.weights * np.log2(self.weights)).sum())


def draw(law: Law, tokens: int, seed: int) -> Trace:
    """A step for every token and layer; expert e of layer l is parcel l x experts + e."""
    rng = np.random.default_rng(seed)
    ranks = np.array([rng.permutation(law.experts) for _ in range(law.layers)])
    last: list[list[int]] = [[] for _ in range(law.layers)]
    steps = []
    for token in range(tokens):
        if law.drift and token % law.drift == law.drift - 1:
            _swap(ranks, rng)
        for layer in range(law.layers):
            last[layer] = _used(law, ranks[layer], last[layer], rng)
            steps.append([layer * law.experts + expert for expert in last[layer]])
    return make_trace(steps)


def _used(law: Law, ranks: NDArray[np.int64], last: list[int], rng: np.random.Generator) -> list[int]:
    chosen = [expert for expert in last if rng.random() < law.repeat]
    noise = rng.gumbel(size=law.experts) + np.log(law.weights)  # the largest are a draw without replacement
    order = [int(ranks[i]) for i in np.argsort(-noise)]
    return chosen + [expert for expert in order if expert not in chosen][: law.used - len(chosen)]


def _swap(ranks: NDArray[np.int64], rng: np.random.Generator) -> None:
    for row in ranks:
        for _ in range(max(1, len(row) // 100)):
            a, b = rng.choice(len(row), 2, replace=False)
            row[a], row[b] = row[b], row[a]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="*", type=Path)
    for name, default in (("layers", 24), ("experts", 64), ("used", 8), ("tokens", 1500), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    names = " ".join(f"lfru/{tokens:<2}" for tokens in HALF_LIVES)
    print(f"{'trace':31} budget |    lru    lfu oracle | {names}")
    parcels = args.layers * args.experts
    for path in args.traces:
        _print(path.stem, load_trace(path, parcels), args.layers, parcels)
    for skew, repeat, drift in () if args.traces else LAWS:
        law = Law(args.layers, args.experts, args.used, skew, repeat, drift)
        name = f"skew {skew} repeat {repeat} drift {drift} {law.entropy:.2f} bits"
        _print(name, draw(law, args.tokens, args.seed), args.layers, parcels)


def _print(name: str, trace: Trace, layers: int, parcels: int) -> None:
    for budget in BUDGETS:
        rates = _rates(trace, budget, layers, parcels)
        plain, lives = (" ".join(f"{rate:6.3f}" for rate in part) for part in (rates[:3], rates[3:]))
        print(f"{name:31} {budget:6.0%} | {plain} |  {lives}")


def _rates(trace: Trace, budget: float, layers: int, parcels: int) -> list[float]:
    """Of LRU, LFU, the oracle, and LFRU at each half-life; the first third of the steps warms up."""
    skip = trace.steps // 3
    cache, quotas = [0] * parcels, [int(parcels * budget)]
    plain = [hit_rate(trace, cache, quotas, policy, 1.0, skip=skip) for policy in ("lru", "lfu", "oracle")]
    return plain + [hit_rate(trace, cache, quotas, "lfru", t * layers, skip=skip) for t in HALF_LIVES]


if __name__ == "__main__":
    main()
