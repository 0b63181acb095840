"""Pools: the blocks of a cache group as one array, and what `Executable.state` does with them.

For backends whose keys and values lie in this process's memory; what a block holds is each backend's own affair.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostinato.backends.contract import CompileError, Plan, StateAction
from ostinato.program.ir import CacheGroup


def make_pool(group: CacheGroup, plan: Plan) -> np.ndarray:
    """uint8 [blocks, bytes of a block], in the plan's memory where it gives some, else zeros.

    Raises CompileError where that memory is not of the size that the group needs.
    """
    need = plan.cache_bytes(group)
    memory = plan.memory.get(group.name)
    if memory is None:
        return np.zeros((plan.blocks, need // plan.blocks), dtype=np.uint8)
    if memory.nbytes != need:
        raise CompileError(f"cache {group.name!r} needs {need} bytes, the plan gives {memory.nbytes}")
    return np.frombuffer(memory, dtype=np.uint8).reshape(plan.blocks, -1)


def move_blocks(pool: np.ndarray, action: StateAction, blocks: Sequence[int], to: Sequence[int], data: bytes) -> bytes:
    """`Executable.state` on `pool`, [blocks, elements] of any type: the bytes of a SPILL, else none."""
    if action is StateAction.SPILL:
        return pool[list(blocks)].tobytes()
    if action is StateAction.COPY:
        pool[list(to)] = pool[list(blocks)]
    else:
        pool[list(blocks)] = np.frombuffer(data, dtype=pool.dtype).reshape(len(blocks), -1)
    return b""
