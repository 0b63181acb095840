"""Whole models on a card: the host implementation's numbers, every way to run a step, and all memory given back.

(Op cases, sampling, stories and margins on a card: the machine `cuda` of the tests for every backend.)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import CompileError, Executable, Plan, StateAction
from ostinato.backends.cuda import CudaBackend
from ostinato.backends.cuda.executable import CudaExecutable
from ostinato.engine.loading import Opened, Options, open_model
from tests.backends.cases import nmse
from tests.backends.cuda.budgets import Restless, budget_of
from tests.backends.cuda.host_driver import HostCuda
from tests.backends.drive import enter, generate, prompt_logits
from tools.tiny_models import write_tiny_model

MODELS = ("dense Q4_K_M", "dense F16", "experts Q8_0", "experts Q6_K")
CONTEXT, SEQUENCES = 256, 12


@pytest.fixture(scope="module", params=MODELS)
def opened(request: pytest.FixtureRequest, card: CudaBackend, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    path: Path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    sort, kind = request.param.split()
    write_tiny_model(path, moe=sort == "experts", type=kind)
    model = open_model(
        path, Options(backend="reference", context=CONTEXT, max_sequences=SEQUENCES, max_rows=512, max_logit_rows=128)
    )
    return replace(model, backend=card)


@pytest.fixture(scope="module")
def executable(opened: Opened) -> Iterator[Executable]:
    made = opened.compile()
    yield made
    made.close()


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(count)
    return [[int(t) for t in random.integers(3, 500, int(n))] for n in random.integers(1, 40, count)]


def generated_logits(executable: Executable, plan: Plan, tokens: Sequence[int]) -> np.ndarray:
    """float32 [T, vocab] of generated rows, after a prompt of one token."""
    entered, table = enter(plan, 0, 1)
    executable.submit(Batch([Span(0, Kind.PROMPT, 0, tokens[:1])], [entered], [table]))
    executable.collect()
    rows = tokens[1:]
    executable.submit(Batch([Span(0, Kind.GENERATED, 1, rows, logit_rows=len(rows))], want_logits=True))
    return executable.collect().outputs["logits"]


def run(executable: Executable, crowd: Sequence[Sequence[int]], steps: int) -> list[list[int]]:
    """Tokens of a run of all sequences of `crowd`, each just after its prompt."""
    spans = [Span(slot, Kind.GENERATED, len(p), None, 1, sample=True) for slot, p in enumerate(crowd)]
    executable.submit(Batch(spans, steps=steps))
    return rest(executable)


def rest(executable: Executable) -> list[list[int]]:
    parts = [executable.collect()]
    while parts[-1].more:
        parts.append(executable.collect())
    return np.concatenate([part.tokens for part in parts], axis=1).tolist()


def test_generated_rows_are_the_hosts(executable: Executable, opened: Opened) -> None:
    """Integers are exact and float terms are added in one order; exp and its like may differ in a last bit."""
    tokens = [(37 * i) % 500 for i in range(60)]
    host = HostCuda().compile(opened.programs, opened.file.tensors, opened.plan)
    wanted = generated_logits(host, opened.plan, tokens)
    host.close()
    assert nmse(generated_logits(executable, opened.plan, tokens), wanted) < 1e-8


def test_company_and_chunks_change_no_bit(executable: Executable, opened: Opened) -> None:
    crowd = prompts(SEQUENCES)
    together = generate(executable, opened.plan, crowd, 20)
    assert [generate(executable, opened.plan, [prompt], 20)[0] for prompt in crowd] == together
    long = [(11 * i) % 500 for i in range(100)]
    whole = prompt_logits(executable, opened.plan, long, 100)
    for chunk in (64, 7, 1):
        np.testing.assert_array_equal(prompt_logits(executable, opened.plan, long, chunk), whole)


@pytest.mark.parametrize("count", [1, 3, 8, 9, SEQUENCES])
def test_runs_are_single_steps(executable: Executable, opened: Opened, count: int) -> None:
    """In the persistent kernel up to eight sequences, beyond them as repeated graphs."""
    crowd = prompts(count)
    wanted = generate(executable, opened.plan, crowd, 40)
    generate(executable, opened.plan, crowd, 1)
    assert run(executable, crowd, 39) == [row[1:] for row in wanted]


def test_a_run_leaves_when_told(executable: Executable, opened: Opened) -> None:
    crowd, most = prompts(2), executable.max_steps
    wanted = generate(executable, opened.plan, crowd, most)
    generate(executable, opened.plan, crowd, 1)
    spans = [Span(slot, Kind.GENERATED, len(p), None, 1, sample=True) for slot, p in enumerate(crowd)]
    executable.submit(Batch(spans, steps=most))
    executable.submit(Batch([]))
    drawn = rest(executable)
    executable.collect()
    assert 1 <= len(drawn[0]) < most, "one step, or the few that it took to be told"
    more = run(executable, [[*p, *tokens] for p, tokens in zip(crowd, drawn, strict=True)], 5)
    assert [a + b for a, b in zip(drawn, more, strict=True)] == [row[1 : len(drawn[0]) + 6] for row in wanted]


def test_blocks_move(executable: Executable, opened: Opened) -> None:
    crowd = prompts(2)
    wanted = generate(executable, opened.plan, crowd, 12)
    generate(executable, opened.plan, crowd, 1)
    size = opened.plan.blocks_per_sequence
    mine, other = range(size), range(5 * size, 6 * size)
    executable.state(StateAction.COPY, 0, mine, to=other)
    data = executable.state(StateAction.SPILL, 0, other)
    assert executable.state(StateAction.SPILL, 0, mine) == data
    executable.state(StateAction.RESTORE, 0, mine, data=bytes(len(data)))
    executable.state(StateAction.RESTORE, 0, mine, data=data)
    assert run(executable, crowd, 11) == [row[1:] for row in wanted]


def test_another_thread_may_go_on(executable: Executable, opened: Opened) -> None:
    """CUDA's context belongs to a thread."""
    crowd = prompts(3)
    wanted, found = generate(executable, opened.plan, crowd, 10), []
    thread = threading.Thread(target=lambda: found.append(generate(executable, opened.plan, crowd, 10)))
    thread.start()
    thread.join()
    assert found == [wanted]


def test_closing_gives_all_memory_back(opened: Opened) -> None:
    def free_when_open() -> int:
        made = opened.compile()
        assert isinstance(made, CudaExecutable)
        free = made.memory.driver.free_bytes()
        generate(made, opened.plan, prompts(4), 3)
        made.close()
        return free

    first = free_when_open()
    assert abs(free_when_open() - first) < 8 << 20, "what the driver keeps for itself"


def test_a_model_that_does_not_fit_names_the_budget(opened: Opened) -> None:
    plan = replace(opened.plan, blocks=1 << 26)
    with pytest.raises(CompileError, match=r"needs .* GB on the device .*KV for \d+ positions"):
        opened.backend.compile(opened.programs, opened.file.tensors, plan)


@pytest.mark.parametrize("share", [0.5, 0.0], ids=["half in slots", "all across the bus"])
def test_a_budget_leaves_every_bit(opened: Opened, executable: Executable, share: float) -> None:
    """Experts that are read where they lie on the host, and move at every look, draw what resident ones draw."""
    if not any(i.op == "experts" for i in opened.programs.decode.instructions):
        pytest.skip("a model without experts has no slots")
    crowd = prompts(6)
    wanted = [generate(executable, opened.plan, crowd, 24), prompt_logits(executable, opened.plan, crowd[0], 8)]
    budgeted = replace(opened, plan=budget_of(opened, share)).compile()
    assert isinstance(budgeted, CudaExecutable)
    assert budgeted.keeper is not None
    slots = budgeted.keeper.slots
    budgeted.keeper.policy = Restless(slots.plan, slots.residents)
    found = [generate(budgeted, opened.plan, crowd, 24), prompt_logits(budgeted, opened.plan, crowd[0], 8)]
    slots.check_integrity()
    budgeted.close()
    assert found[0] == wanted[0]
    np.testing.assert_array_equal(found[1], wanted[1])
    assert (slots.moves > 0) == (share > 0)
