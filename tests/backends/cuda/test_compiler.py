"""Kernels compiled by NVRTC: the choice of a library, every header found, the cache and what spoils it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ostinato.backends.contract import CompileError
from ostinato.backends.cuda import compiler
from ostinato.backends.cuda.compiler import choose_nvrtc, compile_units, units
from ostinato.backends.cuda.nvrtc import Compiled, Nvrtc, NvrtcError, libraries
from ostinato.backends.device.phases_table import PHASES
from ostinato.backends.device.planes import FORMATS
from ostinato.gguf.types_table import TensorType

needs_nvrtc = pytest.mark.skipif(not libraries(), reason="no NVRTC here: pip install ostinato[cuda]")


class FakeNvrtc(Nvrtc):
    """Says which version and targets it is; a cubin is a number of the compilation."""

    def __init__(self, version: tuple[int, int], targets: tuple[int, ...] = ()) -> None:
        self.version, self.targets = version, targets
        self.compiled = 0

    def compile(self, *arguments: Any) -> Compiled:
        self.compiled += 1
        return Compiled(f"cubin {self.compiled}".encode(), "")


NEW, OLD = FakeNvrtc((13, 2), (75, 80, 86, 90, 120)), FakeNvrtc((12, 9), (52, 61, 75, 80, 90))


@pytest.mark.parametrize(
    ("arch", "driver", "version", "target"),
    [
        (90, 13, 13, 90),
        (89, 13, 13, 86),  # a cubin runs on later cards of its generation
        (121, 13, 13, 120),
        (61, 13, 12, 61),
        (90, 12, 12, 90),  # an older driver refuses what a newer compiler made
    ],
)
def test_the_newest_compiler_that_serves_is_taken(arch: int, driver: int, version: int, target: int) -> None:
    nvrtc, found = choose_nvrtc(arch, driver, [NEW, OLD])
    assert (nvrtc.version[0], found) == (version, target)


@pytest.mark.parametrize(
    ("arch", "driver", "there", "says"),
    [
        (61, 13, [NEW], r"sm_61 .*found: 13.2.*ostinato\[cuda12\]"),
        (90, 12, [NEW], r"driver for CUDA 12 .*ostinato\[cuda12\]"),
        (90, 13, [], r"found: none.*ostinato\[cuda\]"),
        (70, 13, [NEW], r"ostinato\[cuda12\]"),
    ],
)
def test_a_missing_compiler_is_named(arch: int, driver: int, there: list[Nvrtc], says: str) -> None:
    with pytest.raises(CompileError, match=says):
        choose_nvrtc(arch, driver, there)


@needs_nvrtc
def test_real_units_compile_and_are_kept(tmp_path: Path) -> None:
    nvrtc = libraries()[0]
    wanted = units(["add", "finish"])
    first = compile_units(nvrtc, 90, wanted, tmp_path)
    assert set(first) == {"phase_add", "phase_finish"}
    assert all(cubin.startswith(b"\x7fELF") for cubin in first.values())
    fake = FakeNvrtc(nvrtc.version)
    assert compile_units(fake, 90, wanted, tmp_path) == first
    assert fake.compiled == 0


@needs_nvrtc
def test_an_error_is_the_compilers(tmp_path: Path) -> None:
    (unit,) = units(["add"])
    broken = compiler.Unit(unit.kernel, unit.source + "\nnonsense;", unit.headers, unit.defines)
    with pytest.raises(NvrtcError, match="nonsense"):
        broken.compile(libraries()[0], 90)
    with pytest.raises(CompileError, match=r"(?s)phase_add does not compile for sm_90: .*nonsense"):
        compile_units(libraries()[0], 90, [broken], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_units_are_what_a_model_needs() -> None:
    found = {unit.kernel: unit for unit in units(["rows", "linear", "begin"], ["rows", "linear"])}
    assert set(found) == {"phase_begin", "phase_rows", "phase_linear", "decode"}
    (macro,) = [line for line in found["decode"].headers["tables.h"].splitlines() if "OSTINATO_PHASES(X)" in line]
    assert macro == "#define OSTINATO_PHASES(X) X(rows, Rows) X(linear, Linear)"
    assert not any(name.startswith("host/") for name in found["decode"].headers)
    assert "phases/linear.h" in found["decode"].headers
    assert {"tables.h", "cstdint", "warp.h", "phases/rows.h"} <= set(found["phase_rows"].headers)
    assert "phases/linear.h" not in found["phase_rows"].headers, "a kernel is compiled again for its own headers only"
    assert {unit.kernel for unit in units([phase.name for phase in PHASES])} == {f"phase_{p.name}" for p in PHASES}


def test_kernels_read_the_formats_of_their_model() -> None:
    wanted = ["add", "linear"]
    some = {unit.kernel: unit for unit in units(wanted, wanted, [TensorType.Q6_K, TensorType.F32])}
    every = {unit.kernel: unit for unit in units(wanted, wanted)}
    for kernel in ("phase_linear", "decode"):
        assert "OSTINATO_BLOCK_FORMATS(X) X(F32) X(Q6_K)\n" in some[kernel].headers["tables.h"]
        assert some[kernel].digest != every[kernel].digest
    assert some["phase_add"].digest == every["phase_add"].digest, "what reads no blocks is the same for every model"
    headers = every["phase_linear"].headers
    assert all(f"blocks/{kind.name.lower()}.h" in headers for kind in FORMATS)


def test_the_cache_is_keyed_by_all_that_goes_in(tmp_path: Path) -> None:
    nvrtc = FakeNvrtc((13, 2))
    (unit,) = units(["add"])
    headers = {**unit.headers, "warp.h": unit.headers["warp.h"] + " "}
    others = [
        (nvrtc, 90, compiler.Unit(unit.kernel, unit.source + " ", unit.headers, unit.defines)),
        (nvrtc, 90, compiler.Unit(unit.kernel, unit.source, headers, unit.defines)),
        (nvrtc, 90, compiler.Unit(unit.kernel, unit.source, unit.headers, ("-DX",))),
        (nvrtc, 86, unit),
        (FakeNvrtc((13, 3)), 90, unit),
    ]
    compile_units(nvrtc, 90, [unit], tmp_path)
    for number, (library, target, each) in enumerate(others, start=2):
        compile_units(library, target, [each], tmp_path)
        assert len(list(tmp_path.iterdir())) == number


@pytest.mark.parametrize("spoil", [b"", b"too short", None])
def test_a_spoiled_file_is_compiled_again(tmp_path: Path, spoil: bytes | None) -> None:
    nvrtc = FakeNvrtc((13, 2))
    wanted = units(["add"])
    compile_units(nvrtc, 90, wanted, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x" if spoil is None else spoil)
    assert compile_units(nvrtc, 90, wanted, tmp_path) == {"phase_add": b"cubin 2"}
    assert compile_units(nvrtc, 90, wanted, tmp_path) == {"phase_add": b"cubin 2"}


def test_many_writers_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    nvrtc = FakeNvrtc((13, 2))
    wanted = units(["add"])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: compile_units(nvrtc, 90, wanted, tmp_path), range(32)))
    assert len(list(tmp_path.iterdir())) == 1
    before = nvrtc.compiled
    compile_units(nvrtc, 90, wanted, tmp_path)
    assert nvrtc.compiled == before


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    nvrtc, file = FakeNvrtc((13, 2)), tmp_path / "file"
    file.touch()
    for number in (1, 2):
        found = compile_units(nvrtc, 90, units(["add"]), file / "below")
        assert found == {"phase_add": f"cubin {number}".encode()}


def test_the_cache_lies_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiler.cache_folder() == tmp_path / "ostinato" / "cuda"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert compiler.cache_folder() == Path.home() / ".cache" / "ostinato" / "cuda"
