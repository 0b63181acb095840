"""NVRTC, NVIDIA's run-time compiler, by its C functions: any version of the library, several in one process.

cuda.bindings would bind one version for the whole process; cards before Turing need a 12.x beside a newer one.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SYSTEM_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12")


class NvrtcError(RuntimeError):
    """The library refused; for sources that do not compile the text is the compiler's log."""


@dataclass(frozen=True)
class Compiled:
    """A cubin and what the compiler said."""

    cubin: bytes
    log: str


class Nvrtc:
    """One loaded library. `version` is (major, minor); `targets` are compute capabilities, 90 for sm_90."""

    def __init__(self, path: str) -> None:
        """Raises OSError where it cannot be loaded."""
        self._lib = ctypes.CDLL(path)
        self._lib.nvrtcGetErrorString.restype = ctypes.c_char_p
        self.version = self._version()
        self.targets = self._targets()

    def compile(self, source: str, headers: Mapping[str, str], options: Sequence[str]) -> Compiled:
        """`headers` are what the source may #include, by name. Raises NvrtcError with the log."""
        names = (ctypes.c_char_p * len(headers))(*(name.encode() for name in headers))
        texts = (ctypes.c_char_p * len(headers))(*(text.encode() for text in headers.values()))
        program = ctypes.c_void_p()
        self._check(
            self._lib.nvrtcCreateProgram(
                ctypes.byref(program), source.encode(), b"kernel.cu", len(headers), texts, names
            )
        )
        try:
            flags = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            status = self._lib.nvrtcCompileProgram(program, len(options), flags)
            log = self._bytes(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            if status:
                raise NvrtcError(log or self._text(status))
            return Compiled(self._bytes(program, "CUBIN"), log)
        finally:
            self._lib.nvrtcDestroyProgram(ctypes.byref(program))

    def _version(self) -> tuple[int, int]:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        return major.value, minor.value

    def _targets(self) -> tuple[int, ...]:
        count = ctypes.c_int()
        self._check(self._lib.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
        found = (ctypes.c_int * count.value)()
        self._check(self._lib.nvrtcGetSupportedArchs(found))
        return tuple(sorted(found))

    def _bytes(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(self._lib[f"nvrtcGet{what}Size"](program, ctypes.byref(size)))
        out = ctypes.create_string_buffer(size.value)
        self._check(self._lib[f"nvrtcGet{what}"](program, out))
        return out.raw

    def _check(self, status: int) -> None:
        if status:
            raise NvrtcError(self._text(status))

    def _text(self, status: int) -> str:
        text: bytes = self._lib.nvrtcGetErrorString(status)
        return text.decode()


@cache
def libraries() -> tuple[Nvrtc, ...]:
    """Every NVRTC there is, newest first: of NVIDIA's Python packages, then of the system."""
    found: dict[tuple[int, int], Nvrtc] = {}
    for path in (*_packaged(), *_SYSTEM_NAMES):
        try:
            library = Nvrtc(path)
        except OSError:
            continue  # not there, or for another processor
        found.setdefault(library.version, library)
    return tuple(found[version] for version in sorted(found, reverse=True))


def _packaged() -> list[str]:
    """nvidia/cu13/lib/libnvrtc.so.13, nvidia/cuda_nvrtc/lib/libnvrtc.so.12, wherever the namespace package lies."""
    try:
        import nvidia
    except ImportError:
        return []
    return [
        str(path)
        for folder in nvidia.__path__
        for path in sorted(Path(folder).glob("*/lib/libnvrtc.so.*"))
        if re.fullmatch(r"libnvrtc\.so\.\d+", path.name)
    ]
