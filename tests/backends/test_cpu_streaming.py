"""Weights that stream change no number: any budget, policy and prefetcher, experts and dense layers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from ostinato._memory import READING
from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.cpu import CpuBackend
from ostinato.backends.cpu.executable import CpuExecutable
from ostinato.backends.sampling import Sampling
from ostinato.engine.loading import Opened, open_model
from ostinato.memory import store as memory_store
from ostinato.memory.budget import BLOCK, MemoryPlan, plan
from ostinato.memory.options import PolicyName, Prefetch, Settings, StoreOptions
from ostinato.memory.parcels import expert_parcels, streaming_parcels
from ostinato.memory.residency import Residency
from ostinato.memory.statistics import Statistics, statistics
from ostinato.program.ir import Programs
from tests.memory.worlds import ScriptedSource
from tests.passes.programs import PROMPT, logits
from tools.tiny_models import write_tiny_model

LAYERS = 5


class Sliced(Residency):
    """A budget of weights alone: so many bytes of slots, whatever the process takes beside them."""

    def plan(self, working_bytes: int, block: int = BLOCK) -> MemoryPlan:
        return plan(self.parcels, self.parcels.resident_bytes + self.budget, block=block)


class Watched(CpuBackend):
    """Keeps what the store had counted when the executable was closed."""

    counted: Statistics | None = None

    def compile(self, programs: Programs, *rest):  # type: ignore[no-untyped-def]
        executable = super().compile(programs, *rest)
        close = executable.close

        def closing() -> None:
            if executable.store is not None:
                executable.store.native.check_integrity()
                self.counted = statistics(executable.store.native)
            close()

        cast(CpuExecutable, executable).close = closing  # type: ignore[method-assign]
        return executable


@pytest.fixture(scope="module", params=["experts Q4_K", "dense Q4_K_M", "dense F32"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    kind, type = str(request.param).split()
    path = tmp_path_factory.mktemp("streaming") / "model.gguf"
    write_tiny_model(path, moe=kind == "experts", type=type, layers=LAYERS)
    model = open_model(path)
    yield model
    model.file.close()


@pytest.fixture(scope="module")
def resident(opened: Opened) -> np.ndarray:
    return logits(CpuBackend(), opened, opened.programs)


def with_store(opened: Opened, share: float, settings: Settings) -> Opened:
    parcels = streaming_parcels(opened.programs, opened.file)
    residency = Sliced(parcels, int(share * parcels.nbytes), 0, opened.file, settings)
    return replace(opened, plan=replace(opened.plan, residency=residency))


@pytest.mark.parametrize("policy", [PolicyName.LRU, PolicyName.LFRU])
@pytest.mark.parametrize("prefetch", Prefetch)
@pytest.mark.parametrize("share", [0.45, 0.8])
def test_numbers_are_those_of_resident_weights(
    opened: Opened, resident: np.ndarray, share: float, prefetch: Prefetch, policy: PolicyName
) -> None:
    backend, settings = Watched(), Settings(StoreOptions(policy=policy), prefetch)
    streamed = logits(backend, with_store(opened, share, settings), opened.programs)
    np.testing.assert_array_equal(streamed, resident)
    assert backend.counted is not None
    assert backend.counted.bytes_read > 0
    dense = not expert_parcels(opened.programs, opened.file).parcels
    assert (backend.counted.counts["hinted"] > 0) == (dense or prefetch is not Prefetch.NONE)


@pytest.mark.parametrize("prefetch", Prefetch)
def test_no_layer_is_without_hints(opened: Opened, prefetch: Prefetch) -> None:
    """Before the first mixture is its layer's attention; dense layers come in turn and need no hints."""
    plan = with_store(opened, 0.45, Settings(prefetch=prefetch)).plan
    executable = CpuBackend().compile(opened.programs, opened.file.tensors, plan)
    assert executable.store is not None
    assert executable.store.unforeseen == ()
    executable.close()


def test_a_budget_for_all_streams_nothing(opened: Opened, resident: np.ndarray) -> None:
    backend = Watched()
    whole = with_store(opened, 1.5, Settings(prefetch=Prefetch.GATE))
    np.testing.assert_array_equal(logits(backend, whole, opened.programs), resident)
    assert backend.counted is None


def test_a_layer_that_cannot_be_read_fails_the_step_alone(
    opened: Opened, resident: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedSource(np.fromfile(opened.path, np.uint8))
    monkeypatch.setattr(memory_store, "_source", lambda path, mode: source)
    streamed = with_store(opened, 0.45, Settings(prefetch=Prefetch.GATE))
    residency = streamed.plan.residency
    assert residency is not None
    executable = CpuBackend().compile(opened.programs, opened.file.tensors, streamed.plan)
    assert executable.store is not None
    batch = whole_prompt(opened)
    offsets = {extent.offset for parcel in residency.parcels.parcels[2:] for extent in parcel.extents}
    for broken in (offsets, set[int](), offsets, set[int]()):
        source.broken = broken
        executable.submit(batch)
        result = executable.collect()
        assert bool(result.faults) == bool(broken)
        while broken and (executable.store.native.states() == READING).any():  # for a hint: to fail before it is wanted
            time.sleep(0.001)
        if not broken:
            np.testing.assert_array_equal(result.outputs["logits"], resident[: len(PROMPT)])
    executable.close()


def test_a_store_that_was_closed_fails_the_step_alone(opened: Opened) -> None:
    streamed = with_store(opened, 0.45, Settings(prefetch=Prefetch.GATE))
    executable = CpuBackend().compile(opened.programs, opened.file.tensors, streamed.plan)
    assert executable.store is not None
    executable.store.native.close()
    executable.submit(whole_prompt(opened))
    assert executable.collect().faults == {0: "the store is closed"}
    executable.close()


def whole_prompt(opened: Opened) -> Batch:
    """All rows at once, with logits."""
    blocks = range(opened.plan.blocks_per_sequence)
    return Batch([Span(0, Kind.PROMPT, 0, list(PROMPT), logit_rows=len(PROMPT))],
                 [Enter(0, len(PROMPT), Sampling())], [TableEdit(0, 0, 0, blocks)], want_logits=True)  # fmt: skip
