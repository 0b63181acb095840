"""Buffers of one executable: an allocator that knows the adapter's limits, and slices that shaders bind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import wgpu

from ostinato.backends.contract import CompileError, Plan
from ostinato.backends.device.budget import size_text
from ostinato.backends.webgpu.adapter import Device

_USAGE = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_DST | wgpu.BufferUsage.COPY_SRC


class OutOfMemoryError(MemoryError):
    """The device has no room for a buffer."""


@dataclass(frozen=True)
class Slice:
    """Bytes of a buffer that one binding shows."""

    buffer: Any  # wgpu.GPUBuffer
    offset: int
    size: int

    def entry(self, binding: int) -> dict[str, object]:
        """As an entry of a bind group."""
        return {"binding": binding, "resource": {"buffer": self.buffer, "offset": self.offset, "size": self.size}}


def aligned(size: int, alignment: int) -> int:
    """The next multiple."""
    return -(-size // alignment) * alignment


class Allocator:
    """Makes buffers, counts their bytes, and frees them all at once."""

    def __init__(self, device: Device) -> None:
        self.device, self.allocated = device, 0
        self._buffers: list[Any] = []

    def buffer(self, label: str, size: int, usage: int = _USAGE) -> Any:
        """A wgpu.GPUBuffer of zeros. Raises CompileError for a size that no buffer of the adapter has,
        OutOfMemoryError where memory ends."""
        if size > self.device.buffer_bytes:
            most = size_text(self.device.buffer_bytes)
            raise CompileError(f"webgpu: {label} needs {size_text(size)}; a buffer of the adapter has at most {most}")
        try:
            buffer = self.device.handle.create_buffer(label=label, size=size, usage=usage)
        except wgpu.GPUOutOfMemoryError as error:
            raise OutOfMemoryError(f"{label}: {error}") from error
        self._buffers.append(buffer)
        self.allocated += size
        return buffer

    def whole(self, label: str, size: int, plan: Plan) -> Slice:
        """A buffer that is bound whole. Raises CompileError for a size that cannot be, too."""
        if size > self.device.binding_bytes:
            raise CompileError(
                f"webgpu: {label} needs {size_text(size)} in one piece, for {plan.max_rows} rows, {plan.max_sequences} "
                f"sequences and a context of {plan.context}; the adapter binds {size_text(self.device.binding_bytes)}. "
                f"Ask for less of these (--context), or take another backend"
            )
        return Slice(self.buffer(label, size), 0, size)

    def uniform(self, label: str, size: int) -> Any:
        """A wgpu.GPUBuffer for uniforms."""
        return self.buffer(label, size, wgpu.BufferUsage.UNIFORM | wgpu.BufferUsage.COPY_DST)

    def close(self) -> None:
        for buffer in self._buffers:
            buffer.destroy()
        self._buffers.clear()
