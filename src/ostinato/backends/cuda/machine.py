"""What CUDA kernels are given: the Machine structure, encoded calls, and the header that tells C++ about both.

The joint between Python and kernels/: a card's memory and the host implementation's arrays are described alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from enum import IntEnum

import numpy as np

from ostinato.backends import emit
from ostinato.backends.batch_table import Record
from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import BY_NAME, CODE, PHASES, Phase
from ostinato.backends.device.planes import FORMATS
from ostinato.backends.device.state_table import BEST, CALL_WORDS, DRAWN
from ostinato.gguf.grids_table import FP4_VALUES, IQ4_VALUES
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import WeightExpr

WARPS = 8  # of a block, at most
SHARED_BYTES = 32 << 10  # of a block, split up by each phase
PERSISTENT_SEQUENCES = 8  # that one persistent launch may decode
EXPERT_OPERANDS = 3  # gate, up, down: addresses of an expert, side by side
GENERATED_ONLY = 1  # flag of a launch: phases with rows of both kinds leave prompt rows to another kernel


class Left(IntEnum):
    """Why a persistent launch ended."""

    RUNNING = 0  # it did not
    STOPPED = 1  # every slot stopped
    BLOCKS = 2  # a slot has no block for its next row
    STEPS = 3  # the run's steps are done
    TOLD = 4  # Command.leave
    TIME = 5  # another step might have taken the launch over its time limit


GRID = Record("Grid", "The barrier of a launch's blocks, what block 0 decided. In device memory, zero at first.", (
    "arrived",  # blocks that wait
    "generation",  # barriers passed
    "left",  # Left, the same for every block between two barriers
))  # fmt: skip

COMMAND = Record("Command", "What the host tells a persistent launch. Pinned host memory, written by the host only.", (
    "leave",  # 1: end after the step at hand
    "taken",  # entries of the ring that the host has read, of this launch
))  # fmt: skip

STATUS = Record("Status", "What a persistent launch tells the host. Pinned host memory, written by the device only.", (
    "published",  # entries of the ring that are whole, of this launch
    "left",  # Left; written last
))  # fmt: skip

ENTRY = Record("Entry", "One step in the ring: this, then Drawn and Best x PERSISTENT_SEQUENCES each.", (
    "step",
    "draws",  # how many Drawn count, in the order of the batch's spans
    "running",  # slots that have not stopped
))  # fmt: skip

ENTRY_WORDS = len(ENTRY.words) + PERSISTENT_SEQUENCES * (len(DRAWN.words) + len(BEST.words))

# Fields of Machine in C++, pointers first: name, type, what it points to.
_POINTERS = (
    ("calls", "const int32_t*", "calls, kCallWords apart"),
    ("arena", "uint32_t*", ""),
    ("state", "int32_t*", "StepState: Layout, Step, ..."),
    ("packet", "const int32_t*", "Header, ..."),
    ("result", "int32_t*", "Drawn [max_steps, max_sequences], Best alike"),
    ("weights", "const uint8_t* const*", "planes of each weight; of experts, where their addresses are"),
    ("kv", "uint8_t* const*", "blocks of each cache group"),
    ("uses", "int32_t*", "assignments to each expert of each layer so far, modulo 2^32"),
    ("grid", "Grid*", ""),
    ("command", "const Command*", ""),
    ("status", "Status*", ""),
    ("ring", "int32_t*", "[ring_entries, kEntryWords]"),
)
_NUMBERS = (
    ("ring_entries", "steps that may wait for the host"),
    ("decode_first", "first call of the program that a persistent launch runs"),
    ("decode_calls", "how many"),
    ("time_limit", "of a persistent launch in microseconds, 0: none"),
)
MACHINE = np.dtype([(name, np.uint64) for name, _, _ in _POINTERS] + [(name, np.int32) for name, _ in _NUMBERS])

TABLES = emit.Tables(
    constants={
        "kWarps": WARPS,
        "kSharedBytes": SHARED_BYTES,
        "kPersistentSequences": PERSISTENT_SEQUENCES,
        "kEntryWords": ENTRY_WORDS,
        "kExpertOperands": EXPERT_OPERANDS,
        "kGeneratedOnly": GENERATED_ONLY,
    },
    enums=(Left,),
    records=(GRID, COMMAND, STATUS, ENTRY),
)


def header(phases: Sequence[Phase] = PHASES, formats: Collection[TensorType] = tuple(FORMATS)) -> str:
    """tables.h as the kernels include it; `phases` are those that the persistent kernel can run, `formats` the types
    of weights that kernels can read."""
    lists = (*_phases(phases), *_formats(formats))
    return "\n".join((*emit.cpp(emit.BACKENDS + TABLES, ops=False), *_machine(), *_codes(), *lists)) + "\n"


def _machine() -> Iterator[str]:
    yield "namespace ostinato::cuda {"
    yield "// Machine without its accessors. Zeros where a launch does not need a field."
    yield "struct MachineFields {"
    yield from (f"  {kind} {name};" + (f"  // {doc}" if doc else "") for name, kind, doc in _POINTERS)
    yield from (f"  int32_t {name};  // {doc}" for name, doc in _NUMBERS)
    yield "};"
    yield f"static_assert(sizeof(MachineFields) == {MACHINE.itemsize});"
    yield "}  // namespace ostinato::cuda"


def _codes() -> Iterator[str]:
    yield "namespace ostinato::cuda {"
    yield "// What codes of four bits mean: 16 signed bytes."
    yield "struct CodeTable {"
    yield "  uint32_t x, y, z, w;"
    yield "};"
    for name, values in (("kIQ4Codes", IQ4_VALUES), ("kFP4Codes", FP4_VALUES)):
        words = np.array(values, np.int8).view("<u4")
        yield f"constexpr CodeTable {name}{{{', '.join(f'{word:#010x}' for word in words)}}};"
    yield "}  // namespace ostinato::cuda"


def _phases(phases: Sequence[Phase]) -> Iterator[str]:
    yield "// X(name, type of its call)."
    names = " ".join(f"X({phase.name}, {emit.camel(phase.name)})" for phase in phases)
    yield f"#define OSTINATO_PHASES(X) {names}"


def _formats(formats: Collection[TensorType]) -> Iterator[str]:
    yield "// X(name of a block format)."
    yield f"#define OSTINATO_BLOCK_FORMATS(X) {' '.join(f'X({kind.name})' for kind in sorted(formats))}"


def machine(**fields: int) -> np.ndarray:
    """A Machine as an array of one element: addresses and numbers by name, 0 where not given."""
    out = np.zeros(1, MACHINE)
    for name, value in fields.items():
        out[name] = value
    return out


def encode_calls(calls: Sequence[Call]) -> tuple[np.ndarray, list[WeightExpr]]:
    """Calls as the device reads them, int32 [calls, CALL_WORDS], and the weights they name by index."""
    out = np.zeros((len(calls), CALL_WORDS), dtype=np.int32)
    index: dict[WeightExpr, int] = {}
    for row, call in zip(out, calls, strict=True):
        phase = BY_NAME[call.phase]
        row[0] = CODE[call.phase]
        for at, word in enumerate(phase.places + phase.shapes, start=1):
            name, _, real = word.partition(":")
            row.view(np.float32 if real else np.int32)[at] = call.words[name]
        first = 1 + len(phase.places) + len(phase.shapes)
        for at, expr in enumerate(call.weights, start=first):
            row[at] = -1 if expr is None else index.setdefault(expr, len(index))
    return out, list(index)
