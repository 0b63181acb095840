"""Runs single calls on the adapter at hand: NumPy arrays in, NumPy arrays out. For tests of shaders one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import wgpu

from ostinato.backends.batch import Batch
from ostinato.backends.contract import Plan
from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import BY_NAME
from ostinato.backends.device.state import initial, layout
from ostinato.backends.device.state_table import LAYOUT, SLOT, STEP
from ostinato.backends.stepstate import Rows
from ostinato.backends.webgpu.adapter import FEATURES, Device, best, open_device
from ostinato.backends.webgpu.bindings import ARENA, CALL, KV, PACKET, RESULT, STATE, WEIGHTS, bindings
from ostinato.backends.webgpu.pipelines import Pipelines

_USAGE = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_DST | wgpu.BufferUsage.COPY_SRC
_ABSENT = np.zeros(64, np.uint32)


@dataclass(frozen=True)
class Buffers:
    """What shaders bind, as 32-bit words. A buffer that a call does not touch may be left empty."""

    arena: np.ndarray = field(default_factory=lambda: _ABSENT)
    state: np.ndarray = field(default_factory=lambda: _ABSENT)
    kv: np.ndarray = field(default_factory=lambda: _ABSENT)
    packet: np.ndarray = field(default_factory=lambda: _ABSENT)
    result: np.ndarray = field(default_factory=lambda: _ABSENT)

    def floats(self, word: int, *shape: int) -> np.ndarray:
        """float32 values in the arena from `word` on."""
        return self.arena[word : word + int(np.prod(shape))].view(np.float32).reshape(shape)


@cache
def device(features: frozenset[str] = frozenset(FEATURES)) -> tuple[Device, Pipelines]:
    """A device that uses at most these features, and its pipelines."""
    opened = open_device(best(), {}, features)
    return opened, Pipelines(opened)


def run(
    call: Call,
    buffers: Buffers,
    weights: Sequence[np.ndarray | None] = (),
    *,
    workgroups: int = 3,
    features: frozenset[str] = frozenset(FEATURES),
) -> Buffers:
    """One dispatch of `call`; the buffers afterwards. `weights`: bytes or words as planes.py packs them, None where
    absent."""
    return run_all([(call, weights)], buffers, workgroups=workgroups, features=features)


def run_all(
    calls: Sequence[tuple[Call, Sequence[np.ndarray | None]]],
    buffers: Buffers,
    *,
    workgroups: int = 3,
    features: frozenset[str] = frozenset(FEATURES),
) -> Buffers:
    """Calls one after the other, each with its weights."""
    opened, pipelines = device(features)
    handle = opened.handle
    held = {name: _buffer(handle, getattr(buffers, name)) for name in ("arena", "state", "kv", "packet", "result")}
    encoder = handle.create_command_encoder()
    compute = encoder.begin_compute_pass()
    for call, weights in calls:
        pipeline = pipelines.get(call)
        compute.set_pipeline(pipeline.handle)
        compute.set_bind_group(0, _group(handle, call, pipeline.layout, held, weights))
        compute.dispatch_workgroups(workgroups)
    compute.end()
    handle.queue.submit([encoder.finish()])
    changed = {
        name: _words(handle.queue.read_buffer(held[name]), getattr(buffers, name))
        for name in ("arena", "state", "kv", "result")
    }
    return replace(buffers, **changed)


def step_state(
    plan: Plan, rows: Rows, caches: int = 1, vocab: int = 96, slots: Mapping[int, Mapping[str, float]] | None = None
) -> np.ndarray:
    """StepState in the middle of a step: these rows (as the reference makes them), and words of some slots."""
    words = layout(plan, caches, vocab, max_steps=8)
    state = initial(words)
    step = state[len(LAYOUT.words) :]
    prompt_logits = int((rows.logit < rows.prompt_rows).sum())
    step[STEP.index("rows")], step[STEP.index("prompt_rows")] = len(rows.slot), rows.prompt_rows
    step[STEP.index("logit_rows")], step[STEP.index("prompt_logit_rows")] = len(rows.logit), prompt_logits
    for name, values in (
        ("row_slot", rows.slot), ("row_position", rows.position), ("row_token", rows.token), ("logit_row", rows.logit)
    ):  # fmt: skip
        state[words[name] : words[name] + len(values)] = values
    for slot, settings in (slots or {}).items():
        at = words["slot"] + slot * len(SLOT.words)
        for name, value in settings.items():
            index = SLOT.index(name)
            is_float = SLOT.words[index].endswith(":f")
            state[at + index] = np.float32(value).view(np.int32) if is_float else value
    return state


def plain_rows(count: int, prompt: int = 0, logit: Sequence[int] = ()) -> Rows:
    """Rows of one sequence: token i at position i."""
    at = np.arange(count, dtype=np.int32)
    return Rows(np.zeros(count, np.int32), at, at, np.array(logit, np.int32), prompt)


def packet(batch: Batch) -> np.ndarray:
    """The packet that `begin`, `rows`, `sample` and `finish` read."""
    return batch.encode()


def _words(found: memoryview, given: np.ndarray) -> np.ndarray:
    return np.frombuffer(found, given.dtype)[: given.size]


def _buffer(handle: Any, words: np.ndarray) -> Any:
    raw = np.ascontiguousarray(words).reshape(-1).view(np.uint8)
    buffer = handle.create_buffer(size=max(-(-raw.nbytes // 16) * 16, 16), usage=_USAGE)
    handle.queue.write_buffer(buffer, 0, np.pad(raw, (0, -raw.nbytes % 4)))
    return buffer


def _group(handle: Any, call: Call, layout_: Any, held: Mapping[str, Any], weights: Sequence[np.ndarray | None]) -> Any:
    row = BY_NAME[call.phase]
    given = {ARENA: held["arena"], STATE: held["state"], KV: held["kv"], PACKET: held["packet"], RESULT: held["result"]}
    places = np.array([call.words[name] for name in row.places], np.uint32)
    uniform = handle.create_buffer(size=256, usage=wgpu.BufferUsage.UNIFORM | wgpu.BufferUsage.COPY_DST)
    handle.queue.write_buffer(uniform, 0, np.pad(places, (0, 64 - len(places))))
    given[CALL] = uniform
    for index in range(len(row.weights)):
        weight = weights[index] if index < len(weights) else None
        given[WEIGHTS + index] = _buffer(handle, _ABSENT if weight is None else weight)
    entries = [{"binding": b, "resource": {"buffer": given[b]}} for b in bindings(call.phase)]
    return handle.create_bind_group(layout=layout_, entries=entries)
