"""Kernels for a card: kernels/ compiled by NVRTC when a model is first loaded, and kept on disk.

The sources ship in the package; tables.h is generated. A cached cubin is keyed by everything it is made of.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostinato.backends.contract import CompileError
from ostinato.backends.cuda import machine
from ostinato.backends.cuda.nvrtc import Nvrtc, NvrtcError, libraries

KERNELS = Path(__file__).parent / "kernels"
# No contraction: a * b + c rounds twice, as on the host; where fma is meant, it is written.
OPTIONS = ("-std=c++20", "-fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false", "-default-device")
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Sources:
    """What NVRTC is given: kernels.cu, and the headers by the names they are included by."""

    main: str
    headers: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Of every byte, and of the options that do not depend on the card."""
        parts = [self.main, *OPTIONS, *(part for name in sorted(self.headers) for part in (name, self.headers[name]))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_sources(folder: Path = KERNELS) -> Sources:
    """The kernels as shipped, with tables.h. What the host's implementation alone includes is left out."""
    headers = {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*.h"))
        if path.relative_to(folder).parts[0] != "host"
    }
    standard = {path.name: path.read_text() for path in sorted((folder / "rtc").iterdir())}
    return Sources((folder / "kernels.cu").read_text(), {**headers, **standard, "tables.h": machine.header()})


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


def compile_kernels(nvrtc: Nvrtc, target: int, sources: Sources, folder: Path | None = None) -> bytes:
    """The cubin of all kernels, from the cache in `folder` where it is whole. Raises CompileError."""
    folder = cache_folder() if folder is None else folder
    key = "{}-sm_{}-nvrtc{}.{}.cubin".format(sources.digest[:32], target, *nvrtc.version)
    cached = _read(folder / key)
    if cached is not None:
        return cached
    try:
        cubin = nvrtc.compile(sources.main, sources.headers, (f"-arch=sm_{target}", *OPTIONS)).cubin
    except NvrtcError as error:
        raise CompileError(f"cuda: the kernels do not compile for sm_{target}: {error}") from error
    # A cache that cannot be written costs time at the next start, nothing else.
    with contextlib.suppress(OSError):
        _write(folder, key, cubin)
    return cubin


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/ostinato/cuda, or ~/.cache/ostinato/cuda."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "ostinato" / "cuda"


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
