"""The CPU backend: programs compiled for the C++ executor (native/cpu), on weights where they lie.

A step runs wholly in C++ threads without the GIL. OSTINATO_CPU=portable|avx2|avx512|amx|neon|i8mm forces a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ostinato.backends.contract import Plan, Probe, refuse_device_budget
from ostinato.model.weights import StoredTensor
from ostinato.program.ir import Programs

if TYPE_CHECKING:
    from ostinato.backends.cpu.executable import CpuExecutable


class CpuBackend:
    """Threads and vector instructions of this machine's processor."""

    name = "cpu"

    def probe(self) -> Probe:
        """Processor, cores, instruction level and memory; or why the backend cannot run."""
        from ostinato.backends.cpu.machine import describe

        return describe(self.name)

    def compile(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> CpuExecutable:
        """Raises CompileError naming the op, tensor or instruction level that is lacking."""
        from ostinato.backends.cpu.executable import CpuExecutable

        refuse_device_budget(self.name, plan)
        return CpuExecutable(programs, tensors, plan)
