"""Pools: the blocks of a cache group as one array, and what `Executable.state` does with them.

For backends whose keys and values lie in this process's memory; what a block holds is each backend's own affair.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostinato.backends.contract import CompileError, KVType, Plan, StateAction
from ostinato.program.ir import CacheGroup

LINE = 64  # bytes of a cache line, on which pools begin


def make_pool(group: CacheGroup, plan: Plan) -> np.ndarray:
    """uint8 [blocks, bytes of a block], in the plan's memory where it gives some, else zeros.

    Raises CompileError where that memory is not of the size that the group needs, or where heads hold no whole blocks
    of the plan's type.
    """
    check_heads(group, plan.kv_type)
    need = plan.cache_bytes(group)
    memory = plan.memory.get(group.name)
    if memory is None:
        room = np.zeros(need + LINE, dtype=np.uint8)
        start = -room.ctypes.data % LINE
        return room[start : start + need].reshape(plan.blocks, -1)
    if memory.nbytes != need:
        raise CompileError(f"cache {group.name!r} needs {need} bytes, the plan gives {memory.nbytes}")
    return np.frombuffer(memory, dtype=np.uint8).reshape(plan.blocks, -1)


def check_heads(group: CacheGroup, kv_type: KVType) -> None:
    """Raises CompileError for heads that are no whole number of the type's blocks."""
    block = kv_type.tensor_type.block_elements
    for dim in (group.key_dim, group.value_dim):
        if dim % block:
            raise CompileError(
                f"keys and values as {kv_type.value} come in blocks of {block}; cache {group.name!r} has heads of {dim}"
            )


def move_blocks(pool: np.ndarray, action: StateAction, blocks: Sequence[int], to: Sequence[int], data: bytes) -> bytes:
    """`Executable.state` on `pool`, [blocks, ...] of any type: the bytes of a SPILL, else none. DROP does nothing."""
    if action is StateAction.DROP:
        return b""
    if action is StateAction.SPILL:
        return pool[list(blocks)].tobytes()
    if action is StateAction.COPY:
        pool[list(to)] = pool[list(blocks)]
    else:
        pool[list(blocks)] = np.frombuffer(data, dtype=pool.dtype).reshape(len(blocks), *pool.shape[1:])
    return b""


def give_back(pool: np.ndarray, blocks: Sequence[int]) -> None:
    """Gives whole pages of consecutive `blocks` back to the system; `pool` is a view [blocks, heads, bytes] of memory
    in which the blocks of a head lie one after the other."""
    from ostinato import _memory

    for head in range(pool.shape[1]):
        _memory.give_back(pool[blocks[0] : blocks[-1] + 1, head].reshape(-1))
