"""The driver protocol on a card: cuda-core for streams, launches and graphs, CUDA's own calls for memory.

Memory comes from cuMemAlloc, not from cuda-core's pool, which keeps what was freed. Not yet run on a card.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any

import numpy as np
from cuda.bindings import driver as cu
from cuda.core import Device, LaunchConfig, ObjectCode, launch

from ostinato.backends.contract import CompileError
from ostinato.backends.cuda.compiler import DECODE, choose_nvrtc, compile_units, units
from ostinato.backends.cuda.driver import Card, DeviceError, OutOfDeviceMemoryError
from ostinato.backends.cuda.machine import WARPS
from ostinato.backends.cuda.prompt.launches import Cubins, Launch
from ostinato.backends.cuda.prompt.manifest import KERNELS
from ostinato.gguf.types_table import TensorType

LANES = 32
DECODE_BLOCKS = 2  # of the persistent kernel on each multiprocessor, at most: more make its barriers slower
_PINNED = cu.CU_MEMHOSTALLOC_PORTABLE | cu.CU_MEMHOSTALLOC_DEVICEMAP
_OUT_OF_MEMORY = cu.CUresult.CUDA_ERROR_OUT_OF_MEMORY


def open_card(phases: Collection[str], decode: Collection[str], formats: Collection[TensorType]) -> CardDriver:
    """The first card, with kernels compiled for it. Raises CompileError where there is none, or no compiler."""
    with _CARD_ERRORS:
        (version,) = _values(cu.cuDriverGetVersion())
        devices = Device.get_all_devices()
        if not devices:
            raise CompileError("cuda: no card is visible (CUDA_VISIBLE_DEVICES?)")
        devices[0].set_current()
        card = describe(devices[0])
        nvrtc, target = choose_nvrtc(card.arch, version // 1000)
        wanted = units(phases, decode if card.cooperative else (), formats)
        return CardDriver(devices[0], card, compile_units(nvrtc, target, wanted))


def describe(device: Any) -> Card:
    """What launches are sized by."""
    properties, capability = device.properties, device.compute_capability
    return Card(
        device.name,
        10 * capability.major + capability.minor,
        properties.multiprocessor_count,
        bool(properties.kernel_exec_timeout),
        bool(properties.cooperative_launch),
    )


class CardDriver:
    """One card and two streams of its primary context: what is computed, and transfers beside it."""

    def __init__(self, device: Any, card: Card, cubins: Mapping[str, bytes]) -> None:
        with _CARD_ERRORS:
            self.card, self._device = card, device
            self._stream = device.create_stream()
            self._transfers = device.create_stream()
            self._target = self._stream  # or a graph while it is captured
            self._code = {name: ObjectCode.from_cubin(cubin) for name, cubin in cubins.items()}
            self._kernels = {name: self._kernel(code, name) for name, code in self._code.items()}
            self._decode_blocks = self._resident_blocks() if DECODE in self._kernels else 0
            self._prompt = Cubins.for_capability(card.arch // 10, card.arch % 10)
            self._prompt_kernels: dict[str, tuple[Any, Any]] = {}  # code and kernel: code must outlive it

    def enter(self) -> None:
        with _CARD_ERRORS:
            self._device.set_current()

    # ------------------------------------------------------------------------------------------------- memory

    def free_bytes(self) -> int:
        return int(_values(cu.cuMemGetInfo())[0])

    def allocate(self, nbytes: int) -> int:
        return int(_values(cu.cuMemAlloc(nbytes), f"{nbytes} bytes of the card's memory")[0])

    def release(self, address: int) -> None:
        _values(cu.cuMemFree(address))

    def pin(self, nbytes: int) -> np.ndarray:
        (address,) = _values(cu.cuMemHostAlloc(nbytes, _PINNED), f"{nbytes} bytes of pinned host memory")
        return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(int(address)))

    def unpin(self, memory: np.ndarray) -> None:
        _values(cu.cuMemFreeHost(memory.ctypes.data))

    def copy(self, to: int, source: int, nbytes: int) -> None:
        _values(cu.cuMemcpyAsync(to, source, nbytes, self._stream.handle))

    def transfer(self, copies: Sequence[tuple[int, int, int]]) -> CardEvent:
        with _CARD_ERRORS:
            self._transfers.wait(self._stream.record())
            for to, source, nbytes in copies:
                _values(cu.cuMemcpyAsync(to, source, nbytes, self._transfers.handle))
            return CardEvent(self._transfers.record())

    # ----------------------------------------------------------------------------------------------- launches

    def launch(self, phase: str, machine: int, call: int, flags: int, blocks: int) -> None:
        with _CARD_ERRORS:
            kernel = self._kernels[f"phase_{phase}"]
            launch(self._target, _grid(blocks), kernel, machine, ctypes.c_int32(call), ctypes.c_uint32(flags))

    @property
    def has_prompt_kernels(self) -> bool:
        return self._prompt is not None

    def launch_prompt(self, prompt: Launch) -> None:
        assert self._prompt is not None
        warps, shared, scratch = self._prompt.resources(prompt.kernel)
        with _CARD_ERRORS:
            kernel = self._prompt_kernel(prompt.kernel, shared)
            config = LaunchConfig(grid=prompt.grid, block=warps * LANES, shmem_size=shared)
            launch(self._target, config, kernel, *self._prompt_arguments(prompt), *[0] * scratch)

    def decode(self, machine: int) -> None:
        with _CARD_ERRORS:
            config = LaunchConfig(grid=self._decode_blocks, block=WARPS * LANES, is_cooperative=True)
            launch(self._stream, config, self._kernels[DECODE], machine)

    def capture(self, launches: Callable[[], None]) -> CardGraph:
        with _CARD_ERRORS:
            builder = self._device.create_graph_builder().begin_building()
            self._target = builder
            try:
                launches()
            finally:
                self._target = self._stream
                builder.end_building()
            graph = builder.complete()
            builder.close()
            return CardGraph(graph, self._stream)

    def event(self) -> CardEvent:
        with _CARD_ERRORS:
            return CardEvent(self._stream.record())

    def synchronize(self) -> None:
        with _CARD_ERRORS:
            self._stream.sync()
            self._transfers.sync()

    def close(self) -> None:
        with _CARD_ERRORS:
            self._transfers.close()
            self._stream.close()

    # -------------------------------------------------------------------------------------------------- parts

    def _kernel(self, code: Any, name: str) -> Any:
        """Loaded now: loading at its first launch might wait for a persistent kernel to leave."""
        kernel = code.get_kernel(name)
        _values(cu.cuKernelGetFunction(kernel.handle))
        return kernel

    def _resident_blocks(self) -> int:
        per_multiprocessor = self._kernels[DECODE].occupancy.max_active_blocks_per_multiprocessor(WARPS * LANES, 0)
        return self.card.multiprocessors * max(1, min(per_multiprocessor, DECODE_BLOCKS))

    def _prompt_kernel(self, name: str, shared: int) -> Any:
        assert self._prompt is not None
        if name not in self._prompt_kernels:
            code = ObjectCode.from_cubin(self._prompt.image(name))
            kernel = self._kernel(code, Cubins.entry(name))
            attribute = cu.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            _values(cu.cuKernelSetAttribute(attribute, shared, kernel.handle, self._device.device_id))
            self._prompt_kernels[name] = code, kernel
        return self._prompt_kernels[name][1]

    def _prompt_arguments(self, prompt: Launch) -> list[Any]:
        """Addresses are Python ints, other arguments int32."""
        kinds = KERNELS[Cubins.entry(prompt.kernel)].values()
        pairs = zip(prompt.arguments, kinds, strict=True)
        return [value if kind.startswith("*") else ctypes.c_int32(value) for value, kind in pairs]


class CardGraph:
    """An instantiated graph and the stream it is launched in."""

    def __init__(self, graph: Any, stream: Any) -> None:
        self._graph, self._stream = graph, stream

    def launch(self) -> None:
        with _CARD_ERRORS:
            self._graph.launch(self._stream)

    def close(self) -> None:
        with _CARD_ERRORS:
            self._graph.close()


class CardEvent:
    """A recorded event."""

    def __init__(self, event: Any) -> None:
        self._event = event

    def done(self) -> bool:
        with _CARD_ERRORS:
            return bool(self._event.is_done)

    def wait(self) -> None:
        with _CARD_ERRORS:
            self._event.sync()


class _CardErrors:
    """Turns the exceptions of cuda-core, whose types are its own affair, into DeviceError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None and kind.__module__.startswith("cuda."):
            raise DeviceError(str(error)) from error


_CARD_ERRORS = _CardErrors()


@cache
def _grid(blocks: int) -> Any:
    return LaunchConfig(grid=blocks, block=WARPS * LANES)


def _values(result: Sequence[Any], what: str = "") -> Sequence[Any]:
    """What a call of the driver returned behind its status."""
    status, *values = result
    if status == _OUT_OF_MEMORY:
        raise OutOfDeviceMemoryError(f"no room for {what}")
    if status != cu.CUresult.CUDA_SUCCESS:
        raise DeviceError(str(getattr(status, "name", status)))
    return values
