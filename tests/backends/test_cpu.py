"""The CPU backend keeps the contract: errors that name things, hostile packets, state, threads that sleep."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostinato import _cpu
from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import HEADER, SPAN, Kind
from ostinato.backends.contract import BatchError, CompileError, Plan, StateAction
from ostinato.backends.cpu import CpuBackend
from ostinato.backends.cpu.executable import CpuExecutable
from ostinato.backends.reference import ReferenceBackend
from ostinato.backends.sampling import Sampling
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.gguf.types_table import TensorType, nbytes
from ostinato.model.kinds_table import EmbedBy, Pooling
from ostinato.model.weights import Tensor
from ostinato.program.builder import Builder
from ostinato.program.ir import Programs
from tests.backends.cases import MemoryTensor, Weights
from tests.backends.drive import GREEDY, enter, generate
from tools.tiny_models import write_tiny_model

PROMPT = [5, 80, 13, 200, 31, 7, 9]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_model(path, type="Q8_0")
    return open_model(path, Options(backend="cpu", context=64, max_sequences=4, max_rows=64, threads=2))


@pytest.fixture
def executable(model: Opened) -> Iterator[CpuExecutable]:
    made = model.compile()
    assert isinstance(made, CpuExecutable)
    yield made
    made.close()


def first_batch(plan: Plan, sampling: Sampling = GREEDY) -> Batch:
    entered, table = enter(plan, 0, len(PROMPT), sampling)
    return Batch([Span(0, Kind.PROMPT, 0, PROMPT, 1, sample=True)], [entered], [table])


def test_probe_tells_what_is_there() -> None:
    probe = CpuBackend().probe()
    assert probe.available
    assert probe.detail["instructions"] in probe.detail["instructions there"]
    assert int(probe.detail["cores"]) >= 1


def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch, model: Opened) -> None:
    monkeypatch.setenv("OSTINATO_CPU", "sse9")
    assert not CpuBackend().probe().available
    with pytest.raises(CompileError, match="OSTINATO_CPU"):
        model.compile()


def test_an_unsupported_type_is_named() -> None:
    weights = Weights(1)
    size = nbytes(TensorType.I32, (8, 256))
    weights.tensors["odd"] = MemoryTensor("odd", TensorType.I32, (8, 256), np.zeros(size, np.uint8))
    b = Builder(weights.tensors)
    x = b.add("select", b.add("embed", weights=(weights.normal("table", (8, 256), TensorType.F32),)))
    program = b.program("odd", {"logits": b.add("linear", x, weights=(Tensor("odd"), None))}, 8)
    with pytest.raises(CompileError, match=r"odd of type I32: .*not supported"):
        CpuBackend().compile(Programs(program, program), weights.tensors, Plan(blocks=1))


def test_memory_of_the_wrong_size_is_refused(model: Opened) -> None:
    group = model.programs.caches[0]
    with pytest.raises(CompileError, match=rf"{group.name}.*needs"):
        model.compile({group.name: memoryview(bytearray(64))})


def test_two_steps_are_in_flight_at_most(model: Opened, executable: CpuExecutable) -> None:
    with pytest.raises(RuntimeError, match="no step"):
        executable.collect()
    executable.submit(first_batch(model.plan))
    following = Batch([Span(0, Kind.GENERATED, len(PROMPT), None, 1, sample=True)])
    executable.submit(following)
    with pytest.raises(RuntimeError, match="in flight"):
        executable.submit(following)
    assert executable.collect().counts.tolist() == executable.collect().counts.tolist() == [1]


def test_a_closed_executable_says_so(model: Opened) -> None:
    executable = model.compile()
    executable.submit(first_batch(model.plan))
    executable.close()
    executable.close()
    with pytest.raises(RuntimeError, match="closed"):
        executable.collect()


def test_steps_without_rows_or_without_logits(model: Opened, executable: CpuExecutable) -> None:
    entered, table = enter(model.plan, 0, len(PROMPT))
    executable.submit(Batch([], [entered], [table]))
    assert len(executable.collect().slots) == 0
    executable.submit(Batch([Span(0, Kind.PROMPT, 0, PROMPT)]))
    assert len(executable.collect().tokens) == 0


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (Batch([Span(0, Kind.PROMPT, 0, [1, 2], 1)]), "block table ends"),
        (Batch([], [], [TableEdit(0, 0, 3, [1])]), r"table entries 3\+1"),
        (Batch([], [], [TableEdit(7, 0, 0, [1])]), "cache 7"),
        (Batch([], [Enter(9, 1, GREEDY)]), "slot 9"),
        (Batch([], [Enter(0, 1, GREEDY, history=[4, 100_000])]), "history token"),
        (Batch([], [Enter(0, 1, Sampling(temperature=float("nan")))]), "temperature"),
        (Batch([], [Enter(0, 1, Sampling(logit_bias=((100_000, 1.0),)))]), "bias"),
        (Batch([], masks=[(0, np.zeros(16, np.uint32))]), "allows no token"),
        (Batch([], masks=[(0, np.ones(3, np.uint32))]), "mask shorter"),
    ],
)
def test_a_bad_batch_is_refused_and_changes_nothing(
    model: Opened, executable: CpuExecutable, batch: Batch, says: str
) -> None:
    with pytest.raises(BatchError, match=says):
        executable.submit(batch)
    executable.submit(first_batch(model.plan))
    assert len(executable.collect().tokens) == 1


def test_a_row_from_state_stops_at_the_context(model: Opened, executable: CpuExecutable) -> None:
    plan = model.plan
    entered, table = enter(plan, 0, plan.context)
    prompt = [1 + i % 300 for i in range(plan.context - 1)]
    executable.submit(Batch([Span(0, Kind.PROMPT, 0, prompt, 1, sample=True)], [entered], [table]))
    last = Batch([Span(0, Kind.GENERATED, plan.context - 1, None, 1, sample=True)])
    executable.submit(last)
    executable.collect()
    with pytest.raises(BatchError, match="context"):
        executable.submit(last)
    executable.collect()


def test_mutated_packets_never_crash(model: Opened) -> None:
    """Every word of a sound packet takes hostile values; what is admitted must run."""
    plan = model.plan
    sampling = Sampling(temperature=0.9, top_k=5, top_p=0.9, logit_bias=((3, 1.0),), logprobs=2, seed=3)
    mask = np.full(model.programs.vocab_size // 32, 0xFFFF, np.uint32)
    batch = first_batch(plan, sampling)
    words = Batch(batch.spans, batch.enters, batch.tables, [(0, mask)]).encode()
    random = np.random.default_rng(3)
    executable = model.compile()
    assert isinstance(executable, CpuExecutable)
    executor = executable._executor
    head = len(HEADER.words) + 60
    refused = 0
    for at in [*range(head), *random.integers(head, len(words), 60)]:
        for value in (-1, 1, 2**31 - 1, -(2**31), int(random.integers(0, 600))):
            mutated = words.copy()
            mutated[at] = value
            refused += not _runs(executor, mutated)
    for cut in (0, 1, len(HEADER.words), len(words) - 1):
        assert not _runs(executor, words[:cut].copy())
    assert refused > 100
    assert _runs(executor, words)
    executor.close()


def test_mutated_runs_never_crash(model: Opened) -> None:
    """The same for a run of a sequence that enters with its history, limit and stop tokens."""
    plan = model.plan
    _, table = enter(plan, 0, len(PROMPT))
    entered = Enter(0, len(PROMPT), GREEDY, PROMPT, limit=40, stops=(3, 4))
    row = Span(0, Kind.GENERATED, len(PROMPT), None, 1, sample=True)
    words = Batch([row], [entered], [table], steps=20).encode()
    random = np.random.default_rng(4)
    executable = model.compile()
    assert isinstance(executable, CpuExecutable)
    executor, refused = executable._executor, 0
    for at in range(len(words)):
        for value in (-1, 0, 1, 9, 2**31 - 1, -(2**31), int(random.integers(0, 600))):
            mutated = words.copy()
            mutated[at] = value
            refused += not _runs(executor, mutated)
    assert refused > 100
    assert _runs(executor, words)
    executor.close()


def test_a_slot_in_a_run_is_left_alone(model: Opened, executable: CpuExecutable) -> None:
    executable.submit(first_batch(model.plan))
    executable.collect()
    row = Span(0, Kind.GENERATED, len(PROMPT), None, 1, sample=True)
    executable.submit(Batch([row], steps=5))
    for batch in (Batch([row]), Batch([], [Enter(0, 1, GREEDY)]), Batch([], tables=[TableEdit(0, 0, 0, [1])])):
        with pytest.raises(BatchError, match="not collected"):
            executable.submit(batch)
    while executable.collect().more:
        pass
    executable.submit(Batch([row]))
    executable.collect()


def test_a_run_is_finished_early_when_it_is_closed(model: Opened) -> None:
    executable = model.compile()
    executable.submit(first_batch(model.plan))
    executable.submit(Batch([Span(0, Kind.GENERATED, len(PROMPT), None, 1, sample=True)], steps=50))
    executable.close()


def _runs(executor: _cpu.Executor, words: np.ndarray) -> bool:
    try:
        executor.submit(words)
    except ValueError:
        return False
    while executor.collect()[-1]:
        pass
    return True


def test_header_and_span_words_are_where_the_table_says(model: Opened) -> None:
    words = first_batch(model.plan).encode()
    assert words[HEADER.index("rows")] == len(PROMPT)
    assert words[len(HEADER.words) + SPAN.index("count")] == len(PROMPT)


def test_spilled_blocks_come_back(model: Opened, executable: CpuExecutable) -> None:
    plan = model.plan
    wanted = generate(executable, plan, [PROMPT], 12)
    executable.submit(first_batch(plan))
    executable.collect()
    other = plan.blocks_per_sequence
    spilled = executable.state(StateAction.SPILL, 0, [0])
    executable.state(StateAction.COPY, 0, [0], to=[other])
    executable.state(StateAction.RESTORE, 0, [0], data=b"\xff" * len(spilled))  # NaN everywhere
    assert executable.state(StateAction.SPILL, 0, [other]) == spilled
    executable.state(StateAction.RESTORE, 0, [0], data=spilled)
    tokens = []
    for step in range(11):
        executable.submit(Batch([Span(0, Kind.GENERATED, len(PROMPT) + step, None, 1, sample=True)]))
        tokens.append(int(executable.collect().tokens[0, 0]))
    assert tokens == wanted[0][1:]


def test_another_executable_takes_over_the_memory(model: Opened) -> None:
    plan = model.plan
    memory = {g.name: memoryview(bytearray(plan.cache_bytes(g))) for g in model.programs.caches}
    first = model.compile(memory)
    wanted = generate(first, plan, [PROMPT], 12)[0]
    first.close()
    second = model.compile(memory)
    entered, table = enter(plan, 0, len(PROMPT))
    known = [*PROMPT, *wanted[:5]]
    entered = Enter(0, len(PROMPT), entered.sampling, history=known[:-1])
    second.submit(Batch([Span(0, Kind.GENERATED, len(known) - 1, known[-1:], 1, sample=True)], [entered], [table]))
    assert int(second.collect().tokens[0, 0]) == wanted[5]
    second.close()


def test_idle_threads_use_no_processor(model: Opened, executable: CpuExecutable) -> None:
    generate(executable, model.plan, [PROMPT], 4)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.02


def test_a_vocabulary_without_embeddings_is_refused() -> None:
    weights = Weights(2)
    b = Builder(weights.tensors)
    x = b.add("select", b.add("embed", weights=(weights.normal("table", (8, 32), TensorType.F32),)))
    logits = b.add("linear", x, weights=(weights.normal("output", (9, 32), TensorType.F32), None))
    b.add("sample", logits)
    program = b.program("short", {"logits": logits}, 9)
    with pytest.raises(CompileError, match="8 rows for a vocabulary of 9"):
        CpuBackend().compile(Programs(program, program), weights.tensors, Plan(blocks=1))


def test_every_named_output_is_handed_out() -> None:
    """An encoder has no logits, and a prompt program may name what a decode program does not have."""
    weights = Weights(3)
    table, odd = weights.normal("table", (9, 32), TensorType.F32), weights.normal("gain", (32,), TensorType.F16)
    b = Builder(weights.tensors)
    x = b.add("embed", weights=(table,))
    pooled, normed = (
        b.add("pool", x, pooling=Pooling.MEAN),
        b.add("select", b.add("rms_norm", x, weights=(odd,), eps=0.1)),
    )
    both = b.program("both", {"embedding": pooled, "rows": normed}, 9)
    found = {}
    for backend in (CpuBackend(), ReferenceBackend()):
        executable = backend.compile(
            Programs(both, b.program("one", {"embedding": pooled}, 9)), weights.tensors, Plan()
        )
        spans = [Span(0, Kind.PROMPT, 0, [1, 2, 3], 1), Span(1, Kind.PROMPT, 0, [8], 1)]
        executable.submit(Batch(spans, want_logits=True))
        executable.submit(Batch([Span(0, Kind.GENERATED, 3, [4], 1)], want_logits=True))
        found[backend.name] = [executable.collect().outputs, executable.collect().outputs]
        executable.close()
    for cpu, reference in zip(found["cpu"], found["reference"], strict=True):
        assert set(cpu) == set(reference)
        for name, wanted in reference.items():
            np.testing.assert_allclose(cpu[name], wanted, rtol=1e-5)


@pytest.mark.parametrize("backend", [CpuBackend(), ReferenceBackend()])
def test_a_table_of_positions_shorter_than_the_context_is_refused(backend: CpuBackend | ReferenceBackend) -> None:
    weights = Weights(4)
    b = Builder(weights.tensors)
    x = b.add("embed", weights=(weights.normal("positions", (8, 32), TensorType.F32),), by=EmbedBy.POSITION)
    program = b.program("positions", {"logits": b.add("select", x)}, 32)
    backend.compile(Programs(program, program), weights.tensors, Plan(context=8, blocks=1)).close()
    with pytest.raises(CompileError, match="8 positions for a context of 9"):
        backend.compile(Programs(program, program), weights.tensors, Plan(context=9, blocks=1))


def test_weights_stay_where_they_are(tmp_path: Path) -> None:
    """The file's mapping lives as long as the executable, also when nobody else holds it."""
    write_tiny_model(tmp_path / "tiny.gguf", type="F16")
    opened = open_model(tmp_path / "tiny.gguf", Options(backend="cpu", context=64, threads=1))
    executable, plan = opened.compile(), opened.plan
    del opened
    assert generate(executable, plan, [PROMPT], 6) == generate(executable, plan, [PROMPT], 6)
    executable.close()
