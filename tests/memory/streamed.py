"""The built-in model with a store that holds a part of its experts, for tests: small, and on any machine the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ostinato.engine.loading import Opened, Options, open_model
from ostinato.memory.budget import BLOCK, MemoryPlan
from ostinato.memory.options import ReadMode, Settings, StoreOptions
from ostinato.memory.parcels import streaming_parcels
from ostinato.memory.residency import Residency
from tests.support import BUILTIN

OPTIONS = Options(backend="cpu", context=256, threads=2, max_sequences=4)


@dataclass(frozen=True)
class SlotsOnly(Residency):
    """A budget of the weights alone, whatever else the process holds."""

    def plan(self, working_bytes: int, block: int = BLOCK) -> MemoryPlan:
        return super().plan(-self.held_bytes, block)


@contextmanager
def opened_with(
    part: float,
    store: StoreOptions | None = None,
    options: Options = OPTIONS,
    path: Path = BUILTIN,
    **settings: Any,
) -> Iterator[Opened]:
    """The model, planned with slots for that part of its experts; 0: all resident, no store."""
    opened = open_model(path, options)
    with opened.file:
        if part:
            parcels = streaming_parcels(opened.programs, opened.file)
            budget = parcels.resident_bytes + int(part * parcels.nbytes)
            how = Settings(store or StoreOptions(mode=ReadMode.CACHED), **settings)
            opened = replace(
                opened, plan=replace(opened.plan, residency=SlotsOnly(parcels, budget, 0, opened.file, how))
            )
        yield opened
