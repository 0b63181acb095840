"""The WebGPU backend: WGSL shaders on whatever adapter is there, through wgpu-py (Vulkan, Metal, DirectX 12).

`pip install ostinato[webgpu]`. wgpu is imported on use only. A software adapter works, and is used when named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ostinato.backends.contract import CompileError, Plan, Probe, refuse_device_budget, refuse_streaming
from ostinato.model.weights import StoredTensor
from ostinato.program.ir import Programs

if TYPE_CHECKING:
    from ostinato.backends.webgpu.executable import WebGpuExecutable
    from ostinato.backends.webgpu.pipelines import Pipelines


@dataclass(frozen=True)
class Restriction:
    """What not to use although the adapter has it: so that a test sees what a lesser adapter would do."""

    limits: Mapping[str, int] = field(default_factory=dict)  # by WebGPU's names, with dashes
    features: frozenset[str] | None = None  # at most these; None: all there are
    weight_bytes: int = 1 << 62  # of one binding of a weight


class WebGpuBackend:
    """The best adapter: a real one before a software one, a discrete card before an integrated one.

    Opened once, when something is first compiled: executables share the device and its compiled shaders.
    """

    name = "webgpu"

    def __init__(self, restriction: Restriction = Restriction()) -> None:
        self._restriction = restriction
        self._pipelines: Pipelines | None = None

    def probe(self) -> Probe:
        """Adapter, API, limits and features; or why there is none."""
        try:
            from ostinato.backends.webgpu.adapter import describe
        except (ImportError, OSError, RuntimeError) as error:  # not there, or without its library
            return Probe(self.name, False, f"wgpu cannot be imported ({error}): pip install 'ostinato[webgpu]'")
        return describe(self.name)

    def compile(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> WebGpuExecutable:
        """Raises CompileError naming the op, type or limit that is lacking, or what memory would be needed."""
        refuse_streaming(self.name, plan)
        refuse_device_budget(self.name, plan)
        from ostinato.backends.webgpu.executable import WebGpuExecutable

        if self._pipelines is None:
            self._pipelines = self._open()
        return WebGpuExecutable(self._pipelines, programs, tensors, plan, self._restriction.weight_bytes)

    def _open(self) -> Pipelines:
        from ostinato.backends.webgpu.adapter import best, open_device
        from ostinato.backends.webgpu.pipelines import Pipelines

        adapter = best()
        if adapter is None:
            raise CompileError(f"{self.name}: no adapter is there")
        return Pipelines(open_device(adapter, self._restriction.limits, self._restriction.features))
