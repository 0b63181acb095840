"""Recurrent state: the same bits however a sequence is fed; refused where it would not go on where it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from ostinato import _cpu
from ostinato.backends.batch import Batch, Enter, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Backend, BatchError, Executable, Plan
from ostinato.backends.cpu import CpuBackend
from ostinato.backends.reference import ReferenceBackend
from ostinato.backends.sampling import Sampling
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, HeadOrder
from ostinato.model.weights import Constant
from ostinato.program.builder import Builder
from ostinato.program.ir import Programs, StateGroup
from tests.backends.cases_recurrent import RECURRENT_CASES
from tests.backends.opcase import OpCase, Weights

PLAN = Plan(max_rows=64, max_logit_rows=64, max_sequences=6, context=80, blocks=8, threads=2)
TOKENS = [(31 * i) % 16 for i in range(61)]  # the smallest case has a vocabulary of 16
BACKENDS: dict[str, Callable[[], Backend]] = {"cpu": CpuBackend, "reference": ReferenceBackend}


@pytest.fixture(params=_cpu.levels())
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OSTINATO_CPU", request.param)
    return str(request.param)


def compiled(case: OpCase, plan: Plan = PLAN, backend: Backend | None = None) -> Executable:
    programs, tensors = case.programs()
    return (backend or CpuBackend()).compile(programs, tensors, plan)


def step(executable: Executable, spans: Sequence[Span]) -> np.ndarray:
    """Outputs of every row; spans from position 0 enter."""
    entered = [Enter(span.slot, 1, Sampling()) for span in spans if span.start == 0]
    executable.submit(Batch(spans, entered, want_logits=True))
    return np.array(executable.collect().outputs["logits"])


def piece(slot: int, start: int, stop: int) -> Span:
    return Span(slot, Kind.PROMPT, start, TOKENS[start:stop], logit_rows=stop - start)


@pytest.mark.parametrize("case", RECURRENT_CASES, ids=lambda case: case.name)
def test_chunks_threads_and_company(case: OpCase, level: str) -> None:
    one, two = compiled(case, replace(PLAN, threads=1)), compiled(case)
    wanted = step(one, [piece(0, 0, 61)])
    for executable in (one, two):
        for chunk in (1, 7):
            parts = [step(executable, [piece(3, at, min(at + chunk, 61))]) for at in range(0, 61, chunk)]
            np.testing.assert_array_equal(np.concatenate(parts), wanted)
    crowd = step(two, [piece(slot, 0, 8) for slot in range(6)])
    np.testing.assert_array_equal(crowd, np.tile(wanted[:8], (6, 1)))
    later = step(two, [piece(slot, 8, 8 + 3 * slot) for slot in (5, 2, 4)])
    np.testing.assert_array_equal(later, np.concatenate([wanted[8 : 8 + 3 * slot] for slot in (5, 2, 4)]))
    one.close()
    two.close()


def test_other_slots_keep_their_state() -> None:
    executable = compiled(RECURRENT_CASES[0])
    wanted = step(executable, [piece(0, 0, 61)])
    step(executable, [piece(1, 0, 20)])
    step(executable, [piece(2, 0, 30)])
    np.testing.assert_array_equal(step(executable, [piece(1, 20, 61)]), wanted[20:])
    executable.close()


@pytest.mark.parametrize("name", BACKENDS)
def test_rows_go_on_where_the_state_stands(name: str) -> None:
    executable = compiled(RECURRENT_CASES[0], backend=BACKENDS[name]())
    wanted = step(executable, [piece(0, 0, 20)])
    for start in (5, 19, 21):
        with pytest.raises(BatchError, match=f"slot 0: rows from position {start}, .* stands at 20"):
            executable.submit(Batch([piece(0, start, 30)]))
    with pytest.raises(BatchError, match=r"slot 4: .* stands at 0"):
        executable.submit(Batch([piece(4, 1, 2)]))
    np.testing.assert_array_equal(step(executable, [piece(0, 0, 20)]), wanted)
    step(executable, [piece(0, 20, 30)])
    executable.close()


@pytest.mark.parametrize("name", BACKENDS)
def test_a_history_brings_no_state(name: str) -> None:
    executable = compiled(RECURRENT_CASES[0], backend=BACKENDS[name]())
    entered = Enter(1, 30, Sampling(), TOKENS[:12])
    with pytest.raises(BatchError, match=r"slot 1: rows from position 12, .* not here"):
        executable.submit(Batch([piece(1, 12, 20)], [entered]))
    executable.submit(Batch([], [entered]))
    executable.collect()
    for span in (piece(1, 12, 20), Span(1, Kind.GENERATED, 12, None)):
        with pytest.raises(BatchError, match="position 0"):
            executable.submit(Batch([span]))
    executable.submit(Batch([piece(1, 0, 12)]))
    executable.submit(Batch([piece(1, 12, 20)]))
    executable.collect()
    executable.collect()
    executable.close()


def model() -> tuple[Programs, Weights]:
    """A recurrent model that draws tokens, without attention."""
    weights = Weights(5)
    b = Builder(weights.tensors)
    b.states += [StateGroup("conv", 1, 3 * 32), StateGroup("delta", 1, 2 * 16 * 16)]
    x = b.add("embed", weights=(weights.normal("table", (96, 32), TensorType.F32, 1.0),))
    kernel = weights.normal("kernel", (32, 4), TensorType.F32)
    y = b.add("conv", x, weights=(kernel,), state=0, index=0, act=Activation.SILU)
    y = b.add("rms_norm", y, eps=1e-5)
    rate = b.add("linear", y, weights=(weights.normal("rate", (2, 32), TensorType.F32),))
    small = b.add("scale", y, factor=0.25)
    constants = (Constant((-0.3, -0.1)), Constant((0.1, 0.2)))
    y = b.add("delta", y, small, y, rate, rate, weights=constants, state=1, index=0, heads=2, value_heads=2, key_dim=16,
              value_dim=16, scale=0.3, order=HeadOrder.GROUPED)  # fmt: skip
    head = weights.normal("head", (96, 32), TensorType.F32, 0.5)
    logits = b.add("linear", b.add("select", b.add("add", x, y)), weights=(head, None))
    b.add("sample", logits)
    program = b.program("recurrent", {"logits": logits}, 96)
    return Programs(program, program), weights


@pytest.mark.parametrize("steps", [1, 5])
def test_runs_and_steps_in_flight(steps: int) -> None:
    """Tokens of two sequences, each step submitted before the last is collected, or in runs: as the reference draws."""
    programs, weights = model()
    drawn = {}
    for name, backend in BACKENDS.items():
        executable = backend().compile(programs, weights.tensors, PLAN)
        entered = [Enter(slot, 4, Sampling(temperature=0)) for slot in (0, 1)]
        spans = [Span(slot, Kind.PROMPT, 0, [5 + slot, 6, 7, 8], 1, sample=True) for slot in (0, 1)]
        executable.submit(Batch(spans, entered))
        tokens = []
        for number in range(20 // steps):
            row = [Span(slot, Kind.GENERATED, 4 + steps * number, None, 1, sample=True) for slot in (0, 1)]
            if steps > 1:  # the next row of a run is known when it was collected
                tokens.append(collected(executable))
            executable.submit(Batch(row, steps=steps))
            if steps == 1:
                tokens.append(collected(executable))
        tokens.append(collected(executable))
        executable.close()
        drawn[name] = np.concatenate(tokens, axis=1)
    np.testing.assert_array_equal(drawn["cpu"], drawn["reference"])
    assert drawn["cpu"].shape == (2, 21)
    assert len(set(drawn["cpu"][0].tolist())) > 3


def collected(executable: Executable) -> np.ndarray:
    """All tokens of the oldest batch, [spans, steps]."""
    parts = [executable.collect()]
    while parts[-1].more:
        parts.append(executable.collect())
    return np.concatenate([part.tokens for part in parts], axis=1)
