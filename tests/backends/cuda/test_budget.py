"""`--gpu-memory` from the option to the counters, on kernels compiled for the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostinato.backends.contract import CompileError
from ostinato.backends.cuda.image import MAX_STEPS
from ostinato.backends.cuda.memory import STAGING_BYTES
from ostinato.backends.device.budget import make_budget
from ostinato.backends.device.experts import plan_experts
from ostinato.backends.device.lower import lower
from ostinato.backends.sampling import Sampling
from ostinato.backends.slotted import hot_set
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.engine.local import local_engine
from ostinato.engine.request import Request
from ostinato.memory.budget import BudgetError
from ostinato.memory.device import UPLOAD_BYTES
from ostinato.memory.profile import Profile
from tests.backends.cuda.host_driver import HostCuda
from tools.tiny_models import write_tiny_model

LAYERS, EXPERTS, USED = 4, 8, 2
OPTIONS = Options(backend="cuda", context=64, max_sequences=2, max_rows=32, blocks=8)
PROMPT = tuple(range(3, 12))
TOKENS = 24


@pytest.fixture(scope="module")
def path(host_cuda: HostCuda, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_model(path, moe=True, type="Q4_K_M", layers=LAYERS)
    return path


@pytest.fixture(scope="module")
def sizes(path: Path) -> tuple[int, int]:
    """Bytes of everything, and of the experts among them."""
    with opened_with(path, OPTIONS) as opened:
        tensors, programs = opened.file.tensors, opened.programs
        whole = make_budget(
            programs, [lower(p, tensors, opened.plan) for p in programs], tensors, opened.plan, MAX_STEPS
        )
        plan = replace(opened.plan, device_memory=whole.total - 1, pinned_memory=1 << 40)
        experts = plan_experts("cuda", programs, tensors, whole, plan, whole.total)
        assert experts is not None
        return whole.total, experts.plan.pinned_bytes


@contextmanager
def opened_with(path: Path, options: Options) -> Iterator[Opened]:
    opened = open_model(path, options)
    with opened.file:
        yield opened


def answer(path: Path, options: Options) -> tuple[list[int], dict[str, int]]:
    """Greedy tokens of one sequence, and the engine's counters behind them."""
    with opened_with(path, options) as opened:
        executable = opened.compile()
        try:
            engine, port = local_engine(opened, executable, 2)
            stream = port.submit(Request(PROMPT, TOKENS, Sampling(temperature=0.0)))
            assert stream is not None
            while engine.step():
                pass
            return [event.token for event in stream.events], engine.counters()
        finally:
            executable.close()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_a_budget_changes_no_token_and_is_counted(path: Path, sizes: tuple[int, int], share: float) -> None:
    whole, experts = sizes
    wanted, resident = answer(path, OPTIONS)
    budget = whole - int((1 - share) * experts)
    tokens, found = answer(path, replace(OPTIONS, gpu_memory=str(budget)))
    assert tokens == wanted
    assert not any(name.startswith("gpu_") for name in resident)
    assert found["gpu_pinned_bytes"] >= experts
    assert found["gpu_parcel_bytes"] <= found["gpu_slot_bytes"] <= share * experts
    reads = found["gpu_hits"] + found["gpu_misses"]
    assert LAYERS * USED * TOKENS // 2 < reads <= LAYERS * USED * (TOKENS + len(PROMPT)), "the last steps may lack"
    assert (found["gpu_hits"] > 0) == (share > 0)
    assert found["gpu_bus_bytes"] > 0


def test_a_budget_that_holds_everything_is_none(path: Path, sizes: tuple[int, int]) -> None:
    _, found = answer(path, replace(OPTIONS, gpu_memory=str(sizes[0] + (1 << 20))))
    assert not any(name.startswith("gpu_") for name in found)


def test_a_profile_says_which_experts_are_there_first(path: Path, sizes: tuple[int, int], tmp_path: Path) -> None:
    whole, experts = sizes
    Profile(tuple(range(LAYERS)), tuple((*[0] * (EXPERTS - 2), 5, 9) for _ in range(LAYERS))).save(tmp_path / "p.json")
    options = replace(OPTIONS, gpu_memory=str(whole - experts * 3 // 4), expert_profile=str(tmp_path / "p.json"))
    with opened_with(path, options) as opened:
        executable = opened.compile()
        hot = hot_set(executable)
        assert hot is not None
        assert {parcel % EXPERTS for parcel in hot.resident} <= {EXPERTS - 2, EXPERTS - 1}
        assert len(hot.resident) == hot.plan.slots
        assert np.isfinite(hot.costs.move_seconds(1 << 20))
        executable.close()


def test_too_little_of_the_device_or_of_the_machine_says_what_would_do(path: Path, sizes: tuple[int, int]) -> None:
    whole, experts = sizes
    for little in (whole - experts - 4096, 100):
        with (
            opened_with(path, replace(OPTIONS, gpu_memory=str(little))) as opened,
            pytest.raises(BudgetError, match="must have there takes"),
        ):
            opened.compile()
    bounded = replace(OPTIONS, gpu_memory=str(whole - experts), memory="1MiB")
    with (
        opened_with(path, bounded) as opened,
        pytest.raises(BudgetError, match=r"of pinned memory; 0 B may be taken"),
    ):
        opened.compile()


def test_memory_alone_is_refused_still(path: Path) -> None:
    with (
        opened_with(path, replace(OPTIONS, memory="50TiB")) as opened,
        pytest.raises(CompileError, match="cuda: its weights are all resident"),
    ):
        opened.compile()


def test_a_dense_model_is_all_or_nothing(host_cuda: HostCuda, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "dense.gguf", moe=False, type="Q4_K_M")
    with (
        opened_with(tmp_path / "dense.gguf", replace(OPTIONS, gpu_memory="300KB")) as opened,
        pytest.raises(CompileError, match=r"cuda: .* has no experts that could be read across the bus"),
    ):
        opened.compile()


def test_what_uploads_pin_is_counted() -> None:
    assert UPLOAD_BYTES == STAGING_BYTES
