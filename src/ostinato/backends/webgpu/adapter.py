"""Adapters: which there are, which one is used, and a device on it with what shaders profit from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import wgpu

from ostinato.backends.contract import CompileError, Probe
from ostinato.backends.webgpu import vulkan

_API = {"Vulkan": "Vulkan", "Metal": "Metal", "D3D12": "DirectX 12"}  # OpenGL has no storage buffers to speak of
_TYPES = ("DiscreteGPU", "IntegratedGPU", "Unknown", "CPU")  # in the order of choice
_BINDING, _BUFFER = "max-storage-buffer-binding-size", "max-buffer-size"
_INDEXABLE = (1 << 32) - 256  # bytes of a binding in which an i32 counts words, and a u32 float16s

# What every adapter has: the defaults of the WebGPU specification, for what a compute shader meets.
DEFAULT_LIMITS: Mapping[str, int] = {
    "max-bind-groups": 4,
    "max-bindings-per-bind-group": 1000,
    "max-storage-buffers-per-shader-stage": 8,
    "max-uniform-buffers-per-shader-stage": 12,
    "max-uniform-buffer-binding-size": 1 << 16,
    _BINDING: 1 << 27,
    _BUFFER: 1 << 28,
    "min-storage-buffer-offset-alignment": 256,
    "min-uniform-buffer-offset-alignment": 256,
    "max-compute-workgroup-storage-size": 1 << 14,
    "max-compute-invocations-per-workgroup": 256,
    "max-compute-workgroup-size-x": 256,
    "max-compute-workgroups-per-dimension": 65535,
}

# Our name of a feature -> the device feature it needs, or "" where every device of wgpu has it (naga translates
# dot4I8Packed to the instruction where there is one).
FEATURES: Mapping[str, str] = {"f16": "shader-f16", "subgroups": "subgroup", "dot4I8Packed": ""}


@dataclass(frozen=True)
class Device:
    """An open device, the limits its buffers keep to, and the features its shaders may use."""

    handle: Any  # wgpu.GPUDevice
    limits: Mapping[str, int]
    features: frozenset[str]
    memory: int  # bytes, of a card with its own; 0: not known

    @property
    def binding_bytes(self) -> int:
        """Most bytes that a shader sees as one array."""
        return _binding_bytes(self.limits)

    @property
    def buffer_bytes(self) -> int:
        """Most bytes of one buffer."""
        return self.limits[_BUFFER]

    @property
    def alignment(self) -> int:
        """Bytes at whose multiples a binding may begin."""
        return max(
            self.limits["min-storage-buffer-offset-alignment"], self.limits["min-uniform-buffer-offset-alignment"]
        )


def best() -> Any | None:
    """The adapter to use, or None."""
    _begin()
    found = [a for a in wgpu.gpu.enumerate_adapters_sync() if a.info["backend_type"] in _API]
    return min(found, key=_rank, default=None)


def describe(name: str) -> Probe:
    """The probe of the best adapter; unfit if it is a processor."""
    adapter = best()
    if adapter is None:
        return Probe(name, False, f"no adapter of {', '.join(_API.values())}: is a driver installed?")
    info, limits = adapter.info, adapter.limits
    memory = own_memory(adapter)
    detail = {
        "type": info["adapter_type"],
        "API": _API[info["backend_type"]],
        "driver": info["description"],
        "binding": f"{limits[_BINDING] / 1e6:.0f} MB",
        "buffer": f"{limits[_BUFFER] / 1e6:.0f} MB",
        "features": ", ".join(sorted(_features(adapter))) or "none",
    }
    if info["adapter_type"] == "DiscreteGPU":
        detail["memory"] = f"{memory / 1e9:.1f} GB" if memory else "unknown"
    unfit = "a software adapter is only used when it is named" if info["adapter_type"] == "CPU" else ""
    return Probe(
        name, True, info["device"], detail, unfit=unfit, memory_bytes=memory, layer_bytes=_binding_bytes(limits)
    )


def open_device(adapter: Any, limits: Mapping[str, int], features: frozenset[str] | None) -> Device:
    """A device with the defaults, but bindings and buffers as large as the adapter allows; `limits` replace some,
    `features` are the only ones to use. Raises CompileError where the adapter gives none."""
    larger = {name: max(DEFAULT_LIMITS[name], adapter.limits[name]) for name in (_BINDING, _BUFFER)}
    chosen = _features(adapter) if features is None else _features(adapter) & features
    try:
        handle = adapter.request_device_sync(
            label="ostinato",
            required_features=[FEATURES[name] for name in chosen if FEATURES[name]],
            required_limits={**DEFAULT_LIMITS, **larger, **limits},
        )
    except (RuntimeError, wgpu.GPUError) as error:
        raise CompileError(f"webgpu: {adapter.info['device']} gives no device: {error}") from error
    return Device(handle, dict(handle.limits), chosen, own_memory(adapter))


def own_memory(adapter: Any) -> int:
    """Bytes of memory that is the card's own; 0 where it has none or nobody says."""
    if adapter.info["adapter_type"] != "DiscreteGPU":
        return 0
    return vulkan.memory_bytes(adapter.info["vendor_id"], adapter.info["device_id"])


@cache
def _begin() -> None:
    """Keeps OpenGL and windows out of it, unless another part of the process has begun with wgpu before.

    Mesa's layer that asks the window system for its favourite card complains on stderr where there is none.
    """
    from wgpu.backends.wgpu_native import extras

    os.environ.setdefault("NODEVICE_SELECT", "1")
    try:
        extras.set_instance_extras(backends=["Vulkan", "Metal", "DX12"])
    except RuntimeError:
        return  # OpenGL adapters are filtered by `best`


def _binding_bytes(limits: Mapping[str, int]) -> int:
    """Most bytes of one binding: the adapter's limit, or ours."""
    return min(limits[_BINDING], limits[_BUFFER], _INDEXABLE)


def _rank(adapter: Any) -> tuple[int, int]:
    kind, api = adapter.info["adapter_type"], adapter.info["backend_type"]
    return _TYPES.index(kind if kind in _TYPES else "Unknown"), list(_API).index(api)


def _features(adapter: Any) -> frozenset[str]:
    return frozenset(name for name, needs in FEATURES.items() if not needs or needs in adapter.features)
