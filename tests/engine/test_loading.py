"""Plans follow from the model, the options and the machine; what cannot be is refused with figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ostinato.backends.choose import BackendError
from ostinato.backends.contract import KVType, Probe
from ostinato.backends.null import NullBackend
from ostinato.engine import loading
from ostinato.engine.loading import FEWEST_ROWS, Options, PlanError, open_model, rows_within
from ostinato.engine.shared import Shared, Sizes
from ostinato.gguf.errors import GGUFError
from ostinato.gguf.reader import open_gguf
from ostinato.memory import residency
from ostinato.memory.budget import BudgetError
from tests.support import BUILTIN


def test_a_plan_holds_every_slot_at_full_context() -> None:
    plan = open_model(BUILTIN, Options(backend="null", context=100, max_sequences=5)).plan
    assert (plan.context, plan.blocks_per_sequence, plan.blocks) == (100, 7, 35)
    assert plan.kv_type is KVType.F16


@pytest.mark.parametrize("context", [-5, 0, 1, 10**12])
def test_a_context_that_cannot_be_is_refused(context: int) -> None:
    with pytest.raises(PlanError, match=f"a context of {context} positions: expected 2 to"):
        open_model(BUILTIN, Options(backend="null", context=context))


def test_unknown_backend() -> None:
    with pytest.raises(BackendError, match=r"no backend 'abacus'; there are: .*cpu"):
        open_model(BUILTIN, Options(backend="abacus"))


@pytest.mark.parametrize("options", [Options(backend="abacus"), Options(backend="null", context=1)])
def test_a_file_handed_in_is_closed_whatever_goes_wrong(options: Options) -> None:
    file = open_gguf(BUILTIN)
    with pytest.raises((BackendError, PlanError)):
        open_model(BUILTIN, options, file)
    with pytest.raises(GGUFError, match="is closed"):
        _ = file.nbytes


def test_a_small_budget_is_not_spent_on_rows() -> None:
    opened = open_model(BUILTIN, Options(backend="null"))
    assert rows_within(1 << 40, opened.programs, opened.plan) == opened.plan.max_rows
    assert rows_within(1, opened.programs, opened.plan) == FEWEST_ROWS
    middle = [rows_within(1 << bits, opened.programs, opened.plan) for bits in range(20, 34)]
    assert middle == sorted(middle)
    assert len(set(middle)) > 2


def test_a_budget_that_the_machine_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, not by the system's ending the process. (How much it would take depends on what this process holds.)"""
    options = Options(backend="cpu", memory="50TiB", context=64, max_sequences=1)
    open_model(BUILTIN, options).file.close()  # all of a small model fits, whatever it might have had
    monkeypatch.setattr(residency, "cgroup_limit", lambda: 20 << 20)
    with pytest.raises(BudgetError, match=r"takes .* [MG]iB of memory; there are 20\.00 MiB"):
        open_model(BUILTIN, options)
    monkeypatch.setattr(residency, "cgroup_limit", lambda: None)
    monkeypatch.setattr(loading, "memory_bytes", lambda: 30 << 20)
    with pytest.raises(BudgetError, match=r"there are 30\.00 MiB"):
        open_model(BUILTIN, options)


@pytest.mark.parametrize("words", [{}, {"context": 64}, {"per_layer": True}])
def test_a_budget_that_is_too_small_is_refused_with_one_that_will_do(words: dict) -> None:
    """Also where the least context has no room in it: the words are of memory."""
    options = Options(backend="cpu", memory="100kB", max_sequences=1, **words)
    opened = open_model(BUILTIN, options)
    with pytest.raises(BudgetError, match=r"too little memory; this model runs in ([\d.]+ .iB),") as told:
        opened.compile()
    enough = str(told.value).split(" runs in ")[1].split(",")[0]
    open_model(BUILTIN, replace(options, memory=enough)).compile().close()


def test_no_such_file() -> None:
    with pytest.raises(GGUFError):
        open_model("no-such-file.gguf", Options(backend="null"))


@pytest.mark.parametrize("threads", [-1, 2**31 - 1])
def test_threads_that_cannot_be_are_refused(threads: int) -> None:
    with pytest.raises(PlanError, match=f"{threads} threads: expected 1 to"):
        open_model(BUILTIN, Options(backend="null", threads=threads))


def with_memory(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The null backend as one on a device with so much memory of its own."""
    monkeypatch.setattr(NullBackend, "probe", lambda self: Probe("null", True, "a device", memory_bytes=count))


def test_a_device_gives_half_of_what_the_weights_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(backend="null", context=512, max_sequences=64)
    here = open_model(BUILTIN, options)
    weights = sum(t.data.nbytes for t in here.file.tensors.values())
    block = sum(here.plan.kv_type.bytes(g.elements(here.plan.block_size)) for g in here.programs.caches)
    with_memory(monkeypatch, weights + 100 * block)
    there = open_model(BUILTIN, options)
    assert (here.hosted, there.hosted) == (True, False)
    assert here.plan.blocks == 64 * 32
    assert there.plan.blocks == 50
    with_memory(monkeypatch, weights + 10 * block)
    with pytest.raises(PlanError, match=r"a context of 512 positions: expected 2 to 160"):
        open_model(BUILTIN, options)
    with_memory(monkeypatch, weights // 2)
    with pytest.raises(PlanError, match=r"expected 2 to 0"):
        open_model(BUILTIN, options)


def test_a_device_that_limits_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(backend="null", context=512, max_sequences=64)
    here = open_model(BUILTIN, options)
    layer = max(here.plan.kv_type.bytes(g.elements(16)) // g.layers for g in here.programs.caches)
    limited = Probe("null", True, "a device", layer_bytes=40 * layer + 1)
    monkeypatch.setattr(NullBackend, "probe", lambda self: limited)
    there = open_model(BUILTIN, options)
    assert (there.plan.blocks, there.hosted) == (40, True)
    with pytest.raises(PlanError, match=r"a context of 1024 positions: expected 2 to 640"):
        open_model(BUILTIN, replace(options, context=1024))


def test_keys_and_values_of_a_device_take_nothing_of_the_mapping() -> None:
    opened = open_model(BUILTIN, Options(backend="null", context=512))
    sizes = Sizes.of(opened.plan, opened.programs.caches, capacity=4, hosted=False)
    assert sizes.kv_bytes == (0,) * len(opened.programs.caches)
    shared = Shared.create(sizes)
    assert Shared.attach(shared.fd).sizes == sizes
    assert len(shared.kv(0)) == 0
    shared.close()
