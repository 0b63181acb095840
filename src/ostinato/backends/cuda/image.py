"""A model on a card: calls, weights, KV, StepState and buffers, and the Machine that tells kernels where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ostinato.backends.batch_table import MAX_IN_FLIGHT
from ostinato.backends.contract import CompileError, Plan
from ostinato.backends.cuda import machine
from ostinato.backends.cuda.machine import COMMAND, ENTRY_WORDS, GRID, STATUS
from ostinato.backends.cuda.memory import Memory, Upload
from ostinato.backends.cuda.weights import Budgeted, Weights, upload_weights
from ostinato.backends.device.lower import Call, Lowered
from ostinato.backends.device.state import initial, layout, packet_words, result_words
from ostinato.backends.device.state_table import STEP
from ostinato.model.weights import StoredTensor
from ostinato.program.ir import Programs

MAX_STEPS = 128  # of one run
RING_ENTRIES = 32  # steps that a persistent launch may be ahead of who collects them
TIME_LIMIT = 1_000_000  # microseconds of one launch, where the system ends long ones
_LINE = 64  # bytes: what host and card write lies on different cache lines


@dataclass(frozen=True, eq=False)
class Staging:
    """Pinned host memory of one batch in flight, all int32, and the Machine whose rings lie in it."""

    packet: np.ndarray
    result: np.ndarray  # as the card's: Drawn of every step and draw, then Best
    step: np.ndarray  # [2, words]: StepState's Step after two chunks of a run
    command: np.ndarray
    status: np.ndarray
    ring: np.ndarray  # [RING_ENTRIES, ENTRY_WORDS]
    machine: int


@dataclass(frozen=True)
class Steps:
    """A program's calls among all calls, and where its logits are: word of the arena, None for none."""

    first: int
    calls: tuple[Call, ...]
    logits: int | None


@dataclass(frozen=True)
class Image:
    """Addresses of one executable. Call 0 is `begin`; the calls of prefill, decode and `few` follow: decode for no
    more generated rows than there are sequences, which graphs and the persistent kernel run."""

    prefill: Steps
    decode: Steps
    few: Steps
    arena: int
    state: int
    packet: int
    result: int
    weights: Weights
    kv: tuple[int, ...]
    stagings: tuple[Staging, ...]


def build_image(
    memory: Memory,
    programs: Programs,
    lowered: Sequence[Lowered],
    tensors: Mapping[str, StoredTensor],
    plan: Plan,
    budgeted: Budgeted | None = None,
    ring_entries: int = RING_ENTRIES,
) -> Image:
    """Allocates and uploads. `lowered` are the programs' in their order. Raises OutOfDeviceMemoryError."""
    steps = _steps([*(low.calls for low in lowered), few_rows(lowered[-1].calls)], lowered)
    caches, vocab = len(programs.caches), programs.vocab_size
    limits = layout(plan, caches, vocab, MAX_STEPS)
    words, exprs = machine.encode_calls([Call("begin", {}), *(call for each in steps for call in each.calls)])
    fields = {
        "arena": memory.allocate("arena", 4 * max(low.arena_words for low in lowered)),
        "packet": memory.allocate("packet", 4 * packet_words(plan, caches, vocab)),
        "result": memory.allocate("result", 4 * sum(result_words(plan, MAX_STEPS))),
    }
    kv = tuple(memory.allocate(f"kv {group.name}", plan.cache_bytes(group)) for group in programs.caches)
    with Upload(memory) as upload:
        weights = upload_weights(memory, upload, exprs, lowered, tensors, budgeted)
        entries = np.array([weights.entries[expr] for expr in exprs], np.uint64)
        fields |= {
            "state": upload.array("state", initial(limits)),
            "calls": upload.array("calls", words),
            "weights": upload.array("weight table", entries),
            "uses": weights.uses,
            "kv": upload.array("kv table", np.array(kv, np.uint64)),
            "grid": upload.array("grid", np.zeros(len(GRID.words), np.int32)),
            "ring_entries": ring_entries,
            "decode_first": steps[-1].first,
            "decode_calls": len(steps[-1].calls),
            "time_limit": TIME_LIMIT if memory.driver.card.time_limit else 0,
        }
        stagings = tuple(
            _staging(memory, upload, number, plan, packet_words(plan, caches, vocab), fields)
            for number in range(MAX_IN_FLIGHT)
        )
    places = {name: fields[name] for name in ("arena", "state", "packet", "result")}
    return Image(steps[0], steps[-2], steps[-1], weights=weights, kv=kv, stagings=stagings, **places)


def check_places(lowered: Sequence[Lowered], limits: Mapping[str, int]) -> None:
    """Raises CompileError where words of the arena or of StepState would not fit the int32 that name them."""
    for what, words in (("arena", max(low.arena_words for low in lowered)), ("StepState", limits["length"])):
        if words >= 1 << 31:
            raise CompileError(
                f"cuda: {what} of {4 * words / 1e9:.1f} GB; at most 8.6: ask for fewer rows, sequences or a smaller "
                "context"
            )


def few_rows(calls: Sequence[Call]) -> tuple[Call, ...]:
    """The calls of a step with no more generated rows than sequences: `attend` leaves all of them to its splits."""
    return tuple(call for call in calls if call.phase != "attend")


def _steps(calls: Sequence[tuple[Call, ...]], lowered: Sequence[Lowered]) -> list[Steps]:
    """Calls one after the other, behind `begin`; the last list is of the last program too."""
    out, first = [], 1
    for each, low in zip(calls, (*lowered, lowered[-1]), strict=True):
        out.append(Steps(first, each, low.outputs.get("logits")))
        first += len(each)
    return out


def _staging(
    memory: Memory, upload: Upload, number: int, plan: Plan, packet: int, fields: Mapping[str, int]
) -> Staging:
    words = {
        "packet": packet,
        "result": sum(result_words(plan, MAX_STEPS)),
        "step": 2 * len(STEP.words),
        "command": len(COMMAND.words),
        "status": len(STATUS.words),
        "ring": fields["ring_entries"] * ENTRY_WORDS,
    }
    starts, size = {}, 0
    for name, count in words.items():
        starts[name], size = size, size + -(-4 * count // _LINE) * _LINE
    pinned = memory.pin(f"staging {number}", size)
    parts = {name: pinned[start : start + 4 * words[name]].view(np.int32) for name, start in starts.items()}
    rings = {name: parts[name].ctypes.data for name in ("command", "status", "ring")}
    address = upload.array(f"machine {number}", machine.machine(**fields, **rings))
    parts["ring"] = parts["ring"].reshape(-1, ENTRY_WORDS)
    parts["step"] = parts["step"].reshape(2, -1)
    return Staging(**parts, machine=address)
