"""What wgpu-py's classes lack, through the C interface that it exports: a wait for one submission, and a fast recorder.

wgpu-py waits for a mapping in a thread that polls the device until everything submitted is done, and wgpu 29 lets no
one submit meanwhile. Here the thread that collects waits for the submission it wants, and for no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import wgpu
from wgpu.backends.wgpu_native import ffi, lib


class DeviceError(RuntimeError):
    """The device failed: it was lost, or could not do what it was told."""


def dispatch_all(encoder: Any, dispatches: Iterable[tuple[Any, Any, int]]) -> None:
    """Records (C pipeline or None, C bind group, workgroups) into a wgpu.GPUComputePassEncoder. Mistakes show when
    the command encoder finishes."""
    set_pipeline = lib.wgpuComputePassEncoderSetPipeline
    set_operands = lib.wgpuComputePassEncoderSetBindGroup
    dispatch, target, no_offsets = lib.wgpuComputePassEncoderDispatchWorkgroups, encoder._internal, ffi.NULL
    for pipeline, operands, workgroups in dispatches:
        if pipeline is not None:
            set_pipeline(target, pipeline)
        set_operands(target, 0, operands, 0, no_offsets)
        dispatch(target, workgroups, 1, 1)


def handle(thing: Any) -> Any:
    """The C handle of one of wgpu-py's objects, which must outlive it."""
    return thing._internal


def submit(device: Any, commands: Any) -> Any:
    """Submits a wgpu.GPUCommandBuffer; what to wait for it with.

    wgpu-native ends the process where a submission fails (the device is lost just then, or a buffer is destroyed).
    wgpuQueueSubmit does so too. So whoever submits has checked that what it submits is alive.
    """
    array = ffi.new("WGPUCommandBuffer[]", [commands._internal])
    return ffi.new("WGPUSubmissionIndex *", lib.wgpuQueueSubmitForIndex(device.queue._internal, 1, array))


def wait(device: Any, submission: Any) -> None:
    """Waits until a submission is done."""
    lib.wgpuDevicePoll(device._internal, True, submission)


class Readback:
    """A buffer that a submission fills and the host then reads. Grows on demand."""

    def __init__(self, device: Any) -> None:
        self._device, self._size = device, 0
        self.buffer: Any = None
        self._status: list[tuple[int, str]] = []

        @ffi.callback("void(WGPUMapAsyncStatus, WGPUStringView, void *, void *)")  # type: ignore[untyped-decorator]
        def mapped(status: int, message: Any, _1: Any, _2: Any) -> None:
            text = "" if message.data == ffi.NULL else ffi.string(message.data, message.length).decode()
            self._status.append((status, text))

        self._callback = mapped
        self._mapped = ffi.new("WGPUBufferMapCallbackInfo *")
        self._mapped.mode, self._mapped.callback = lib.WGPUCallbackMode_AllowProcessEvents, mapped

    def reserve(self, nbytes: int) -> None:
        """Room for so many bytes. Only while no submission that fills the buffer is in flight."""
        if nbytes > self._size:
            self.close()
            usage = wgpu.BufferUsage.COPY_DST | wgpu.BufferUsage.MAP_READ
            self.buffer = self._device.create_buffer(label="readback", size=nbytes, usage=usage)
            self._size = nbytes

    def read(self, submission: Any, nbytes: int) -> np.ndarray:
        """int32 [nbytes / 4], once the submission that wrote them is done."""
        if nbytes == 0:
            wait(self._device, submission)
            return np.zeros(0, dtype=np.int32)
        buffer = self.buffer._internal
        self._status.clear()
        lib.wgpuBufferMapAsync(buffer, lib.WGPUMapMode_Read, 0, nbytes, self._mapped[0])
        while not self._status:  # a wait may also end because it took long
            wait(self._device, submission)
        status, message = self._status[0]
        if status != lib.WGPUMapAsyncStatus_Success:
            raise DeviceError(f"webgpu: results cannot be read: {message or f'status {status}'}")
        address = lib.wgpuBufferGetConstMappedRange(buffer, 0, nbytes)
        words = np.frombuffer(ffi.buffer(address, nbytes), dtype=np.int32).copy()
        lib.wgpuBufferUnmap(buffer)
        return words

    def close(self) -> None:
        if self.buffer is not None:
            self.buffer.destroy()
        self.buffer, self._size = None, 0
