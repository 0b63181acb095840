"""The CUDA backend's driver without a card: streams are threads, one of which runs kernels compiled for the host.

Memory is NumPy arrays between guards; what a kernel may not read before it wrote it holds NaN. Every allocation,
launch and copy is counted.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from ostinato.backends.contract import Probe
from ostinato.backends.cuda import CudaBackend
from ostinato.backends.cuda.driver import Card, DeviceError, OutOfDeviceMemoryError
from ostinato.backends.cuda.prompt.launches import Launch
from ostinato.gguf.types_table import TensorType
from tests.backends.cuda.build import library
from tests.backends.cuda.host import Guarded

CARD = Card("host", arch=0, multiprocessors=1, time_limit=False, cooperative=True)


class HostEvent:
    """Set by the stream's thread; carries what went wrong before it."""

    def __init__(self, driver: HostDriver) -> None:
        self._driver, self._reached = driver, threading.Event()

    def reach(self) -> None:
        self._reached.set()

    def done(self) -> bool:
        self._driver.raise_failure()
        return self._reached.is_set()

    def wait(self) -> None:
        assert self._reached.wait(60), "the stream hangs"
        self._driver.raise_failure()


class HostStream:
    """Actions in order, on a thread. After one that fails only events are reached."""

    def __init__(self, driver: HostDriver, name: str) -> None:
        self._driver = driver
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, action: Callable[[], None]) -> None:
        self._queue.put(action)

    def event(self) -> HostEvent:
        event = HostEvent(self._driver)
        self._queue.put(event.reach)
        return event

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(60)

    def _run(self) -> None:
        while (action := self._queue.get()) is not None:
            if self._driver.failure is not None and getattr(action, "__name__", "") != "reach":
                continue
            try:
                action()
            except BaseException as error:
                self._driver.failure = error


@dataclass
class HostGraph:
    driver: HostDriver
    launches: list[Callable[[], None]]
    closed: bool = False

    def launch(self) -> None:
        assert not self.closed
        self.driver.counts["graph"] += 1
        for each in self.launches:
            self.driver.do(each)

    def close(self) -> None:
        assert not self.closed
        self.closed = True


@dataclass
class HostDriver:
    """`blocks`, `warps`: of every launch, at most. `memory_bytes`: what the card has. A transfer takes so many seconds,
    in which its destination holds NaN."""

    card: Card = CARD
    memory_bytes: int = 1 << 40
    blocks: int = 2
    warps: int = 2
    transfer_seconds: float = 0.0
    refuses: int = 0  # the allocation of this number, counted from 1, card or pinned memory
    sanitizer: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    phases: list[tuple[str, int]] = field(default_factory=list)  # launched alone: name, blocks asked for
    memory: dict[int, Guarded] = field(default_factory=dict)
    pinned: dict[int, Guarded] = field(default_factory=dict)
    graphs: list[HostGraph] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self._library = library(self.sanitizer)
        self._recording: list[Callable[[], None]] | None = None
        self.failure: BaseException | None = None
        self._stream, self._transfers = HostStream(self, "host stream"), HostStream(self, "host transfers")

    # ---------------------------------------------------------------------------------------------- the protocol

    def enter(self) -> None:
        assert not self.closed

    def free_bytes(self) -> int:
        return self.memory_bytes - sum(len(each.bytes) for each in self.memory.values())

    def allocate(self, nbytes: int) -> int:
        if nbytes > self.free_bytes():
            raise OutOfDeviceMemoryError(f"{nbytes} bytes asked for, {self.free_bytes()} there")
        return self._keep(self.memory, "memory", nbytes)

    def release(self, address: int) -> None:
        self.memory.pop(address).check()

    def pin(self, nbytes: int) -> np.ndarray:
        return self.pinned[self._keep(self.pinned, "pinned memory", nbytes)].bytes

    def unpin(self, memory: np.ndarray) -> None:
        self.pinned.pop(memory.ctypes.data).check()

    def copy(self, to: int, source: int, nbytes: int) -> None:
        self.counts["copy"] += 1
        target, data = self._view(to, nbytes), self._view(source, nbytes)
        self.do(lambda: np.copyto(target, data))

    def transfer(self, copies: Sequence[tuple[int, int, int]]) -> HostEvent:
        before = self._stream.event()
        self._transfers.do(before.wait)
        for to, source, nbytes in copies:
            self.counts["transfer"] += 1
            target, data = self._view(to, nbytes), self._view(source, nbytes)
            self._transfers.do(lambda target=target, data=data: self._move(target, data))
        return self._transfers.event()

    def launch(self, phase: str, machine: int, call: int, flags: int, blocks: int) -> None:
        assert blocks > 0
        if self._recording is None:
            self.counts["launch"] += 1
            self.phases.append((phase, blocks))
        self.do(lambda: self._library.ostinato_launch(machine, call, flags, min(blocks, self.blocks), self.warps))

    @property
    def has_prompt_kernels(self) -> bool:
        return False

    def launch_prompt(self, launch: Launch) -> None:
        raise AssertionError("no prompt kernels here")

    def decode(self, machine: int) -> None:
        self.counts["decode"] += 1
        self.do(lambda: self._library.ostinato_wait(self._library.ostinato_decode(machine, self.blocks, self.warps)))

    def capture(self, launches: Callable[[], None]) -> HostGraph:
        self._recording = recorded = []
        try:
            launches()
        finally:
            self._recording = None
        self.graphs.append(HostGraph(self, recorded))
        return self.graphs[-1]

    def event(self) -> HostEvent:
        return self._stream.event()

    def synchronize(self) -> None:
        self.event().wait()
        self._transfers.event().wait()

    def close(self) -> None:
        assert not self.closed
        assert not self.memory, "memory was not released"
        assert not self.pinned, "pinned memory was not released"
        assert all(graph.closed for graph in self.graphs)
        self.closed = True
        self._stream.close()
        self._transfers.close()

    # --------------------------------------------------------------------------------------------------- the rest

    def do(self, action: Callable[[], None]) -> None:
        """Now recorded, or later in the stream."""
        if self._recording is None:
            self._stream.do(action)
        else:
            self._recording.append(action)

    def fail(self, reason: str) -> None:
        """What follows in the stream does not happen, as after a kernel's fault."""
        self.do(lambda: _raise(DeviceError(reason)))

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise DeviceError(str(self.failure))

    def _move(self, target: np.ndarray, data: np.ndarray) -> None:
        target[:] = 0xFF
        time.sleep(self.transfer_seconds)
        target[:] = data

    def _keep(self, kept: dict[int, Guarded], name: str, nbytes: int) -> int:
        self.counts["allocation"] += 1
        if self.counts["allocation"] == self.refuses:
            raise OutOfDeviceMemoryError(f"allocation {self.refuses} is refused")
        array = Guarded(name, nbytes, fill=0xFF)
        kept[array.address] = array
        return array.address

    def _view(self, address: int, nbytes: int) -> np.ndarray:
        """Bytes that must lie within one allocation."""
        for start, array in (*self.memory.items(), *self.pinned.items()):
            if start <= address and address + nbytes <= start + len(array.bytes):
                return array.bytes[address - start : address - start + nbytes]
        raise AssertionError(f"{nbytes} bytes at {address:#x} are not in one allocation")


def _raise(error: BaseException) -> None:
    raise error


class HostCuda:
    """The CUDA backend on host drivers, which are kept for a look: `drivers[-1]` is the last compile's."""

    def __init__(self, kind: type[HostDriver] = HostDriver, **settings: object) -> None:
        self.drivers: list[HostDriver] = []
        self._kind = kind
        self.settings = settings
        self.backend = CudaBackend(self._open)
        self.compile = self.backend.compile
        self.name = self.backend.name

    def probe(self) -> Probe:
        return Probe(self.name, True, "kernels compiled for the host")

    def _open(self, phases: Collection[str], decode: Collection[str], formats: Collection[TensorType]) -> HostDriver:
        assert set(decode) <= set(phases)
        self.drivers.append(self._kind(**self.settings))  # type: ignore[arg-type]
        return self.drivers[-1]
