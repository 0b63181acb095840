"""Weights on the device: every weight that a call names, once, packed as planes.py says, many to a buffer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ostinato.backends.device.lower import Call
from ostinato.backends.device.planes import device_bytes, to_planes
from ostinato.backends.webgpu.memory import Allocator, Slice, aligned
from ostinato.backends.webgpu.native import submit, wait
from ostinato.model.weights import StoredTensor, WeightExpr, WeightView, resolve

_SHARED_BUFFER = 1 << 28  # bytes, unless one weight is larger
_IN_FLIGHT = 1 << 28  # bytes of an upload that may wait in host memory


def upload(
    allocator: Allocator, calls: Iterable[Call], tensors: Mapping[str, StoredTensor]
) -> Mapping[WeightExpr, Slice]:
    """Where each weight of the calls lies. Raises CompileError or OutOfMemoryError."""
    exprs = {expr: None for call in calls for expr in call.weights if expr is not None}
    views = {expr: resolve(expr, tensors) for expr in exprs}
    places = _place(allocator, views)
    _write(allocator, views, places)
    return places


def _place(allocator: Allocator, views: Mapping[WeightExpr, WeightView]) -> dict[WeightExpr, Slice]:
    """Slices one after the other, each beginning where a binding may, in buffers filled in order."""
    shared = min(_SHARED_BUFFER, allocator.device.buffer_bytes)
    places: dict[WeightExpr, Slice] = {}
    shelf: dict[WeightExpr, tuple[int, int]] = {}  # of the buffer that is being filled: (offset, bytes)
    used = 0
    for expr, view in views.items():
        size = device_bytes(view)
        if shelf and used + size > shared:
            places |= _shelve(allocator, shelf, used)
            shelf, used = {}, 0
        shelf[expr] = (used, size)
        used += aligned(size, allocator.device.alignment)
    return places | _shelve(allocator, shelf, used) if shelf else places


def _shelve(allocator: Allocator, shelf: Mapping[WeightExpr, tuple[int, int]], size: int) -> dict[WeightExpr, Slice]:
    buffer = allocator.buffer("weights", size)
    return {expr: Slice(buffer, *place) for expr, place in shelf.items()}


def _write(allocator: Allocator, views: Mapping[WeightExpr, WeightView], places: Mapping[WeightExpr, Slice]) -> None:
    """What is written waits in host memory for the next submission, so there is one every now and then."""
    device, waiting = allocator.device.handle, 0
    for expr, place in places.items():
        offset = place.offset
        for piece in to_planes(views[expr]):
            device.queue.write_buffer(place.buffer, offset, piece)
            offset += piece.nbytes
            waiting += piece.nbytes
            if waiting >= _IN_FLIGHT:
                wait(device, submit(device, device.create_command_encoder().finish()))
                waiting = 0
    wait(device, submit(device, device.create_command_encoder().finish()))
