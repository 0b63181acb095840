"""Builds the CUDA C++ sources for the host, through the warp layer's second implementation.

Every phase and every block format is an object file of its own, kept under a hash of what it is made of in
build/cuda-host[-tsan|-asan]/.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import ostinato.backends.cuda.machine as joint
from ostinato.backends import emit
from ostinato.backends.device.phases_table import PHASES
from ostinato.backends.device.planes import FORMATS

KERNELS = Path(joint.__file__).parent / "kernels"
BUILD = Path(__file__).resolve().parents[3] / "build"
COMPILER = os.environ.get("CXX", "g++")
FLAGS = (
    "-std=c++20", "-O2", "-g1", "-fPIC", "-pthread", "-march=native", "-ffp-contract=off", "-fno-strict-aliasing",
    "-Wall", "-Wextra", "-Wno-psabi", "-Werror",
)  # fmt: skip
# The parts of UBSan that kernels can run into; all of it would double the time to compile.
_UNDEFINED = "alignment,bounds,float-cast-overflow,integer-divide-by-zero,shift,signed-integer-overflow"
SANITIZERS = {
    "": (),
    "tsan": ("-O1", "-fsanitize=thread"),
    "asan": ("-O1", "-fsanitize=address," + _UNDEFINED, "-fno-sanitize-recover=all"),
}
_INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


@cache
def library(sanitizer: str = "") -> ctypes.CDLL:
    """The host library, built where it is not there yet. A sanitizer's runtime must be in the process already."""
    loaded = ctypes.CDLL(str(build(sanitizer)))
    word = ctypes.c_int32
    loaded.ostinato_launch.argtypes = [ctypes.c_void_p, word, ctypes.c_uint32, word, word]
    loaded.ostinato_launch.restype = None
    loaded.ostinato_decode.argtypes = [ctypes.c_void_p, word, word]
    loaded.ostinato_decode.restype = ctypes.c_void_p
    loaded.ostinato_wait.argtypes = [ctypes.c_void_p]
    loaded.ostinato_wait.restype = None
    loaded.ostinato_look.argtypes = [ctypes.c_void_p, word]
    loaded.ostinato_read.argtypes = [ctypes.c_void_p]
    loaded.ostinato_write.argtypes = [ctypes.c_void_p, word]
    loaded.ostinato_write.restype = None
    return loaded


@cache
def warp_library() -> ctypes.CDLL:
    """warp.cpp beside this file: single operations of the warp layer."""
    folder = _folder("")
    source = Path(__file__).with_name("warp.cpp")
    out = _link(folder, FLAGS, [_object(folder, FLAGS, "warp", str(source))])
    return ctypes.CDLL(str(out))


def build(sanitizer: str = "") -> Path:
    """The shared library with all phases. Raises RuntimeError with the compiler's words."""
    folder = _folder(sanitizer)
    flags = FLAGS + SANITIZERS[sanitizer]
    units: list[tuple[str, ...]] = [("launch", "host/launch.cpp")]
    for phase in PHASES:
        defines = (f"-DOSTINATO_NAME={phase.name}", f"-DOSTINATO_CALL={emit.camel(phase.name)}")
        units.append((phase.name, "host/phase.cpp", f"phases/{phase.name}.h", *defines))
    for kind in FORMATS:
        stem = kind.name.lower()
        defines = (f"-DOSTINATO_FORMAT={kind.name}", f"-DOSTINATO_STEM={stem}")
        units.append((stem, "host/block.cpp", f"blocks/{stem}.h", *defines))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda unit: _object(folder, flags, *unit), units))
    return _link(folder, flags, objects)


def _folder(sanitizer: str) -> Path:
    folder = BUILD / f"cuda-host{'-' + sanitizer if sanitizer else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _link(folder: Path, flags: tuple[str, ...], objects: list[Path]) -> Path:
    out = folder / f"lib-{_hash(*(path.name for path in objects))}.so"
    if not out.exists():
        _compile(out, [*flags, "-shared", *map(str, objects)])
    return out


def _object(folder: Path, flags: tuple[str, ...], name: str, source: str, header: str = "", *defines: str) -> Path:
    """The object file of one source; `header` is what it includes through its macros."""
    tables = joint.header()
    texts = [path.read_text() for path in sorted(_closure([source, header]))]
    key = _hash(COMPILER, _target(), *flags, *defines, tables, *texts)
    out = folder / f"{name}-{key}.o"
    if not out.exists():
        generated = folder / f"tables-{_hash(tables)}"
        _generate(generated, tables)
        includes = [f"-I{KERNELS}", f"-I{generated}"]
        _compile(out, [*flags, *includes, *defines, "-c", str(KERNELS / source)])
    return out


def _closure(names: list[str]) -> set[Path]:
    """The sources and every header of ours that they include."""
    found: set[Path] = set()
    paths = [KERNELS / name for name in names]
    while paths:
        path = paths.pop().resolve()
        if path in found or not path.is_file():
            continue
        found.add(path)
        for name in _INCLUDE.findall(path.read_text()):
            paths += [KERNELS / name, path.parent / name]
    return found


@cache
def _target() -> str:
    """What -march=native means here: an object of another machine must not be taken."""
    command = [COMPILER, "-march=native", "-dM", "-E", "-x", "c++", "/dev/null"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _compile(out: Path, arguments: list[str]) -> None:
    draft = out.with_suffix(f".{os.getpid()}")
    done = subprocess.run([COMPILER, *arguments, "-o", str(draft)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{out.name}:\n{done.stderr}")
    draft.replace(out)


def _generate(folder: Path, tables: str) -> None:
    """tables.h in `folder`, whole at every moment: other compilers may be reading it."""
    folder.mkdir(exist_ok=True)
    if not (folder / "tables.h").exists():
        draft = folder / f"{threading.get_ident()}-{os.getpid()}"
        draft.write_text(tables)
        draft.replace(folder / "tables.h")


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
