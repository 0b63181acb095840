"""Builds llama.cpp several ways, so that a comparison can tell "the best of all" from "the same instructions".

    python -m bench.build_peers peers [--source LLAMA_CPP_FOLDER] [--jobs 2] [--variants native avx2]

Without --source the newest source package of llama-cpp-python is downloaded and its vendored llama.cpp built. Needs
cmake, ninja or make, and a C++ compiler. Only the libraries are built: `peers/NAME/` holds one of each kind, which
`bench/peer.py` loads (`LLAMA_CPP_LIB_PATH`). The variants differ in one of them, `ggml-cpu`; the rest is built once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

_AVX2 = ("AVX", "AVX2", "FMA", "F16C", "BMI2", "SSE42")
_AVX512 = (*_AVX2, "AVX512", "AVX512_VNNI")
_AMX = (*_AVX512, "AVX512_VBMI", "AVX512_BF16", "AMX_TILE", "AMX_INT8", "AMX_BF16")


def _exactly(names: tuple[str, ...]) -> dict[str, str]:
    """These instructions, whatever this machine has besides."""
    return {"GGML_NATIVE": "OFF", **{f"GGML_{name}": "ON" for name in names}}


VARIANTS: dict[str, dict[str, str]] = {
    "native": {"GGML_NATIVE": "ON"},  # all that this machine has
    "threads": {"GGML_NATIVE": "ON", "GGML_OPENMP": "OFF"},  # ggml's own threads instead of OpenMP's
    "avx2": _exactly(_AVX2),
    "avx512": _exactly(_AVX512),
    "amx": _exactly(_AMX),
}
_ONLY_LIBRARIES = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "ON",
    "CMAKE_BUILD_RPATH_USE_ORIGIN": "ON",
    **{f"LLAMA_BUILD_{part}": "OFF" for part in ("COMMON", "TESTS", "TOOLS", "EXAMPLES", "SERVER", "APP")},
}
_LIBRARY_FOLDER = "bin"  # of llama.cpp's build


def download(folder: Path) -> Path:
    """The llama.cpp inside the newest source package of llama-cpp-python, unpacked under `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python"]
    subprocess.run([*command, "--dest", str(folder), "llama-cpp-python"], check=True)
    package = max(folder.glob("llama_cpp_python-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    with tarfile.open(package) as archive:
        archive.extractall(folder, filter="data")
    return folder / package.name.removesuffix(".tar.gz") / "vendor" / "llama.cpp"


def build(source: Path, folder: Path, options: Mapping[str, str], targets: list[str], jobs: int) -> Path:
    """The folder of the libraries that were made."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    flags = [f"-D{key}={value}" for key, value in {**_ONLY_LIBRARIES, **options}.items()]
    subprocess.run(["cmake", *generator, "-S", str(source), "-B", str(folder), *flags], check=True)
    subprocess.run(["cmake", "--build", str(folder), "-j", str(jobs), "--target", *targets], check=True)
    return folder / _LIBRARY_FOLDER


def gather(into: Path, folders: list[Path]) -> None:
    """Copy libraries into one folder; of a name that occurs twice the later one, links as links."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for folder in folders:
        for library in sorted(folder.glob("lib*")):
            (into / library.name).unlink(missing_ok=True)
            shutil.copy2(library, into / library.name, follow_symlinks=False)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where the variants' folders go")
    parser.add_argument("--source", type=Path, help="llama.cpp's sources (default: downloaded)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    out, work = options.out.resolve(), options.out.resolve() / "build"
    work.mkdir(parents=True, exist_ok=True)
    source = (options.source or download(work)).resolve()
    shared = build(source, work / "shared", VARIANTS["avx2"], ["llama"], options.jobs)
    for name in options.variants:
        own = build(source, work / name, VARIANTS[name], ["ggml-cpu"], options.jobs)
        gather(out / name, [shared, own])
        print(out / name)


if __name__ == "__main__":
    main()
