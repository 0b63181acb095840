"""The CUDA executable around kernels compiled for the host: bytes, graphs, company, failures, and giving all back.

(Op cases, sampling, stories and margins: the machine `cuda-host` of the tests for every backend. Runs: test_runs.py.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import BatchError, CompileError, Plan
from ostinato.backends.cuda.driver import DeviceError
from ostinato.backends.cuda.executable import RESERVE_BYTES, CudaExecutable
from ostinato.backends.cuda.graphs import BUCKETS, bucket_of
from ostinato.backends.cuda.image import MAX_STEPS, RING_ENTRIES
from ostinato.backends.cuda.machine import GENERATED_ONLY, MACHINE
from ostinato.backends.cuda.memory import ALIGNMENT, STAGING_BYTES
from ostinato.backends.cuda.prompt.launches import Cubins, Launch, prompt_calls
from ostinato.backends.cuda.prompt.manifest import KERNELS
from ostinato.backends.cuda.stacks import find_stacks, weight_entries
from ostinato.backends.device.budget import Budget, make_budget
from ostinato.backends.device.lower import lower
from ostinato.backends.device.planes import row_bytes
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import resolve
from ostinato.program.ops_table import Axis
from ostinato.program.verify import VerifyError
from tests.backends.cuda.host_driver import CARD, HostCuda, HostDriver
from tests.backends.drive import enter, generate, prompt_logits
from tools.tiny_models import write_tiny_model

SIZE = MACHINE.itemsize  # of no other allocation here
MODELS = ("dense Q4_K_M", "experts Q8_0")


@pytest.fixture(scope="module", params=MODELS)
def opened(request: pytest.FixtureRequest, host_cuda: HostCuda, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    path: Path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    sort, kind = request.param.split()
    write_tiny_model(path, moe=sort == "experts", type=kind)
    return open_model(path, Options(backend="cuda", context=64, max_sequences=12, max_rows=64))


@pytest.fixture(scope="module")
def executable(opened: Opened) -> Iterator[CudaExecutable]:
    made = opened.compile()
    assert isinstance(made, CudaExecutable)
    yield made
    made.close()


def budget_of(opened: Opened, plan: Plan) -> Budget:
    lowered = [lower(program, opened.file.tensors, plan) for program in opened.programs]
    return make_budget(opened.programs, lowered, opened.file.tensors, plan, MAX_STEPS)


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(count)
    return [[int(t) for t in random.integers(3, 500, int(n))] for n in random.integers(1, 12, count)]


def test_every_byte_on_the_card_is_accounted_for(opened: Opened, executable: CudaExecutable) -> None:
    """Weights lie there once, packed: there is no room for a copy in f16 or f32 of anything quantised."""
    found, budget = executable.memory.bytes, budget_of(opened, opened.plan)
    exprs = {w for program in opened.programs for i in program.instructions for w in i.weights if w is not None}
    views = [resolve(expr, opened.file.tensors) for expr in exprs]
    packed = sum(row_bytes(view.type, view.dims[-1]) * (view.nbytes // view.row_bytes) for view in views)
    assert budget.weights == packed <= found["weights"] < packed + ALIGNMENT * len(views)
    assert any(view.type not in (TensorType.F32, TensorType.F16) for view in views)
    assert found["kv full"] == budget.kv
    assert found["arena"] == budget.arena
    assert found["state"] + found["packet"] + found["result"] == budget.step
    small = found.keys() - {"weights", "arena", "state", "packet", "result"}
    tables = {"weight table", "expert table", "kv table"}
    assert small == {"calls", "kv full", "uses", "grid", "machine 0", "machine 1", *tables}
    assert sum(found[name] for name in small if name != "kv full") < 100_000


def test_staging_is_given_back(executable: CudaExecutable, host_cuda: HostCuda) -> None:
    driver = host_cuda.drivers[-1]
    assert executable.memory.pinned_bytes["staging"] == STAGING_BYTES
    assert max(len(array.bytes) for array in driver.pinned.values()) < STAGING_BYTES


def test_company_chunks_and_the_grid_change_no_bit(opened: Opened, host_cuda: HostCuda) -> None:
    """Alone, in a crowd (another graph), another grid, another chunking."""
    crowd, count = prompts(9), 6
    first = opened.compile()
    together = generate(first, opened.plan, crowd, count)
    chunked = [prompt_logits(first, opened.plan, crowd[0] * 3, chunk) for chunk in (64, 5, 1)]
    alone = [generate(first, opened.plan, [prompt], count)[0] for prompt in crowd[:3]]
    first.close()
    host_cuda.settings.update(blocks=3, warps=1)
    second = opened.compile()
    again = generate(second, opened.plan, crowd, count)
    second.close()
    del host_cuda.settings["blocks"], host_cuda.settings["warps"]
    assert together == again
    assert together[:3] == alone
    np.testing.assert_array_equal(chunked[1], chunked[0])
    np.testing.assert_array_equal(chunked[2], chunked[0])


def test_decode_steps_replay_a_graph_per_bucket(opened: Opened, host_cuda: HostCuda) -> None:
    executable = opened.compile()
    driver = host_cuda.drivers[-1]
    crowd = prompts(9)
    generate(executable, opened.plan, crowd, 4)
    assert len(driver.graphs) == 1
    assert driver.counts["graph"] == 3
    launches, copies = driver.counts["launch"], driver.counts["copy"]
    generate(executable, opened.plan, crowd, 4)
    steps = 4
    prompt_calls = len(lower(opened.programs.prefill, opened.file.tensors, opened.plan).calls)
    assert driver.counts["launch"] - launches == prompt_calls + steps, "a decode step launches `begin`, then a graph"
    assert driver.counts["copy"] - copies == 2 * steps, "the packet in, what was drawn out"
    generate(executable, opened.plan, crowd[:2], 3)
    assert len(driver.graphs) == 2
    executable.close()
    assert all(graph.closed for graph in driver.graphs)


class PromptDriver(HostDriver):
    """Has prompt kernels that compute nothing; keeps what was launched."""

    has_prompt_kernels = True

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[tuple[str, int]] = []  # phase and flags; prompt kernels: name and rows
        self.tables: set[int] = set()  # where prompt kernels of experts look for addresses

    def launch(self, phase: str, machine: int, call: int, flags: int, blocks: int) -> None:
        self.launched.append((phase, flags))
        super().launch(phase, machine, call, flags, blocks)

    def launch_prompt(self, launch: Launch) -> None:
        names = list(KERNELS[Cubins.entry(launch.kernel)])
        self.launched.append((launch.kernel, launch.arguments[names.index("rows")] if "rows" in names else 0))
        self.tables |= {launch.arguments[i] for i, name in enumerate(names) if name in ("gate", "up", "down")}


def test_prompt_kernels_take_the_prompt_rows_of_what_they_can(opened: Opened) -> None:
    """Linears and experts once per kind of row; a kind that is not there is not launched."""
    cuda = HostCuda(PromptDriver)
    executable = cuda.compile(opened.programs, opened.file.tensors, opened.plan)
    (driver,) = cuda.drivers
    assert isinstance(driver, PromptDriver)
    entered = [enter(opened.plan, slot, 3) for slot in (0, 1)]
    prompt = Span(0, Kind.PROMPT, 0, [1, 2, 3], 1, sample=True)
    both = [Span(1, Kind.PROMPT, 0, [1, 2, 3, 4], 1), Span(0, Kind.GENERATED, 3, None, 1, sample=True)]
    launched = []
    for spans, slot in (([prompt], 0), (both, 1)):
        driver.launched.clear()
        executable.submit(Batch(spans, [entered[slot][0]], [entered[slot][1]]))
        executable.collect()
        launched.append(list(driver.launched))
    lowered = [lower(program, opened.file.tensors, opened.plan) for program in opened.programs]
    stacks, table = find_stacks(lowered, opened.file.tensors), executable.memory.address("expert table")
    assert driver.tables == set(weight_entries(stacks, table).values())
    executable.close()
    calls = lowered[0].calls
    found = prompt_calls(calls)
    assert found
    alone, mixed = [], []
    for number, call in enumerate(calls):
        if number not in found:
            alone.append((call.phase, 0))
            mixed.append((call.phase, 0))
            continue
        rows = {"T": (3, 4), "R": (1, 1)}[Axis(int(call.words["axis"])).name]
        has_rows = "rows" in KERNELS[call.phase]
        alone.append((found[number].kernel, rows[0] * has_rows))
        mixed += [(call.phase, GENERATED_ONLY), (found[number].kernel, rows[1] * has_rows)]
    assert launched == [[("begin", 0), *alone], [("begin", 0), *mixed]]


def test_buckets() -> None:
    assert [bucket_of(rows) for rows in (1, 2, 3, 8, 9, 64)] == [1, 2, 4, 8, 16, 64]
    assert list(BUCKETS) == sorted(BUCKETS)


def test_more_sequences_than_the_persistent_kernel_takes_repeat_graphs(opened: Opened, host_cuda: HostCuda) -> None:
    executable = opened.compile()
    driver, crowd = host_cuda.drivers[-1], prompts(9)
    single = generate(executable, opened.plan, crowd, 12)
    for number in (9, 8):
        generate(executable, opened.plan, crowd, 1)
        spans = [Span(slot, Kind.GENERATED, len(p), None, 1, sample=True) for slot, p in enumerate(crowd[:number])]
        executable.submit(Batch(spans, steps=11))
        results = [executable.collect()]
        while results[-1].more:
            results.append(executable.collect())
        tokens = np.concatenate([result.tokens for result in results], axis=1)
        assert [row[1:] for row in single[:number]] == tokens.tolist()
        assert driver.counts["decode"] == (number == 8)
    executable.close()


def test_more_rows_than_sequences_are_launched_one_by_one(opened: Opened, host_cuda: HostCuda) -> None:
    """Generated rows that are computed again may be many: `attend` computes them, to the same bits as its splits."""
    wide = replace(opened, plan=replace(opened.plan, max_rows=80, context=80, blocks=80))
    executable = wide.compile()
    entered, table = enter(wide.plan, 0, 2)
    tokens = [(7 * i) % 500 for i in range(72)]
    executable.submit(Batch([Span(0, Kind.PROMPT, 0, tokens[:2])], [entered], [table]))
    executable.submit(Batch([Span(0, Kind.GENERATED, 2, tokens[2:], 1)], want_logits=True))
    executable.collect()
    logits = executable.collect().outputs["logits"]
    assert host_cuda.drivers[-1].counts["graph"] == 0
    for start in range(2, 72, 10):
        last = start + 10 == 72
        rows = Span(0, Kind.GENERATED, start, tokens[start : start + 10], int(last))
        executable.submit(Batch([rows], want_logits=last))
        again = executable.collect()
    np.testing.assert_array_equal(again.outputs["logits"], logits)
    assert host_cuda.drivers[-1].counts["graph"] == 7
    executable.close()


def test_what_the_card_has_no_room_for_names_the_budget(opened: Opened, host_cuda: HostCuda) -> None:
    total = budget_of(opened, opened.plan).total
    host_cuda.settings["memory_bytes"] = RESERVE_BYTES + total - 1
    with pytest.raises(CompileError, match=r"cuda: the model needs .*weights .*kv .*KV for \d+ positions"):
        opened.compile()
    assert host_cuda.drivers[-1].closed
    host_cuda.settings["memory_bytes"] = RESERVE_BYTES + total
    opened.compile().close()
    del host_cuda.settings["memory_bytes"]


@pytest.mark.parametrize("fails", range(1, 12, 2))
def test_a_compile_that_fails_halfway_gives_all_back(opened: Opened, host_cuda: HostCuda, fails: int) -> None:
    """The card refuses an allocation although there should be room. The driver checks that nothing is left."""
    host_cuda.settings["refuses"] = fails
    with pytest.raises(CompileError, match=rf"cuda: allocation {fails} is refused.*\d+ were free"):
        opened.compile()
    del host_cuda.settings["refuses"]
    assert host_cuda.drivers[-1].closed


def test_closing_ends_what_is_in_flight(opened: Opened) -> None:
    executable = opened.compile()
    generate(executable, opened.plan, prompts(2), 2)
    spans = [Span(slot, Kind.GENERATED, 0, None, 1, sample=True) for slot in range(2)]
    executable.submit(Batch(spans, steps=MAX_STEPS // 4))
    executable.submit(Batch([]))
    executable.close()
    executable.close()


@pytest.mark.parametrize("steps", [1, 20])
@pytest.mark.parametrize("cooperative", [True, False])
def test_a_fault_on_the_card_is_raised_by_collect(
    opened: Opened, host_cuda: HostCuda, steps: int, cooperative: bool
) -> None:
    host_cuda.settings["card"] = replace(CARD, cooperative=cooperative)
    executable = opened.compile()
    del host_cuda.settings["card"]
    generate(executable, opened.plan, prompts(1), 2)
    host_cuda.drivers[-1].fail("an illegal address")
    executable.submit(Batch([Span(0, Kind.GENERATED, 0, None, 1, sample=True)], steps=steps))
    with pytest.raises(DeviceError, match="an illegal address"):
        executable.collect()
    with pytest.raises(DeviceError):
        executable.close()
    assert host_cuda.drivers[-1].closed, "given back all the same"


def test_a_refused_batch_starts_nothing(executable: CudaExecutable, opened: Opened) -> None:
    """Admission, before anything is launched; and the contract's two in flight."""
    entered, table = enter(opened.plan, 0, 3)
    with pytest.raises(BatchError, match="the block table ends"):
        executable.submit(Batch([Span(0, Kind.PROMPT, 0, [1, 2, 3], 1, sample=True)], [entered]))
    with pytest.raises(RuntimeError, match="no step is in flight"):
        executable.collect()
    executable.submit(Batch([Span(0, Kind.PROMPT, 0, [1, 2, 3], 1, sample=True)], [entered], [table]))
    executable.submit(Batch([]))
    with pytest.raises(RuntimeError, match="2 steps are in flight"):
        executable.submit(Batch([]))
    assert executable.collect().counts.tolist() == [1]
    assert executable.collect().counts.tolist() == []


def test_a_program_that_does_not_verify_is_refused_before_a_card_is_opened(opened: Opened, host_cuda: HostCuda) -> None:
    before = len(host_cuda.drivers)
    decode = opened.programs.decode
    values = {name: replace(shape, width=shape.width + 1) for name, shape in decode.values.items()}
    programs = replace(opened.programs, decode=replace(decode, values=values))
    with pytest.raises((VerifyError, CompileError)):
        host_cuda.compile(programs, opened.file.tensors, opened.plan)
    assert len(host_cuda.drivers) == before


@pytest.mark.parametrize("limited", [True, False])
def test_a_kernel_time_limit_reaches_the_machine(opened: Opened, host_cuda: HostCuda, limited: bool) -> None:
    host_cuda.settings["card"] = replace(CARD, time_limit=limited)
    executable = opened.compile()
    del host_cuda.settings["card"]
    machines = [
        array.bytes.view(MACHINE) for array in host_cuda.drivers[-1].memory.values() if len(array.bytes) == SIZE
    ]
    assert [int(machine["time_limit"][0]) for machine in machines] == [1_000_000 * limited] * 2
    assert [int(machine["ring_entries"][0]) for machine in machines] == [RING_ENTRIES] * 2
    executable.close()
