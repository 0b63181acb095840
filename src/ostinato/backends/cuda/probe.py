"""What the CUDA backend finds here: the card and its memory, driver, compiler; by a few calls of the driver library
itself, without a context and without loading anything heavy."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib.util import find_spec

from ostinato.backends.contract import CompileError, Probe

LIBRARY = "libcuda.so.1"
# CUdevice_attribute
_MULTIPROCESSORS, _TIME_LIMIT, _MAJOR, _MINOR, _COOPERATIVE = 16, 17, 75, 76, 95
_PACKAGES = ("cuda.core", "cuda.bindings")


@dataclass(frozen=True)
class Found:
    """The first card as the driver describes it."""

    name: str
    driver: int  # CUDA version of the driver, 13020 for 13.2
    memory_bytes: int
    major: int
    minor: int
    multiprocessors: int
    time_limit: bool
    cooperative: bool


class NoCardError(Exception):
    """Why there is none; the text is for people."""


def describe(name: str) -> Probe:
    """The probe of the CUDA backend; not available without a card, its driver, or what `ostinato[cuda]` installs."""
    try:
        card = find_card()
    except NoCardError as error:
        return Probe(name, False, str(error))
    arch = 10 * card.major + card.minor
    detail = {
        "card": card.name,
        "compute capability": f"{card.major}.{card.minor}",
        "multiprocessors": str(card.multiprocessors),
        "memory": f"{card.memory_bytes / 1e9:.1f} GB",
        "driver": f"CUDA {card.driver // 1000}.{card.driver % 1000 // 10}",
        "time limit of a kernel": "yes" if card.time_limit else "no",
        "persistent decode": "yes" if card.cooperative else "no: the card has no cooperative launches",
    }
    try:
        compiler = _compiler(arch, card.driver // 1000)
    except CompileError as error:
        return Probe(name, False, str(error).removeprefix(f"{name}: "), detail)
    device = f"{card.name}, sm_{arch}, {card.memory_bytes / 1e9:.0f} GB"
    return Probe(name, True, device, {**detail, "compiler": compiler}, memory_bytes=card.memory_bytes)


def find_card(library: str = LIBRARY) -> Found:
    """Raises NoCardError. CUDA is initialised: a process forked from this one cannot use it."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        raise NoCardError(f"no NVIDIA driver here ({library} cannot be loaded)") from None
    version, count, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _call(cuda, "cuInit", 0)
    _call(cuda, "cuDriverGetVersion", ctypes.byref(version))
    _call(cuda, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise NoCardError("the driver sees no card (CUDA_VISIBLE_DEVICES?)")
    _call(cuda, "cuDeviceGet", ctypes.byref(device), 0)
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    _call(cuda, "cuDeviceGetName", name, len(name), device)
    _call(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    numbers = (_MAJOR, _MINOR, _MULTIPROCESSORS, _TIME_LIMIT, _COOPERATIVE)
    major, minor, multiprocessors, time_limit, cooperative = (_attribute(cuda, device, n) for n in numbers)
    return Found(
        name.value.decode(errors="replace"), version.value, memory.value, major, minor, multiprocessors,
        bool(time_limit), bool(cooperative),
    )  # fmt: skip


def _compiler(arch: int, driver: int) -> str:
    """The NVRTC that would be used. Raises CompileError naming what to install."""
    lacking = [package for package in _PACKAGES if not _installed(package)]
    if lacking:
        extra = "cuda12" if arch < 75 or driver < 13 else "cuda"
        raise CompileError(f"{' and '.join(lacking)} cannot be imported; pip install ostinato[{extra}]")
    from ostinato.backends.cuda.compiler import choose_nvrtc

    nvrtc, target = choose_nvrtc(arch, driver)
    return "NVRTC {}.{} for sm_{}".format(*nvrtc.version, target)


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def _attribute(cuda: ctypes.CDLL, device: ctypes.c_int, number: int) -> int:
    value = ctypes.c_int()
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(value), number, device)
    return value.value


def _call(cuda: ctypes.CDLL, function: str, *arguments: object) -> None:
    if status := getattr(cuda, function)(*arguments):
        text = ctypes.c_char_p()
        cuda.cuGetErrorName(status, ctypes.byref(text))
        said = text.value.decode() if text.value else str(status)
        raise NoCardError(f"the NVIDIA driver refuses: {function} says {said}")
