"""A lowered program, ready to be recorded: every call as pipeline, bind group and number of workgroups.

WebGPU has no command buffer that can be submitted twice, so every step is recorded anew. All that does not change from
step to step is made once, here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import BY_NAME
from ostinato.backends.webgpu.bindings import ARENA, CALL, KV, PACKET, RESULT, STATE, WEIGHTS, bindings
from ostinato.backends.webgpu.kv import KVPool
from ostinato.backends.webgpu.memory import Allocator, Slice, aligned
from ostinato.backends.webgpu.native import dispatch_all, handle
from ostinato.backends.webgpu.pipelines import Pipelines
from ostinato.backends.webgpu.workgroups import StepSize, workgroups
from ostinato.model.weights import WeightExpr

_KEPT_SIZES = 64  # step sizes whose workgroups are remembered


@dataclass(frozen=True)
class Operands:
    """What calls bind besides their own words."""

    arena: Slice
    state: Slice
    packet: Slice
    result: Slice
    absent: Slice  # in place of a weight that is not there
    weights: Mapping[WeightExpr, Slice]
    caches: Sequence[KVPool]


class Recorder:
    """Calls of one program, in order."""

    def __init__(self, calls: Sequence[Call], allocator: Allocator, pipelines: Pipelines, operands: Operands) -> None:
        self._calls, self._most = calls, allocator.device.limits["max-compute-workgroups-per-dimension"]
        self._pipelines = [pipelines.get(call) for call in calls]
        places = _write_places(allocator, calls)
        self._groups = [
            allocator.device.handle.create_bind_group(
                label=call.phase, layout=pipeline.layout, entries=_entries(call, place, operands)
            )
            for call, pipeline, place in zip(calls, self._pipelines, places, strict=True)
        ]
        self._commands: dict[StepSize, list[tuple[Any, Any, int]]] = {}

    def record(self, encoder: Any, size: StepSize) -> int:
        """Records all calls into a wgpu.GPUComputePassEncoder; the number of dispatches."""
        commands = self._commands.get(size)
        if commands is None:
            if len(self._commands) == _KEPT_SIZES:
                self._commands.clear()
            commands = self._commands[size] = self._sized(size)
        dispatch_all(encoder, commands)
        return len(commands)

    def _sized(self, size: StepSize) -> list[tuple[Any, Any, int]]:
        """(C pipeline, C bind group, workgroups) of every call with work; the pipeline is None where it stays."""
        commands, last = [], None
        for call, pipeline, group in zip(self._calls, self._pipelines, self._groups, strict=True):
            if count := workgroups(call, size, self._most):
                commands.append((None if pipeline is last else handle(pipeline.handle), handle(group), count))
                last = pipeline
        return commands


def _write_places(allocator: Allocator, calls: Sequence[Call]) -> list[Slice | None]:
    """The places of every call, in slices of one uniform buffer; None for a call without."""
    longest = max(len(BY_NAME[call.phase].places) for call in calls)
    stride = aligned(4 * max(longest, 1), allocator.device.alignment)
    words = np.zeros((len(calls), stride // 4), dtype=np.uint32)
    for row, call in zip(words, calls, strict=True):
        names = BY_NAME[call.phase].places
        row[: len(names)] = [call.words[name] for name in names]
    buffer = allocator.uniform("calls", words.nbytes)
    allocator.device.handle.queue.write_buffer(buffer, 0, words)
    return [
        Slice(buffer, index * stride, aligned(4 * len(BY_NAME[call.phase].places), 16))
        if BY_NAME[call.phase].places
        else None
        for index, call in enumerate(calls)
    ]


def _entries(call: Call, places: Slice | None, operands: Operands) -> list[dict[str, object]]:
    """What the call binds, as its phase's layout lists it."""
    given = {ARENA: operands.arena, STATE: operands.state, PACKET: operands.packet, RESULT: operands.result}
    if places is not None:
        given[CALL] = places
    for index, expr in enumerate(call.weights):
        given[WEIGHTS + index] = operands.absent if expr is None else operands.weights[expr]
    if "kv" in BY_NAME[call.phase].state.split():
        given[KV] = operands.caches[int(call.words["cache"])].layers[int(call.words["index"])]
    return [given[binding].entry(binding) for binding in bindings(call.phase)]
