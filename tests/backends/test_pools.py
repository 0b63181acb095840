"""Pools of blocks: in memory of the plan's or their own, and moved about."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.backends.choose import choose
from ostinato.backends.contract import CompileError, KVType, Plan, StateAction
from ostinato.backends.pools import make_pool, move_blocks
from ostinato.program.ir import CacheGroup
from tests.backends.cases import CASES

GROUP = CacheGroup("full", layers=2, kv_heads=1, key_dim=4, value_dim=4)
ATTEND = next(case for case in CASES if case.caches)


def test_a_pool_is_the_memory_that_the_plan_gives() -> None:
    memory = np.zeros(Plan(blocks=3).cache_bytes(GROUP) // 4, np.int32)  # bytes count, not elements
    pool = make_pool(GROUP, Plan(blocks=3, memory={"full": memory.data}))
    pool[2] = 1
    assert pool.shape == (3, 2 * 16 * 8 * 2)
    assert memory[-1] == 0x01010101
    assert memory[0] == 0


@pytest.mark.parametrize("backend", ["cpu", "reference", "null"])  # those that keep state in the plan's memory
@pytest.mark.parametrize("wrong", [-8, 8])
def test_memory_of_another_size_is_refused(backend: str, wrong: int) -> None:
    programs, tensors = ATTEND.programs()
    group, plan = programs.caches[0], Plan(blocks=4)
    memory = memoryview(bytearray(plan.cache_bytes(group) + wrong))
    with pytest.raises(CompileError, match=f"needs {plan.cache_bytes(group)} bytes, the plan gives {len(memory)}"):
        choose(backend).compile(programs, tensors, Plan(blocks=4, memory={group.name: memory}))


@pytest.mark.parametrize("backend", ["cpu", "reference", "null"])
def test_heads_of_no_whole_blocks_are_refused(backend: str) -> None:
    case = next(case for case in CASES if case.caches and case.caches[0].key_dim % 32)
    programs, tensors = case.programs()
    with pytest.raises(CompileError, match=r"q8_0 come in blocks of 32; cache 'full' has heads of \d+"):
        choose(backend).compile(programs, tensors, Plan(blocks=4, kv_type=KVType.Q8_0))


def test_q8_0_takes_34_bytes_for_32_elements() -> None:
    group = CacheGroup("full", layers=3, kv_heads=2, key_dim=64, value_dim=32)
    assert Plan(blocks=5, kv_type=KVType.Q8_0).cache_bytes(group) == 5 * 16 * 3 * 2 * (64 + 32) * 34 // 32


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.uint64])
def test_blocks_are_copied_spilled_and_restored(dtype: type[np.generic]) -> None:
    pool = np.arange(40).astype(dtype).reshape(5, 8)
    before = pool.copy()
    assert move_blocks(pool, StateAction.COPY, [0, 1], [3, 2], b"") == b""
    assert (pool == before[[0, 1, 1, 0, 4]]).all()
    spilled = move_blocks(pool, StateAction.SPILL, [4, 1], [], b"")
    assert spilled == before[[4, 1]].tobytes()
    assert move_blocks(pool, StateAction.RESTORE, [0, 3], [], spilled) == b""
    assert (pool == before[[4, 1, 1, 1, 4]]).all()
