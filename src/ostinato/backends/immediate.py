"""What executables have in common that do a step when it is submitted: no thread, paged state in arrays of the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.batch_table import MAX_IN_FLIGHT
from ostinato.backends.contract import Plan, StateAction, StepResult, check_batch
from ostinato.backends.pools import move_blocks
from ostinato.backends.runs import MAX_STEPS, run_steps
from ostinato.backends.stepstate import StepState
from ostinato.program.ir import Programs


class ImmediateExecutable(ABC):
    """All but a step itself. `pools`: blocks of every cache group."""

    max_steps = MAX_STEPS
    store = None
    keeps_state = True

    def __init__(self, programs: Programs, plan: Plan, pools: Sequence[np.ndarray]) -> None:
        self._programs, self._plan, self._pools = programs, plan, pools
        self._state = StepState(plan, len(programs.caches))
        self._results: deque[StepResult] = deque()

    def submit(self, batch: Batch) -> None:
        if len(self._results) == MAX_IN_FLIGHT:
            raise RuntimeError(f"{MAX_IN_FLIGHT} steps are in flight; collect one first")
        check_batch(batch, self._plan, self._programs.vocab_size, MAX_STEPS)
        self._results.append(run_steps(batch, self._step, self._state))

    def collect(self) -> StepResult:
        if not self._results:
            raise RuntimeError("no step is in flight")
        return self._results.popleft()

    def state(
        self,
        action: StateAction,
        cache: int,
        blocks: Sequence[int],
        *,
        to: Sequence[int] = (),
        data: bytes = b"",
    ) -> bytes:
        return move_blocks(self._pools[cache], action, blocks, to, data)

    def close(self) -> None:
        self._results.clear()

    @abstractmethod
    def _step(self, batch: Batch) -> StepResult:
        """A single step, which advances `_state`. Raises BatchError, before it does, where state cannot go on so."""
