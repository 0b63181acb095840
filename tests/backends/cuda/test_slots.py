"""Experts in a budget, on kernels compiled for the host: whatever has a slot and whenever it moves, bits stay.

A transfer takes a while here, and its destination holds NaN meanwhile: a table that named it would be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import CompileError, Plan
from ostinato.backends.cuda.bus import measure_bus
from ostinato.backends.cuda.driver import DeviceError, OutOfDeviceMemoryError
from ostinato.backends.cuda.executable import RESERVE_BYTES, CudaExecutable
from ostinato.backends.cuda.home import build_home
from ostinato.backends.cuda.image import MAX_STEPS
from ostinato.backends.cuda.memory import Memory
from ostinato.backends.cuda.slots import Slots
from ostinato.backends.cuda.stacks import expert_count, find_stacks, resident_table
from ostinato.backends.device.budget import make_budget
from ostinato.backends.device.experts import DeviceExperts, plan_experts
from ostinato.backends.device.lower import lower
from ostinato.backends.device.planes import to_planes
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.memory.cost import Line
from ostinato.memory.hot import MOST_MOVES, BusCosts, HotSet, Move, first_parcels
from ostinato.model.weights import Rows, resolve
from tests.backends.cuda.budgets import Restless, budget_of
from tests.backends.cuda.host_driver import HostCuda, HostDriver
from tests.backends.drive import generate, prompt_logits
from tools.tiny_models import write_tiny_model

LAYERS, EXPERTS, USED = 4, 8, 2
PLENTY = 1 << 40
Story = tuple[list[list[int]], list[list[list[int]]], bytes]


@pytest.fixture(scope="module")
def opened(host_cuda: HostCuda, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Experts of two sizes: Q4_K_M has some layers' down in Q6_K."""
    path: Path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_model(path, moe=True, type="Q4_K_M", layers=LAYERS)
    return open_model(path, Options(backend="cuda", context=64, max_sequences=12, max_rows=64))


def compiled(opened: Opened, share: float) -> CudaExecutable:
    made = replace(opened, plan=budget_of(opened, share)).compile()
    assert isinstance(made, CudaExecutable)
    return made


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(count)
    return [[int(t) for t in random.integers(3, 500, int(n))] for n in random.integers(1, 12, count)]


def run(executable: CudaExecutable, plan: Plan, crowd: Sequence[Sequence[int]], steps: int) -> list[list[int]]:
    """Tokens of a run behind one step of prompts."""
    generate(executable, plan, crowd, 1)
    spans = [Span(slot, Kind.GENERATED, len(p), None, 1, sample=True) for slot, p in enumerate(crowd)]
    executable.submit(Batch(spans, steps=steps))
    results = [executable.collect()]
    while results[-1].more:
        results.append(executable.collect())
    tokens: list[list[int]] = np.concatenate([result.tokens for result in results], axis=1).tolist()
    return tokens


def story(executable: CudaExecutable, plan: Plan) -> Story:
    """Single steps; runs by the persistent kernel and by graphs; logits of a prompt in chunks."""
    crowd = prompts(9)
    runs = [run(executable, plan, crowd[:count], 6) for count in (3, 9)]
    return generate(executable, plan, crowd[:5], 6), runs, prompt_logits(executable, plan, crowd[0] * 2, 5).tobytes()


@pytest.fixture(scope="module")
def resident(opened: Opened) -> Story:
    executable = opened.compile()
    assert isinstance(executable, CudaExecutable)
    assert executable.keeper is None
    told = story(executable, opened.plan)
    executable.close()
    return told


@pytest.fixture
def slow(host_cuda: HostCuda) -> Iterator[None]:
    host_cuda.settings["transfer_seconds"] = 0.002
    yield
    del host_cuda.settings["transfer_seconds"]


@pytest.mark.parametrize(
    "share", [0.5, 0.0, pytest.param(0.9, marks=pytest.mark.slow), pytest.param(0.25, marks=pytest.mark.slow)]
)
def test_any_budget_and_any_moves_leave_every_bit(opened: Opened, resident: Story, slow: None, share: float) -> None:
    executable = compiled(opened, share)
    keeper = executable.keeper
    assert keeper is not None
    policy = Restless(keeper.slots.plan, keeper.slots.residents)
    keeper.policy = policy
    assert story(executable, opened.plan) == resident
    keeper.slots.check_integrity()
    assert (keeper.slots.moves > 9) == (share > 0)
    assert len(keeper.slots.residents) <= keeper.slots.plan.slots == pytest.approx(share * LAYERS * EXPERTS, abs=2)
    executable.close()


def test_who_decides_in_earnest(opened: Opened, resident: Story, slow: None) -> None:
    """On a bus where a move costs a read; policy and slots agree on who is where."""
    executable = compiled(opened, 0.5)
    assert executable.keeper is not None
    slots = executable.keeper.slots
    policy = HotSet(slots.plan, BusCosts(Line(0.0, 1e9)), slots.residents)
    executable.keeper.policy = policy
    assert story(executable, opened.plan) == resident
    executable.memory.driver.synchronize()
    slots.settle()
    slots.check_integrity()
    policy.check_integrity()
    assert slots.residents == policy.resident
    assert slots.moves == policy.moves > 0
    executable.close()


def test_what_the_card_and_the_host_hold(opened: Opened) -> None:
    """No more than the budget and the tables."""
    executable = compiled(opened, 0.5)
    plan = budget_of(opened, 0.5)
    assert plan.device_memory is not None
    assert executable.memory.bytes["expert table"] == 24 * LAYERS * EXPERTS
    assert sum(executable.memory.bytes.values()) < plan.device_memory + 100_000
    assert executable.keeper is not None
    assert executable.memory.pinned_bytes["experts"] == executable.keeper.slots.plan.pinned_bytes
    executable.close()


def test_uses_are_counted_in_steps_and_runs(opened: Opened, slow: None) -> None:
    """Every row of every step, twice in each layer; the last collect's are seen at the next look."""
    executable, crowd = compiled(opened, 0.5), prompts(3)
    assert executable.keeper is not None
    policy = Restless(executable.keeper.slots.plan, executable.keeper.slots.residents)
    executable.keeper.policy = policy
    run(executable, opened.plan, crowd, 9)
    for _ in range(50):  # looks are a step late, and wait for moves
        executable.submit(Batch([]))
        executable.collect()
        executable.memory.driver.synchronize()
    rows = sum(map(len, crowd)) + 9 * len(crowd)
    assert policy.uses.reshape(LAYERS, EXPERTS).sum(axis=1).tolist() == [USED * rows] * LAYERS
    assert policy.steps >= 10
    executable.close()


@pytest.mark.parametrize("fails", range(1, 20, 3))
def test_a_compile_that_fails_halfway_gives_all_back(opened: Opened, host_cuda: HostCuda, fails: int) -> None:
    """An allocation is refused; the driver checks that nothing is left."""
    host_cuda.settings["refuses"] = fails
    with pytest.raises(CompileError, match=r"refused.*(give less of --gpu-memory|that holds everything)"):
        compiled(opened, 0.5)
    del host_cuda.settings["refuses"]
    assert host_cuda.drivers[-1].closed


class NoRoom(HostDriver):
    """The machine has pinned memory for everything but experts, which are this many bytes."""

    refused = 0

    def pin(self, nbytes: int) -> np.ndarray:
        if nbytes == self.refused:
            raise OutOfDeviceMemoryError(f"no room for {nbytes} bytes")
        return super().pin(nbytes)


def test_a_machine_without_room_for_experts(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    executable = compiled(opened, 0.5)
    assert executable.keeper is not None
    monkeypatch.setattr(NoRoom, "refused", executable.keeper.slots.plan.pinned_bytes)
    executable.close()
    cuda = HostCuda(NoRoom)
    with pytest.raises(
        CompileError, match=r"no room .*experts .*of pinned host memory; free some, or give a --gpu-mem"
    ):
        cuda.compile(opened.programs, opened.file.tensors, budget_of(opened, 0.5))
    assert cuda.drivers[-1].closed


def test_a_budget_that_holds_all_is_resident(opened: Opened) -> None:
    executable = compiled(opened, 1.0)
    assert executable.keeper is None
    executable.close()


# ------------------------------------------------------------------------------------------------ slots alone


class Alone:
    """Slots of the model for half of its experts, on a driver without kernels."""

    def __init__(self, opened: Opened, driver: HostDriver) -> None:
        plan, self.tensors = budget_of(opened, 0.5), opened.file.tensors
        lowered = [lower(program, self.tensors, plan) for program in opened.programs]
        budget = make_budget(opened.programs, lowered, self.tensors, plan, MAX_STEPS)
        experts = plan_experts("cuda", opened.programs, self.tensors, budget, plan, PLENTY - RESERVE_BYTES)
        assert experts is not None
        self.experts: DeviceExperts = experts
        self.driver, self.memory, self.stacks = driver, Memory(driver), find_stacks(lowered, self.tensors)
        self.home = build_home(self.memory, self.stacks, experts, self.tensors)
        table = resident_table([], expert_count(lowered), {})
        self.table = self.memory.allocate("expert table", table.nbytes)
        self.first = first_parcels(experts.plan, experts.stacks)
        self.slots = Slots(self.memory, self.home, experts.plan, self.first, self.table)
        self.shown()[self.home.rows] = self.slots.entries()

    def shown(self) -> np.ndarray:
        """The expert table as kernels see it."""
        return self.driver.memory[self.table].bytes.view(np.uint64).reshape(-1, 3)

    def weights(self, address: int, nbytes: int) -> bytes:
        """What a kernel would read there."""
        kept = (*self.driver.memory.items(), *self.driver.pinned.items())
        start, array = next((s, a) for s, a in kept if s <= address < s + len(a.bytes))
        return array.bytes[address - start : address - start + nbytes].tobytes()

    def check(self) -> None:
        """Kernels find every expert's own weights."""
        self.driver.synchronize()
        self.slots.check_integrity()
        for stack in self.stacks:
            for expert, row in enumerate(stack.rows):
                for operand, (weight, size) in enumerate(zip(stack.weights, stack.sizes, strict=True)):
                    wanted = to_planes(resolve(Rows(weight, expert, expert + 1), self.tensors))
                    found = self.weights(int(self.shown()[row, operand]), size)
                    assert found == b"".join(piece.tobytes() for piece in wanted), f"expert {expert} of {weight}"

    def swaps(self, count: int) -> list[Move]:
        return Restless(self.experts.plan, self.slots.residents).update(np.zeros(0), 0)[:count]

    def finish(self) -> None:
        self.driver.synchronize()
        self.slots.settle()
        self.driver.synchronize()


@pytest.fixture
def alone(opened: Opened) -> Iterator[Alone]:
    made = Alone(opened, HostDriver(transfer_seconds=0.01))
    yield made
    made.memory.close()
    made.driver.close()


def test_every_expert_is_found_before_during_and_after_moves(alone: Alone) -> None:
    alone.check()
    for _ in range(3):
        moves = alone.swaps(5)
        alone.slots.begin(moves)
        assert not alone.slots.idle
        alone.check()  # the copies are done, but nobody has looked: all at home
        assert not {p for move in moves for p in move} & set(alone.slots.residents)
        alone.finish()
        assert alone.slots.idle
        assert {into for _, into in moves} <= set(alone.slots.residents)
        alone.check()
    assert alone.slots.moves == 15


def test_entries_are_written_in_the_order_of_launches(alone: Alone) -> None:
    """What runs before a move sees the old table, what runs behind it the new one, however late the host looks."""
    (move,) = alone.swaps(1)
    rows = [int(alone.home.rows[parcel]) for parcel in move]
    seen: list[np.ndarray] = []
    look = lambda: seen.append(alone.shown()[rows].copy())  # noqa: E731
    alone.driver.do(look)
    alone.slots.begin([move])
    alone.driver.do(look)
    alone.finish()
    alone.driver.do(look)
    alone.driver.synchronize()
    home = alone.home.places[list(move), None] + alone.home.operands[list(move)]
    np.testing.assert_array_equal(seen[1], home)
    assert (seen[0] == home)[:, 0].tolist() == [False, True]
    assert (seen[2] == home)[:, 0].tolist() == [True, False]
    assert seen[2][1, 0] == seen[0][0, 0], "the newcomer has the leaver's slot"


def test_moves_that_cannot_be_are_refused(alone: Alone) -> None:
    out, into = alone.swaps(1)[0]
    other = next(p for p in alone.slots.residents if alone.experts.plan.class_of[p] != alone.experts.plan.class_of[out])
    for moves, words in (
        ([(into, out)], "no slot to give"),
        ([(out, out)], "of different parcels"),
        ([(other, into)], "different sizes"),
        ([(out, into)] * 2, "of different parcels"),
        ([(p, p + 1000) for p in range(MOST_MOVES + 1)], "at most"),
    ):
        with pytest.raises(ValueError, match=words):
            alone.slots.begin(moves)
    assert alone.slots.idle
    alone.slots.begin([(out, into)])
    with pytest.raises(ValueError, match="under way"):
        alone.slots.begin(alone.swaps(1))
    alone.finish()
    alone.check()


def test_an_address_outside_of_this_models_memory_is_never_written(alone: Alone) -> None:
    out, into = alone.swaps(1)[0]
    alone.home.places[out] += len(alone.home.memory)
    with pytest.raises(RuntimeError, match="outside of this model's memory"):
        alone.slots.begin([(out, into)])


def test_a_copy_that_fails_leaves_everybody_at_home(alone: Alone) -> None:
    out, into = alone.swaps(1)[0]
    alone.driver.transfer_seconds = -1.0  # time.sleep refuses: the copy fails when its destination is spoiled
    alone.slots.begin([(out, into)])
    with pytest.raises(DeviceError):
        alone.driver.synchronize()
    with pytest.raises(DeviceError):
        alone.slots.settle()
    home = alone.home.places[[out, into], None] + alone.home.operands[[out, into]]
    np.testing.assert_array_equal(alone.shown()[alone.home.rows[[out, into]]], home)
    alone.slots.check_integrity()


def test_the_bus_is_timed_and_its_memory_given_back() -> None:
    driver = HostDriver(transfer_seconds=0.001)
    memory = Memory(driver)
    line = measure_bus(memory)
    assert line.seconds(1 << 20) >= 0.001
    assert not driver.memory
    assert not driver.pinned
    memory.close()
    driver.close()
