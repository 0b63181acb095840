"""What a plan needs of a device's memory, said before anything is allocated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ostinato.backends.contract import CompileError, Plan
from ostinato.backends.device.lower import Lowered
from ostinato.backends.device.planes import device_bytes
from ostinato.backends.device.state import layout, packet_words, result_words
from ostinato.model.weights import StoredTensor, resolve
from ostinato.program.ir import Programs


@dataclass(frozen=True)
class Budget:
    """Bytes by use. The arena and StepState grow with the plan's rows and context, KV with its blocks."""

    weights: int
    kv: int
    arena: int
    step: int  # StepState, packet, results

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.arena + self.step

    def check(self, backend: str, available: int, plan: Plan) -> None:
        """Raises CompileError, naming what is needed and what context would fit, where `available` bytes are too
        few, or more than the plan's device_memory."""
        if plan.device_memory is not None:
            available = min(available, plan.device_memory)
        if self.total <= available:
            return
        needs = ", ".join(f"{name} {size_text(getattr(self, name))}" for name in ("weights", "kv", "arena", "step"))
        raise CompileError(
            f"{backend}: the model needs {size_text(self.total)} on the device ({needs}); "
            f"{size_text(available)} are there. {self._advice(available, plan)}"
        )

    def _advice(self, available: int, plan: Plan) -> str:
        fixed = self.total - self.kv
        if fixed > available:
            return f"Even without KV it needs {size_text(fixed)}: take a smaller model or another backend"
        positions = plan.blocks * (available - fixed) // self.kv * plan.block_size
        return f"KV for {positions} positions in all would fit (asked for: {plan.blocks * plan.block_size})"


def make_budget(
    programs: Programs, lowered: Sequence[Lowered], tensors: Mapping[str, StoredTensor], plan: Plan, max_steps: int
) -> Budget:
    """The bytes of an executable: packed weights once each, KV, one arena for all programs, step buffers."""
    whole = {expr for program in programs for i in program.instructions for expr in i.weights if expr is not None}
    caches = len(programs.caches)
    words = layout(plan, caches, programs.vocab_size, max_steps)["length"] + packet_words(
        plan, caches, programs.vocab_size
    )
    return Budget(
        weights=sum(device_bytes(resolve(expr, tensors)) for expr in whole),
        kv=sum(plan.cache_bytes(group) for group in programs.caches),
        arena=4 * max(program.arena_words for program in lowered),
        step=4 * (words + sum(result_words(plan, max_steps))),
    )


def size_text(count: int) -> str:
    """Bytes for people: 1234567890 -> 1.23 GB."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6)):
        if count >= bytes_:
            return f"{count / bytes_:.2f} {unit}"
    return f"{count / 1e3:.1f} kB"
