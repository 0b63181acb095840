"""Compute pipelines: one per phase and shapes, however many calls share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import wgpu

from ostinato.backends.device.lower import Call
from ostinato.backends.webgpu.adapter import Device
from ostinato.backends.webgpu.bindings import bindings
from ostinato.backends.webgpu.shaders import assemble


@dataclass(frozen=True)
class Pipeline:
    """A compiled shader with its shapes, and the layout of its operands."""

    handle: Any  # wgpu.GPUComputePipeline
    layout: Any  # wgpu.GPUBindGroupLayout


class Pipelines:
    """Pipelines of one device by phase and shapes. Errors in a shader raise wgpu.GPUValidationError."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._modules: dict[str, Any] = {}
        self._layouts: dict[tuple[tuple[int, str], ...], Any] = {}
        self._pipelines: dict[tuple[object, ...], Pipeline] = {}

    def __len__(self) -> int:
        return len(self._pipelines)

    def get(self, call: Call) -> Pipeline:
        """The pipeline that runs `call`."""
        key = (call.phase, *call.shapes().items())
        if key not in self._pipelines:
            self._pipelines[key] = self._make(call)
        return self._pipelines[key]

    def _make(self, call: Call) -> Pipeline:
        device, layout = self.device.handle, self._layout(bindings(call.phase))
        handle = device.create_compute_pipeline(
            label=call.phase,
            layout=device.create_pipeline_layout(bind_group_layouts=[layout]),
            compute={"module": self._module(call), "entry_point": "main", "constants": call.shapes()},
        )
        return Pipeline(handle, layout)

    def _module(self, call: Call) -> Any:
        text = assemble(call, self.device.features)
        if text not in self._modules:
            self._modules[text] = self.device.handle.create_shader_module(label=call.phase, code=text)
        return self._modules[text]

    def _layout(self, kinds: dict[int, str]) -> Any:
        key = tuple(kinds.items())
        if key not in self._layouts:
            entries = [
                {"binding": binding, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": kind}}
                for binding, kind in key
            ]
            self._layouts[key] = self.device.handle.create_bind_group_layout(entries=entries)
        return self._layouts[key]
