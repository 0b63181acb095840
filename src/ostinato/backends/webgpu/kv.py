"""Keys and values of a cache group on the device: [layers][blocks][block], layers spread over buffers.

A shader sees one layer at a time. For the host a block is all its layers, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ostinato.backends.contract import CompileError, Plan, StateAction
from ostinato.backends.webgpu.memory import Allocator, Slice, aligned
from ostinato.backends.webgpu.native import Readback, submit
from ostinato.program.ir import CacheGroup


class KVPool:
    """The blocks of one cache group."""

    def __init__(self, allocator: Allocator, group: CacheGroup, plan: Plan) -> None:
        self._device = allocator.device.handle
        self._block = group.block_bytes(plan.block_size, plan.kv_type.nbytes) // group.layers  # of one layer
        size = plan.blocks * self._block
        if size > (most := allocator.device.binding_bytes):
            raise CompileError(
                f"webgpu: a layer of cache {group.name!r} needs {size} bytes for {plan.blocks} blocks; the adapter "
                f"binds {most}: {most // self._block} blocks would fit"
            )
        stride = aligned(size, allocator.device.alignment)
        together = max(1, min(group.layers, allocator.device.buffer_bytes // stride))
        self.layers: list[Slice] = []
        for first in range(0, group.layers, together):
            count = min(together, group.layers - first)
            buffer = allocator.buffer(f"cache {group.name}", count * stride)
            self.layers += [Slice(buffer, layer * stride, size) for layer in range(count)]

    def move(self, action: StateAction, blocks: Sequence[int], to: Sequence[int], data: bytes) -> bytes:
        """`Executable.state`."""
        if action is StateAction.SPILL:
            return self._spill(blocks)
        if action is StateAction.COPY:
            self._copy(blocks, to)
        else:
            self._restore(blocks, data)
        return b""

    def _spill(self, blocks: Sequence[int]) -> bytes:
        if not blocks:
            return b""
        readback = Readback(self._device)
        nbytes = len(blocks) * len(self.layers) * self._block
        readback.reserve(nbytes)
        encoder = self._device.create_command_encoder(label="spill")
        for place, layer, offset in self._places(blocks):
            encoder.copy_buffer_to_buffer(layer.buffer, offset, readback.buffer, place, self._block)
        words = readback.read(submit(self._device, encoder.finish()), nbytes)
        readback.close()
        return words.tobytes()

    def _copy(self, blocks: Sequence[int], to: Sequence[int]) -> None:
        """By way of another buffer: none may be copied into itself, and every block is read before any is written."""
        if not blocks:
            return
        usage = "COPY_SRC | COPY_DST"
        between = self._device.create_buffer(
            label="copy", size=len(blocks) * len(self.layers) * self._block, usage=usage
        )
        encoder = self._device.create_command_encoder(label="copy")
        for place, layer, offset in self._places(blocks):
            encoder.copy_buffer_to_buffer(layer.buffer, offset, between, place, self._block)
        for place, layer, offset in self._places(to):
            encoder.copy_buffer_to_buffer(between, place, layer.buffer, offset, self._block)
        submit(self._device, encoder.finish())
        between.destroy()  # once the submission is done

    def _restore(self, blocks: Sequence[int], data: bytes) -> None:
        source = np.frombuffer(data, dtype=np.uint8)
        if len(source) != (size := len(blocks) * len(self.layers) * self._block):
            raise ValueError(f"{len(source)} bytes for {len(blocks)} blocks, which have {size}")
        for place, layer, offset in self._places(blocks):
            self._device.queue.write_buffer(layer.buffer, offset, source, place, self._block)

    def _places(self, blocks: Sequence[int]) -> Iterator[tuple[int, Slice, int]]:
        """(byte in the host's form, layer, byte in the layer's buffer) of every layer of every block."""
        place = 0
        for block in blocks:
            for layer in self.layers:
                yield place, layer, layer.offset + block * self._block
                place += self._block
