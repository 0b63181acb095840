"""Which weights of a model stream, in how much memory, and how: decided while the model is planned, opened by the
backend that computes with them.

    residency = plan_residency(programs, file, settings, ...)      # Plan.residency
    store = residency.open(working_bytes)                          # WeightStore, or None: the budget holds everything
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.gguf.reader import GGUFFile, open_gguf
from ostinato.memory.budget import BudgetError, MemoryPlan, amount, kept_layers, plan
from ostinato.memory.machine import cgroup_limit, process_bytes
from ostinato.memory.options import Prefetch, ReadMode, Settings, StoreOptions
from ostinato.memory.parcels import Parcels, streaming_parcels
from ostinato.memory.profile import hottest, load_profile
from ostinato.memory.store import block_of, open_store
from ostinato.memory.store_table import BLOCK
from ostinato.program.ir import Programs

if TYPE_CHECKING:
    import numpy as np

    from ostinato import _memory
    from ostinato.passes.foresee import Unforeseen

Identified = tuple[Path, tuple[int, int, int, int]]  # a file, and its device, inode, size and time

ALLOWANCE = 8 << 20  # bytes that a process takes after it was planned: threads, modules, tables, the kernel's for it


@dataclass(frozen=True)
class Residency:
    """A model's parcels and the budget of everything: `held_bytes` are what else than weights takes of it, but for what
    a backend works in. `copies`: the files that the parcels' copies lie in, as they were when these were found."""

    parcels: Parcels
    budget: int
    held_bytes: int
    file: GGUFFile
    settings: Settings
    copies: tuple[Identified, ...] = ()

    def plan(self, working_bytes: int, block: int = BLOCK) -> MemoryPlan:
        """For files whose reads are aligned to `block`. Raises BudgetError."""
        held = self.held_bytes + working_bytes
        return plan(self.parcels, self.budget, other_bytes=held, per_layer=self.settings.per_layer, block=block)

    def open(self, working_bytes: int) -> WeightStore | None:
        """A store with slots in what is left of the budget, or None where everything fits and neither replicas nor
        checksums are to guard reads. Begins to read what is resident. Raises BudgetError, ProfileError,
        ChecksumsError, what `open_store` raises."""
        if self.copies and self._without_copies().plan(working_bytes).complete:
            return self._without_copies().open(working_bytes)  # nothing is ever missed
        kept_of, made = self._kept_of(), self.plan(working_bytes)
        guarded = bool(self.settings.replicas) or self.settings.checksums is not None
        if made.complete and not (guarded and self.parcels.parcels):
            self.file.populate()
            return None
        own = [(part.path, part.file.identity) for part in self.file.parts]
        replicas = self._replicas()
        paths = [path for path, _ in (*own, *self.copies)]
        made = self.plan(working_bytes, block_of(paths, replicas, self.settings.store.mode))
        sums = self._checksums()
        store = open_store(self.parcels, made, paths, self._options(made), replicas=replicas, checksums=sums)
        try:
            _check_files((*own, *self.copies))
            rule = self._miss_rule(store)
            _keep(store, kept_of(made))
        except BaseException:
            store.close()
            raise
        self.file.populate(_runs(self.parcels, len(own)))
        return WeightStore(
            self.parcels, made, store, self.settings.prefetch, kept_of, self.settings.elastic, miss_rule=rule
        )

    def _replicas(self) -> list[Path | None]:
        """Of all files; those that copies lie in have none."""
        replicas = [Path(path) for path in self.settings.replicas]
        return [*replicas, *([None] * len(self.copies))] if replicas else []

    def _without_copies(self) -> Residency:
        return replace(self, parcels=self.parcels.without_copies(), copies=())

    def _miss_rule(self, store: _memory.Store) -> _memory.MissRule | None:
        """When copies are used: before anything else is read, because it is fitted to timed reads."""
        if not self.copies:
            return None
        from ostinato.memory.coarse import miss_rule

        return miss_rule(store, self.parcels, self.settings.coarse_share)

    def _checksums(self) -> np.ndarray | None:
        if self.settings.checksums is None:
            return None
        from ostinato.memory.checksums import load_checksums

        return load_checksums(Path(self.settings.checksums), self.parcels)

    def _options(self, made: MemoryPlan) -> StoreOptions:
        """Layers are wanted in turn, so that what is read ahead is never in vain: as much as there are slots for."""
        store = self.settings.store
        if not self.parcels.dense:
            return store
        return replace(store, prefetch_in_flight=max(store.prefetch_in_flight, 2 * made.pools[0].slot_bytes))

    def _kept_of(self) -> Callable[[MemoryPlan], list[int]]:
        """Parcels that never go: of a dense model's layers, or a profile's hottest experts in half of the slots."""
        if self.settings.profile is None:
            return kept_layers if self.parcels.dense else lambda made: []
        profile = load_profile(Path(self.settings.profile), self.parcels.stacks)  # refuses what has no stacks
        return lambda made: hottest(
            profile, self.parcels.stacks, made.cache, [cache.quota // 2 for cache in made.caches]
        )


@dataclass(frozen=True)
class WeightStore:
    """Parcels, what the budget gave them at first, and the open store that has them. Close it after all who compute
    with it. `kept_of`: the parcels that never go, for any plan; `elastic`: slots may move (memory/elastic.py);
    `unforeseen`: layers whose experts are read without hints, though hints were asked for; `miss_rule`: when copies in
    fewer bits are computed with."""

    parcels: Parcels
    plan: MemoryPlan
    native: _memory.Store
    prefetch: Prefetch
    kept_of: Callable[[MemoryPlan], Sequence[int]]
    elastic: bool
    unforeseen: tuple[Unforeseen, ...] = ()
    miss_rule: _memory.MissRule | None = None

    def close(self) -> None:
        self.native.close()


def plan_residency(
    programs: Programs, file: GGUFFile, settings: Settings, budget: int, state_bytes: int, machine_bytes: int,
    beside_bytes: int = 0,
) -> Residency:  # fmt: skip
    """Experts stream where there are any, else layers. `state_bytes` are of keys and values and the like,
    `beside_bytes` of other processes that share the budget. Raises BudgetError where the budget is more of the model
    than `machine_bytes` or the limit of the process's group hold. One that is too small is refused when it is opened:
    with what a backend works in, so that the least that is named then will do."""
    parcels, copies = _with_copies(streaming_parcels(programs, file), file, settings)
    held = state_bytes + beside_bytes + process_bytes(os.getpid()) + ALLOWANCE
    most = min(machine_bytes, cgroup_limit() or machine_bytes)
    taken = min(budget, held + parcels.resident_bytes + parcels.nbytes)
    if taken // mmap.PAGESIZE > most // mmap.PAGESIZE:  # a group's limit is in whole pages
        raise BudgetError(f"this budget takes {amount(taken)} of memory; there are {amount(most)}: give a smaller one")
    return Residency(parcels, budget, held, file, settings, copies)


def _with_copies(parcels: Parcels, file: GGUFFile, settings: Settings) -> tuple[Parcels, tuple[Identified, ...]]:
    """With those of the file that the settings name, and what its parts are. Raises CoarseError, what `open_gguf`
    raises."""
    if settings.coarse is None:
        return parcels, ()
    from ostinato.memory.coarse import with_copies

    with open_gguf(settings.coarse) as copy:
        copy.sparse()
        return with_copies(parcels, file, copy), tuple((part.path, part.file.identity) for part in copy.parts)


def _check_files(files: Sequence[Identified]) -> None:
    """That the store has opened the files whose headers were read. Raises _memory.ReadError."""
    from ostinato import _memory

    for path, identity in files:
        if _memory.FileSource(str(path), ReadMode.CACHED.value).identity != identity:
            raise _memory.ReadError(f"{path}: was replaced or changed since its header was read; start again")


def _runs(parcels: Parcels, files: int) -> list[list[tuple[int, int]]]:
    """The bytes of every file of the model that lie in parcels, as runs (start, stop) in order and apart."""
    places = sorted({(e.file, e.offset, e.offset + e.nbytes) for parcel in parcels.exact for e in parcel.extents})
    out: list[list[tuple[int, int]]] = [[] for _ in range(files)]
    for number, own in groupby(places, key=lambda place: place[0]):
        runs = out[number]
        for _, start, stop in own:
            if runs and start <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(stop, runs[-1][1]))
            else:
                runs.append((start, stop))
    return out


def _keep(store: _memory.Store, kept: Sequence[int]) -> None:
    import numpy as np

    if kept:
        parcels = np.array(kept, np.int32)
        store.keep(parcels)
        store.hint(parcels)
