"""The executable: the same numbers within WebGPU's default limits and on split weights, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import wgpu

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import BatchError, CompileError, StateAction
from ostinato.backends.reference import ReferenceBackend
from ostinato.backends.sampling import Sampling
from ostinato.backends.webgpu import Restriction, WebGpuBackend
from ostinato.backends.webgpu.adapter import DEFAULT_LIMITS
from ostinato.backends.webgpu.native import DeviceError, Readback
from ostinato.gguf.types_table import TensorType
from tests.backends.cases import CASES, nmse, run_case
from tests.backends.drive import enter, generate
from tests.backends.webgpu.support import PLAN, VOCAB, compiled, model, needs_adapter

pytestmark = needs_adapter
NAMES = {case.name: case for case in CASES}
LEAST = Restriction(limits=DEFAULT_LIMITS, features=frozenset())
PROMPTS = [[5, 9, 2, 77], [3], list(range(30, 50))]


@cache
def wanted(name: str) -> list[np.ndarray]:
    return run_case(NAMES[name], ReferenceBackend())


@pytest.mark.parametrize(
    "name",
    [
        "linear F32 33x256",
        "linear F16 5x44",
        "linear Q8_0 12x96",
        "linear Q4_K 33x256",
        "linear Q6_K 1x512 bias",
        "embed Q6_K",
        "attend 8/2 64+64 f16",
        "attend 6/1 40+24 f32",
        "experts Q8_0 2/8 SOFTMAX normalise",
        "experts Q4_K 3/5 SIGMOID",
    ],
)
def test_the_least_adapter(name: str) -> None:
    """Default limits, and none of the optional features."""
    for found, reference in zip(run_case(NAMES[name], WebGpuBackend(LEAST)), wanted(name), strict=True):
        assert nmse(found, reference) <= NAMES[name].nmse


@pytest.mark.parametrize(
    ("name", "weight_bytes"),
    [
        ("linear F32 33x256", 10 * 1024),  # four parts, the last of three rows
        ("linear Q4_K 130x1024", 40 * 576),
        ("linear Q6_K 130x1024", 33_920),
        ("embed Q8_0", 5 * 1024),
        ("experts Q4_K 3/5 SIGMOID", 3 * 512 * 256),
    ],
)
def test_split_weights(name: str, weight_bytes: int) -> None:
    """The same bits as in one binding."""
    split = run_case(NAMES[name], WebGpuBackend(Restriction(weight_bytes=weight_bytes)))
    for found, whole in zip(split, run_case(NAMES[name], WebGpuBackend()), strict=True):
        np.testing.assert_array_equal(found, whole)


def test_a_row_of_a_weight_that_cannot_be_bound() -> None:
    with pytest.raises(CompileError, match="cannot be split"):
        compiled(restriction=Restriction(weight_bytes=16))


def test_greedy_tokens_are_the_references() -> None:
    executable = WebGpuBackend().compile(*model(TensorType.F32), PLAN)
    reference = ReferenceBackend().compile(*model(TensorType.F32), PLAN)
    assert generate(executable, PLAN, PROMPTS, 12) == generate(reference, PLAN, PROMPTS, 12)
    executable.close()


def test_two_in_flight_and_no_more() -> None:
    executable = compiled()
    with pytest.raises(RuntimeError, match="no step is in flight"):
        executable.collect()
    executable.submit(Batch([]))
    executable.submit(Batch([]))
    with pytest.raises(RuntimeError, match="2 steps are in flight"):
        executable.submit(Batch([]))
    for _ in range(2):
        assert executable.collect().tokens.shape == (0, 1)
    executable.submit(Batch([]))
    executable.close()  # finishes what is in flight
    executable.close()


def test_a_refused_batch_starts_nothing() -> None:
    executable = compiled()
    with pytest.raises(BatchError, match="slot 0: the block table ends"):
        executable.submit(Batch([Span(0, Kind.PROMPT, 0, [1, 2], 1)], [Enter(0, 2, Sampling())]))
    with pytest.raises(RuntimeError, match="no step is in flight"):
        executable.collect()
    assert executable.counters.submissions == 0
    executable.close()


def test_only_what_was_asked_for_comes_back() -> None:
    executable = compiled()
    counters = executable.counters

    def bytes_of(batch: Batch) -> int:
        before = counters.bytes_read
        executable.submit(batch)
        executable.collect()
        return counters.bytes_read - before

    def prompt(slot: int, sampling: Sampling, **more: bool) -> Batch:
        entered, table = enter(PLAN, slot, 3, sampling)
        return Batch([Span(slot, Kind.PROMPT, 0, [1, 2, 3], 2, sample=True)], [entered], [table], **more)

    drawn, best, logits = 16, 160, 4 * 2 * VOCAB
    assert bytes_of(Batch([])) == 0
    assert bytes_of(prompt(0, Sampling())) == drawn
    assert bytes_of(prompt(0, Sampling(logprobs=0))) == drawn
    assert bytes_of(prompt(1, Sampling(logprobs=3))) == drawn + best
    assert bytes_of(prompt(1, Sampling(), want_logits=True)) == drawn + logits
    executable.close()


def test_spilled_blocks_go_on_elsewhere() -> None:
    """A sequence's blocks are copied, spilled and restored; its next tokens are the same."""
    plan, prompt = PLAN, list(range(20))
    executable = compiled()
    wanted = generate(executable, plan, [prompt], 6)[0]
    assert generate(executable, plan, [prompt], 3)[0] == wanted[:3]
    executable.state(StateAction.COPY, 0, range(3), to=range(40, 43))
    spilled = executable.state(StateAction.SPILL, 0, range(40, 43))
    assert len(spilled) == 3 * plan.cache_bytes(model()[0].caches[0]) // plan.blocks
    executable.state(StateAction.RESTORE, 0, range(60, 63), data=spilled)
    moved = TableEdit(0, 0, 0, range(60, 72))
    found = []
    for step in range(3):
        span = Span(0, Kind.GENERATED, 22 + step, None, 1, sample=True)
        executable.submit(Batch([span], tables=[moved] if step == 0 else []))
        found.append(int(executable.collect().tokens[0, 0]))
    assert found == wanted[3:]
    executable.close()


def test_the_end_of_memory_names_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device holds everything but KV: what would fit is said."""
    kind = type(wgpu.gpu.enumerate_adapters_sync()[0].request_device_sync())
    real = kind.create_buffer

    def full(self: object, **how: object) -> object:
        if str(how["label"]).startswith("cache"):
            raise wgpu.GPUOutOfMemoryError("no more")
        return real(self, **how)

    monkeypatch.setattr(kind, "create_buffer", full)
    with pytest.raises(CompileError, match=r"webgpu: the model needs .*KV for \d+ positions in all would fit"):
        compiled()


def test_a_card_that_is_too_small_is_not_filled_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.backends.webgpu.adapter.own_memory", lambda adapter: 500_000)
    with pytest.raises(CompileError, match=r"webgpu: the model needs .* on the device .*; 500\.0 kB are there"):
        compiled()


def test_a_shader_with_a_mistake_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.backends.webgpu.pipelines.assemble", lambda call, features: "fn main( {")
    with pytest.raises(wgpu.GPUValidationError):
        compiled()


def test_a_device_that_is_lost() -> None:
    """In flight or not: an error that says so, and no wait without end."""
    executable = compiled()
    executable.submit(Batch([Span(0, Kind.PROMPT, 0, [1], 1, sample=True)], *([part] for part in enter(PLAN, 0, 1))))
    executable._device.destroy()
    with pytest.raises(DeviceError, match="results cannot be read"):
        executable.collect()
    with pytest.raises(DeviceError, match="results cannot be read"):
        executable.submit(Batch([]))
    executable.close()


def test_a_step_that_fails_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was admitted and never ran: no later one may build on it."""

    def full(self: Readback, nbytes: int) -> None:
        raise wgpu.GPUOutOfMemoryError("no more")

    executable = compiled()
    with monkeypatch.context() as patch:
        patch.setattr(Readback, "reserve", full)
        with pytest.raises(DeviceError, match="a step cannot be submitted: no more"):
            executable.submit(Batch([]))
    for again in (lambda: executable.submit(Batch([])), executable.collect):
        with pytest.raises(DeviceError, match="a step cannot be submitted: no more"):
            again()
    executable.close()


def test_a_closed_executable_says_so() -> None:
    executable = compiled()
    executable.close()
    for use in (
        lambda: executable.submit(Batch([])),
        executable.collect,
        lambda: executable.state(StateAction.SPILL, 0, [0]),
    ):
        with pytest.raises(RuntimeError, match="the executable is closed"):
            use()


def test_a_cache_that_cannot_be_bound_is_refused_before_weights_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.backends.webgpu.executable.upload", None)
    with pytest.raises(CompileError, match="a layer of cache 'full' needs"):
        compiled(replace(PLAN, blocks=1 << 20), LEAST)


def test_parts_of_a_weight_share_a_pipeline() -> None:
    backend = WebGpuBackend(Restriction(weight_bytes=40 * 576))
    run_case(NAMES["linear Q4_K 130x1024"], backend)
    phases = [key[0] for key in backend._pipelines._pipelines]
    assert phases.count("linear") == 1
