"""What the CUDA backend asks of a card, as a protocol: memory, copies, launches, graphs, in the order of one stream.

device.py does it on a card; tests do it with kernels compiled for the host. Addresses are ints, of the card's memory
and of pinned host memory alike (unified addressing).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ostinato.backends.cuda.prompt.launches import Launch
from ostinato.gguf.types_table import TensorType

if TYPE_CHECKING:
    import numpy as np


class DeviceError(RuntimeError):
    """The card or its driver failed; nothing on it can be relied on any more."""


class OutOfDeviceMemoryError(DeviceError):
    """An allocation that the card or the host refused."""


@dataclass(frozen=True)
class Card:
    """What launches are sized by. `arch` is the compute capability, 90 for sm_90."""

    name: str
    arch: int
    multiprocessors: int
    time_limit: bool  # the system ends kernels that run for seconds (a card with a screen)
    cooperative: bool  # whole grids can be on the card at once, as the persistent kernel needs


class Event(Protocol):
    """A point in the stream."""

    def done(self) -> bool:
        """Whether everything before it is. Raises DeviceError where some of it failed."""

    def wait(self) -> None:
        """Until `done`."""


class Graph(Protocol):
    """Launches recorded once."""

    def launch(self) -> None: ...

    def close(self) -> None: ...


class Driver(Protocol):
    """One card. Everything but memory and events happens later, in the order of the calls. Not for several threads
    at once."""

    card: Card

    def enter(self) -> None:
        """Makes the card the calling thread's."""

    def free_bytes(self) -> int:
        """Of the card's memory."""

    def allocate(self, nbytes: int) -> int:
        """Address of card memory, 256-byte aligned. Raises OutOfDeviceMemoryError."""

    def release(self, address: int) -> None: ...

    def pin(self, nbytes: int) -> np.ndarray:
        """uint8 [nbytes] of host memory that the card reads and writes too. Raises OutOfDeviceMemoryError."""

    def unpin(self, memory: np.ndarray) -> None: ...

    def copy(self, to: int, source: int, nbytes: int) -> None:
        """Between card memory and pinned memory, any way."""

    def transfer(self, copies: Sequence[tuple[int, int, int]]) -> Event:
        """Copies (to, source, bytes) from pinned memory in a stream of its own: after everything asked for before,
        beside all that follows. The event is their end."""

    def launch(self, phase: str, machine: int, call: int, flags: int, blocks: int) -> None:
        """Kernel phase_NAME on `blocks` blocks of WARPS warps."""

    def launch_prompt(self, launch: Launch) -> None:
        """A prompt kernel. Only where `has_prompt_kernels`."""

    @property
    def has_prompt_kernels(self) -> bool: ...

    def decode(self, machine: int) -> None:
        """The persistent kernel on as many blocks as are on the card at once."""

    def capture(self, launches: Callable[[], None]) -> Graph:
        """What `launches` launches becomes a graph; nothing runs."""

    def event(self) -> Event:
        """At this point of the stream."""

    def synchronize(self) -> None:
        """Until the stream is empty, and that of transfers."""

    def close(self) -> None:
        """Ends what the driver holds; memory must have been released."""


class OpenDriver(Protocol):
    """Opens a card with kernels of the phases that a model needs, and of those that its decode program needs, for
    weights of its types."""

    def __call__(self, phases: Collection[str], decode: Collection[str], formats: Collection[TensorType]) -> Driver:
        """Raises CompileError where there is no card or no compiler for it."""
