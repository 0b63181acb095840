"""How fast the weight store reads, and what its bookkeeping costs.

    python -m bench.store MODEL.gguf [--bytes 512M]     experts in random order, by mode, threads and chunk (disk)
    python -m bench.store --steps                       want, release and victims, when everything is in memory

Every reading starts with the file's pages dropped from the page cache.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.cgroup import evict
from ostinato import _memory
from ostinato.gguf.reader import open_gguf
from ostinato.memory.budget import parse_budget, plan
from ostinato.memory.options import PolicyName, ReadMode, StoreOptions
from ostinato.memory.parcels import Parcels, expert_parcels, layer_parcels
from ostinato.memory.store import block_of, open_store
from ostinato.memory.store_table import BLOCK, CHUNK, PREFETCH_IN_FLIGHT
from ostinato.memory.trace import make_trace
from ostinato.model.architectures import read_spec
from ostinato.program.compile import compile_model

SETTINGS = (
    *((ReadMode.DIRECT, threads, CHUNK) for threads in (1, 2, 4, 8)),
    *((ReadMode.DIRECT, 8, chunk) for chunk in (256 << 10, 512 << 10, 2 << 20, 4 << 20)),
    (ReadMode.CACHED, 8, CHUNK),
    (ReadMode.MAPPED, 8, CHUNK),
)


@dataclass(frozen=True)
class Rate:
    """Of one reading."""

    gigabytes: float  # a second
    cpu: float  # seconds of all threads, a gigabyte


def model_parcels(path: Path) -> Parcels:
    """Experts, or the layers of a dense model."""
    with open_gguf(path) as file:
        programs = compile_model(read_spec(file), file.tensors)
        experts = expert_parcels(programs, file)
        return experts if experts.parcels else layer_parcels(programs, file)


def read(path: Path, parcels: Parcels, order: list[int], wanted: int, options: StoreOptions) -> Rate:
    """Wants so many parcels at a time and lets them go at once, with slots for a tenth of them all."""
    made = plan(
        parcels, parcels.resident_bytes + max(parcels.nbytes // 10, 64 << 20), block=block_of([path], mode=options.mode)
    )
    store = open_store(parcels, made, [path], options)
    request = _memory.Request(store)
    evict(path)
    total = sum(parcels.parcels[parcel].nbytes for parcel in order)
    cpu, begin = time.process_time(), time.perf_counter()
    for first in range(0, len(order), wanted):
        request.want(np.array(order[first : first + wanted], np.int32))
        while arrived := request.take():
            for parcel, error in arrived:
                assert error == "", error
                request.release(parcel)
    rate = Rate(total / (time.perf_counter() - begin) / 1e9, (time.process_time() - cpu) / total * 1e9)
    store.close()
    return rate


def measure(path: Path, nbytes: int, rounds: int, wanted: int) -> None:
    parcels = model_parcels(path)
    rng = np.random.default_rng(0)
    each = parcels.nbytes // len(parcels.parcels)
    print(f"{len(parcels.parcels)} parcels of {each / 2**20:.2f} MiB, {wanted} at a time")
    print(f"GB/s of {rounds} rounds (CPU seconds a GB)")
    results: dict[tuple[ReadMode, int, int], list[Rate]] = {setting: [] for setting in SETTINGS}
    for _ in range(rounds):
        for mode, threads, chunk in SETTINGS:
            order = rng.permutation(len(parcels.parcels))[: max(1, nbytes // each)].tolist()
            options = StoreOptions(mode=mode, policy=PolicyName.LRU, threads=threads, chunk=chunk)
            results[mode, threads, chunk].append(read(path, parcels, order, wanted, options))
    for (mode, threads, chunk), rates in results.items():
        listed = " ".join(f"{rate.gigabytes:5.2f}" for rate in rates)
        cpu = statistics.median(rate.cpu for rate in rates)
        print(f"{mode.value:7} {threads} threads {chunk >> 10:5} KiB: {listed}  ({cpu:.3f})")


class Zeros(_memory.Source):
    """A file that needs no reading."""

    def size(self) -> int:
        return 1 << 30

    def block(self) -> int:
        return BLOCK

    def read(self, offset: int, to: np.ndarray) -> None:
        return


def steps(layers: int = 48, experts: int = 128, used: int = 8, tokens: int = 200) -> None:
    """Microseconds of want and release of a layer's experts, Python's part included, all of them hits."""
    rng = np.random.default_rng(0)
    for policy in ("lru", "lfu", "lfru"):
        store = _full_store(policy, layers, experts)
        request = _memory.Request(store)
        wanted = [
            index * experts + rng.choice(experts, used, replace=False).astype(np.int32) for index in range(layers)
        ]
        begin = time.perf_counter()
        for _ in range(tokens):
            for parcels in wanted:
                request.want(parcels)
                request.take()
                request.clear()
        spent = (time.perf_counter() - begin) / (tokens * layers)
        print(f"{policy}: {spent * 1e6:.1f} us a layer of {used} experts, {layers * experts} parcels")
        store.close()


def _full_store(policy: str, layers: int, experts: int) -> _memory.Store:
    """With a slot for every expert, and all of them read."""
    count = layers * experts
    extents = np.array([(0, BLOCK * p, BLOCK) for p in range(count)], np.int64)
    layer = np.repeat(np.arange(layers, dtype=np.int32), experts)
    first, none = np.arange(count + 1, dtype=np.int32), np.zeros(count, np.int32)
    catalogue = _memory.Catalogue(extents, first, none, layer, np.zeros(0, np.uint32))
    store = _memory.Store(
        catalogue, [(Zeros(), None)], [(BLOCK, count)], [(0, count)], count * BLOCK, policy, 4.0 * layers,
        make_trace([]).arrays, False, 4, CHUNK, PREFETCH_IN_FLIGHT,
    )  # fmt: skip
    request = _memory.Request(store)
    for start in range(0, count, experts):
        request.want(np.arange(start, start + experts, dtype=np.int32))
        while request.take():
            pass
        request.clear()
    return store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--bytes", default="512M", help="to be read in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wanted", type=int, default=8, help="parcels at a time")
    parser.add_argument("--steps", action="store_true")
    args = parser.parse_args()
    if args.steps:
        steps()
    if args.model:
        measure(args.model, parse_budget(args.bytes, args.model.stat().st_size), args.rounds, args.wanted)


if __name__ == "__main__":
    main()
