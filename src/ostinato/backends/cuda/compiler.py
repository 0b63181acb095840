"""Kernels for a card: kernels/ compiled by NVRTC when a model first needs them, and kept on disk.

A kernel is a unit of its own: phase.cu for each phase, decode.cu for the phases of the model. Units are compiled side
by side. The sources ship in the package; tables.h is generated. A cached cubin is keyed by all it is made of.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ostinato.backends import emit
from ostinato.backends.contract import CompileError
from ostinato.backends.cuda import machine
from ostinato.backends.cuda.nvrtc import Compiled, Nvrtc, NvrtcError, libraries
from ostinato.backends.device.phases_table import PHASES
from ostinato.backends.device.planes import FORMATS
from ostinato.gguf.types_table import TensorType

KERNELS = Path(__file__).parent / "kernels"
# No contraction: a * b + c rounds twice, as on the host; where fma is meant, it is written.
OPTIONS = ("-std=c++20", "-fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false", "-default-device")
DECODE = "decode"
_DIGEST_BYTES = 32
_INCLUDE = re.compile(r'^#include ["<]([^">]+)[">]', re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """One kernel to be compiled: its source, the headers by the names they are included by, and its macros."""

    kernel: str
    source: str
    headers: Mapping[str, str]
    defines: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of every byte that goes in, but for the target."""
        named = (part for name in sorted(self.headers) for part in (name, self.headers[name]))
        return hashlib.sha256("\0".join((self.source, *OPTIONS, *self.defines, *named)).encode()).hexdigest()

    def compile(self, nvrtc: Nvrtc, target: int, *options: str) -> Compiled:
        """Raises NvrtcError."""
        return nvrtc.compile(self.source, self.headers, (f"-arch=sm_{target}", *OPTIONS, *self.defines, *options))


def units(
    phases: Collection[str], decode: Collection[str] = (), formats: Collection[TensorType] = tuple(FORMATS)
) -> list[Unit]:
    """A kernel for each of `phases`, and the persistent one for `decode` where there are any. What reads blocks reads
    those of `formats`: every other format would cost registers and time to compile."""
    found = []
    for phase in (phase for phase in PHASES if phase.name in phases):
        defines = (f"-DOSTINATO_NAME={phase.name}", f"-DOSTINATO_CALL={emit.camel(phase.name)}")
        source = (KERNELS / "phase.cu").read_text()
        headers = _included(source, f"phases/{phase.name}.h")
        if "blocks/types.h" in headers:
            headers["tables.h"] = machine.header(formats=formats)
        found.append(Unit(f"phase_{phase.name}", source, headers, defines))
    if decode:
        tables = machine.header([phase for phase in PHASES if phase.name in decode], formats)
        source = (KERNELS / "decode.cu").read_text()
        found.append(Unit(DECODE, source, {**_included(source), "tables.h": tables}))
    return found


def _included(source: str, *more: str) -> dict[str, str]:
    """The headers that a source includes, directly or not, and `more` with theirs."""
    headers, found = _headers(), {}
    names = [*more, *_INCLUDE.findall(source)]
    while names:
        name = names.pop()
        if name not in found and name in headers:
            found[name] = headers[name]
            names += _INCLUDE.findall(headers[name])
    return found


@cache
def _headers() -> Mapping[str, str]:
    """What kernels may include; rtc/ is NVRTC's standard library. What only the host includes is left out."""
    ours = {path.relative_to(KERNELS).as_posix(): path for path in sorted(KERNELS.rglob("*.h"))}
    standard = {path.name: path for path in sorted((KERNELS / "rtc").iterdir())}
    texts = {name: path.read_text() for name, path in {**ours, **standard}.items() if not name.startswith("host/")}
    return {**texts, "tables.h": machine.header()}


def choose_nvrtc(arch: int, driver: int, found: Sequence[Nvrtc] | None = None) -> tuple[Nvrtc, int]:
    """The newest NVRTC for a card of compute capability `arch` (90 for sm_90) under a CUDA `driver` of that major
    version, and the target to compile for: the card's own, or the nearest below it of the same major version.

    Raises CompileError naming what to install.
    """
    found = libraries() if found is None else found
    for nvrtc in found:
        targets = [target for target in nvrtc.targets if target // 10 == arch // 10 and target <= arch]
        if nvrtc.version[0] <= driver and targets:
            return nvrtc, targets[-1]
    have = ", ".join("{}.{}".format(*nvrtc.version) for nvrtc in found) or "none"
    extra = "cuda12" if arch < 75 or driver < 13 else "cuda"
    raise CompileError(
        f"cuda: no NVRTC here compiles for sm_{arch} under a driver for CUDA {driver} (found: {have}); "
        f"pip install ostinato[{extra}]"
    )


def compile_units(nvrtc: Nvrtc, target: int, wanted: Sequence[Unit], folder: Path | None = None) -> dict[str, bytes]:
    """Cubins by kernel, from the cache in `folder` where they are whole. Raises CompileError."""
    folder = cache_folder() if folder is None else folder
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) as pool:
        cubins = pool.map(lambda unit: _cubin(nvrtc, target, unit, folder), reversed(wanted))  # the longest is last
        return dict(zip((unit.kernel for unit in reversed(wanted)), cubins, strict=True))


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/ostinato/cuda, or ~/.cache/ostinato/cuda."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "ostinato" / "cuda"


def _cubin(nvrtc: Nvrtc, target: int, unit: Unit, folder: Path) -> bytes:
    name = "{}-{}-sm_{}-nvrtc{}.{}.cubin".format(unit.kernel, unit.digest[:32], target, *nvrtc.version)
    cached = _read(folder / name)
    if cached is not None:
        return cached
    try:
        cubin = unit.compile(nvrtc, target).cubin
    except NvrtcError as error:
        raise CompileError(f"cuda: {unit.kernel} does not compile for sm_{target}: {error}") from error
    # A cache that cannot be written costs time at the next start, nothing else.
    with contextlib.suppress(OSError):
        _write(folder, name, cubin)
    return cubin


def _read(path: Path) -> bytes | None:
    """A file's contents behind their digest; None where it is not there or not what was written."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, cubin = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    return cubin if hashlib.sha256(cubin).digest() == digest else None


def _write(folder: Path, name: str, cubin: bytes) -> None:
    """Renamed into place when whole, so that readers and other writers never see a part."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=name, delete=False) as file:
        try:
            file.write(hashlib.sha256(cubin).digest() + cubin)
            file.close()
            os.replace(file.name, folder / name)
        except OSError:
            os.unlink(file.name)
            raise
