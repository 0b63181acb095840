"""Where every expert of a model in a budget has its home: pinned host memory, in planes, which kernels read too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.backends.contract import CompileError
from ostinato.backends.cuda.driver import OutOfDeviceMemoryError
from ostinato.backends.cuda.memory import Memory
from ostinato.backends.cuda.stacks import Stack
from ostinato.backends.device.budget import size_text
from ostinato.backends.device.experts import DeviceExperts
from ostinato.backends.device.planes import to_planes
from ostinato.memory.device import SLOT_ALIGNMENT
from ostinato.model.weights import StoredTensor, resolve

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Home:
    """Parcels one after the other, each with gate, up and down side by side. Arrays run over parcels, in whose numbers
    `DeviceExperts` speaks; the expert table has rows of its own for them."""

    memory: np.ndarray  # uint8, pinned: host and device have one address for it
    places: Numbers  # where a parcel begins, an address
    sizes: Numbers  # bytes
    operands: Numbers  # [parcels, EXPERT_OPERANDS]: where an operand begins in its parcel
    rows: Numbers  # of the expert table, and counters of uses

    @property
    def addresses(self) -> range:
        """All that are in it."""
        start = self.memory.ctypes.data
        return range(start, start + len(self.memory))


def build_home(
    memory: Memory, stacks: Sequence[Stack], experts: DeviceExperts, tensors: Mapping[str, StoredTensor]
) -> Home:
    """Allocates it and brings the weights there. Raises CompileError where the machine has no room for it."""
    by_weights = {stack.weights: stack for stack in stacks}
    own = [by_weights[tuple(w for w in stack.weights if w is not None)] for stack in experts.stacks]
    sizes = np.repeat([stack.parcel_bytes for stack in own], [stack.experts for stack in own]).astype(np.int64)
    ends = np.cumsum(-(-sizes // SLOT_ALIGNMENT) * SLOT_ALIGNMENT)
    pinned = _pinned(memory, int(ends[-1]))
    home = Home(
        pinned,
        np.concatenate([[0], ends[:-1]]) + pinned.ctypes.data,
        sizes,
        np.concatenate([np.tile(stack.offsets, (stack.experts, 1)) for stack in own]),
        np.concatenate([np.arange(stack.rows.start, stack.rows.stop) for stack in own]),
    )
    for stack, place in zip(own, experts.stacks, strict=True):
        _fill(home, stack, place.first, tensors)
    return home


def _pinned(memory: Memory, nbytes: int) -> np.ndarray:
    try:
        return memory.pin("experts", nbytes, clear=False)
    except OutOfDeviceMemoryError as error:
        raise CompileError(
            f"cuda: {error}: experts that a budget of the card's memory does not hold lie in {size_text(nbytes)} of "
            "pinned host memory; free some, or give a --gpu-memory that holds everything"
        ) from error


def _fill(home: Home, stack: Stack, first: int, tensors: Mapping[str, StoredTensor]) -> None:
    """The weights of a stack, whose expert 0 is parcel `first`."""
    begin = home.places[first : first + stack.experts] - home.addresses.start
    for weight, offset, size in zip(stack.weights, stack.offsets, stack.sizes, strict=True):
        for at, part in _by_expert(to_planes(resolve(weight, tensors)), size):
            place = begin[at // size] + offset + at % size
            home.memory[place : place + len(part)] = part


def _by_expert(planes: Iterator[np.ndarray], size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Bytes of a stack in order, cut where an expert of `size` bytes ends: (where it begins in the stack, bytes)."""
    at = 0
    for piece in planes:
        raw = piece.reshape(-1)
        while len(raw):
            part, raw = np.split(raw, [size - at % size])
            yield at, part
            at += len(part)
