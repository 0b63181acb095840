"""Keys and values of a cache group on the device: [layers][blocks][block], layers spread over buffers.

A shader sees one layer at a time. For the host a block is all its layers, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ostinato.backends.contract import CompileError, Plan, StateAction
from ostinato.backends.device.admission import check_blocks
from ostinato.backends.device.budget import size_text
from ostinato.backends.webgpu.adapter import Device
from ostinato.backends.webgpu.memory import Allocator, Slice, aligned
from ostinato.backends.webgpu.native import Readback, submit
from ostinato.program.ir import CacheGroup

_PIECE = 1 << 26  # bytes that a spill reads back at a time


def layer_bytes(group: CacheGroup, plan: Plan, device: Device) -> int:
    """Bytes of one layer's keys and values. Raises CompileError for more than the device binds."""
    block = plan.cache_bytes(group) // plan.blocks // group.layers
    if (size := plan.blocks * block) > (most := device.binding_bytes):
        raise CompileError(
            f"webgpu: a layer of cache {group.name!r} needs {size_text(size)} for {plan.blocks * plan.block_size} "
            f"positions; the adapter binds {size_text(most)}: {most // block * plan.block_size} would fit"
        )
    return size


class KVPool:
    """The blocks of one cache group."""

    def __init__(self, allocator: Allocator, group: CacheGroup, plan: Plan) -> None:
        self._device, self._blocks = allocator.device.handle, plan.blocks
        size = layer_bytes(group, plan, allocator.device)
        self._block = size // plan.blocks  # of one layer
        stride = aligned(size, allocator.device.alignment)
        together = max(1, min(group.layers, allocator.device.buffer_bytes // stride))
        self.layers: list[Slice] = []
        for first in range(0, group.layers, together):
            count = min(together, group.layers - first)
            buffer = allocator.buffer(f"cache {group.name}", count * stride)
            self.layers += [Slice(buffer, layer * stride, size) for layer in range(count)]

    def move(self, action: StateAction, blocks: Sequence[int], to: Sequence[int], data: bytes) -> bytes:
        """`Executable.state`. Raises ValueError for blocks that are not there, or of another number or size."""
        check_blocks(blocks, to, self._blocks)
        if action is StateAction.SPILL:
            return self._spill(blocks)
        if action is StateAction.COPY:
            self._copy(blocks, to)
        if action is StateAction.RESTORE:
            self._restore(blocks, data)
        return b""

    def _spill(self, blocks: Sequence[int]) -> bytes:
        """In pieces: a buffer may be smaller than what many blocks hold."""
        readback, whole = Readback(self._device), len(self.layers) * self._block
        together = max(1, _PIECE // whole)
        try:
            pieces = (blocks[first : first + together] for first in range(0, len(blocks), together))
            return b"".join(self._read(readback, piece, len(piece) * whole) for piece in pieces)
        finally:
            readback.close()

    def _read(self, readback: Readback, blocks: Sequence[int], nbytes: int) -> bytes:
        readback.reserve(nbytes)
        encoder = self._device.create_command_encoder(label="spill")
        for place, layer, offset in self._places(blocks):
            encoder.copy_buffer_to_buffer(layer.buffer, offset, readback.buffer, place, self._block)
        return readback.read(submit(self._device, encoder.finish()), nbytes).tobytes()

    def _copy(self, blocks: Sequence[int], to: Sequence[int]) -> None:
        """By way of another buffer, a layer at a time: none may be copied into itself, and every block is read before
        any is written."""
        if len(blocks) != len(to):
            raise ValueError(f"{len(blocks)} blocks for {len(to)}")
        if not blocks:
            return
        between = self._device.create_buffer(label="copy", size=len(blocks) * self._block, usage="COPY_SRC | COPY_DST")
        encoder = self._device.create_command_encoder(label="copy")
        for layer in self.layers:
            for place, block in enumerate(blocks):
                encoder.copy_buffer_to_buffer(
                    layer.buffer, layer.offset + block * self._block, between, place * self._block, self._block
                )
            for place, block in enumerate(to):
                encoder.copy_buffer_to_buffer(
                    between, place * self._block, layer.buffer, layer.offset + block * self._block, self._block
                )
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
