"""`--gpu-memory`: what it becomes in a plan, and who refuses it."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from ostinato.backends.choose import BACKENDS
from ostinato.backends.contract import CompileError, Plan, Probe
from ostinato.backends.null import NullBackend
from ostinato.engine import loading
from ostinato.engine.loading import KV_SHARE_OF_BUDGET, Options, PlanError, open_model
from ostinato.engine.process import decode_options, encode_options
from ostinato.gguf.reader import open_gguf
from ostinato.memory import device
from ostinato.memory.budget import BudgetError, parse_budget
from ostinato.program.ir import Programs
from tests.support import BUILTIN

OPTIONS = Options(backend="null", context=64, max_sequences=2, gpu_memory="50%")


class Card(NullBackend):
    """The null backend on a device of 64 MiB."""

    def probe(self) -> Probe:
        return replace(super().probe(), memory_bytes=64 << 20)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "choose", lambda name: Card())


def planned(options: Options = OPTIONS) -> Plan:
    opened = open_model(BUILTIN, options)
    opened.file.close()
    return opened.plan


def programs() -> Programs:
    opened = open_model(BUILTIN, OPTIONS)
    opened.file.close()
    return opened.programs


def test_a_part_of_the_file_becomes_bytes() -> None:
    with open_gguf(BUILTIN) as file:
        assert planned().device_memory == parse_budget("50%", file.nbytes)
    assert planned(replace(OPTIONS, gpu_memory="6MiB")).device_memory == 6 << 20
    assert planned(replace(OPTIONS, gpu_memory=None)).device_memory is None


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "cuda"])
def test_a_backend_without_slots_says_so(name: str) -> None:
    with pytest.raises(CompileError, match=rf"{name}: .*--gpu-memory needs the cuda backend"):
        BACKENDS[name]().compile(programs(), MappingProxyType({}), planned())


def test_it_reaches_the_engine_process() -> None:
    assert decode_options(encode_options(OPTIONS)) == OPTIONS


@pytest.mark.parametrize("text", ["much", "0", "50 apples"])
def test_no_amount(text: str) -> None:
    with pytest.raises(BudgetError):
        planned(replace(OPTIONS, gpu_memory=text))


@pytest.mark.usefixtures("card")
def test_more_than_the_device_has_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"1\.00 GiB of a device that has 64\.00 MiB"):
        planned(replace(OPTIONS, gpu_memory="1GiB"))


@pytest.mark.parametrize("guard", [{"replicas": ("copy.gguf",)}, {"checksums": "sums.json"}])
def test_guards_of_reads_belong_to_files(guard: dict[str, object]) -> None:
    with pytest.raises(PlanError, match="stream from files"):
        planned(replace(OPTIONS, **guard))  # type: ignore[arg-type]


def test_what_may_be_pinned_is_the_least_of_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "process_bytes", lambda pid: 100 << 20)
    held = (100 << 20) + device.ALLOWANCE + device.UPLOAD_BYTES
    monkeypatch.setattr(device, "cgroup_limit", lambda: None)
    assert device.pinnable_bytes(None, 8 << 30) == (8 << 30) - held
    assert device.pinnable_bytes(1 << 30, 8 << 30, beside_bytes=5) == (1 << 30) - held - 5
    monkeypatch.setattr(device, "cgroup_limit", lambda: 512 << 20)
    assert device.pinnable_bytes(1 << 30, 8 << 30) == (512 << 20) - held
    assert device.pinnable_bytes(1 << 20, 8 << 30) == 0, "less than the process has"


def test_memory_is_then_a_bound_and_no_residency() -> None:
    bounded = planned(replace(OPTIONS, memory="50TiB"))
    assert bounded.residency is None
    assert planned(replace(OPTIONS, memory="1MiB")).pinned_memory == 0 < bounded.pinned_memory


@pytest.mark.usefixtures("card")
def test_keys_and_values_leave_a_small_budget_to_weights() -> None:
    """All slots at full context would take more: a share is kept, but for one whole sequence."""
    many = replace(OPTIONS, context=512, max_sequences=64)
    small, ample = planned(replace(many, gpu_memory="8MiB")), planned(replace(many, gpu_memory="64MiB"))
    assert small.blocks < ample.blocks
    assert small.blocks == max(
        small.blocks_per_sequence,
        (8 << 20) // KV_SHARE_OF_BUDGET // sum(small.cache_bytes(g) // small.blocks for g in programs().caches),
    )
