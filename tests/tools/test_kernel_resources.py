"""docs/kernels.md is what these sources give, and ptxas is understood. (`make gpu-check` compiles everything again.)"""

from __future__ import annotations

from tools.kernel_resources import (
    OLD_TARGETS,
    SPILLS,
    TARGETS,
    Resources,
    all_units,
    digest,
    is_current,
    parse,
    render,
    spilling,
    wanted,
)

LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'decode' for 'sm_75'
ptxas info    : Function properties for decode
ptxas         .     0 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 216 bytes cumulative stack size, 32768 bytes smem
ptxas info    : Compile time = 6.896 ms
ptxas info    : Function properties for _ZN8ostinato4cuda3runE
ptxas         .     0 bytes stack frame, 56 bytes spill stores, 48 bytes spill loads
"""


def test_ptxas_is_understood() -> None:
    assert parse(LOG) == Resources(registers=255, shared=32768, spills=124)
    assert parse("ptxas info    : Used 14 registers, used 1 barriers") == Resources(14, 0, 0)


def test_every_kernel_has_its_targets() -> None:
    pairs = {(unit.kernel, target) for unit, target in wanted()}
    assert {(unit.kernel, target) for unit in all_units() for target in TARGETS} <= pairs
    assert {name for name, target in pairs if target in OLD_TARGETS} == {"phase_pack", "phase_linear", "phase_embed"}


def test_the_document() -> None:
    text = render({("decode", 90): Resources(255, 32768, 0)}, "13.2 and 12.9")
    (row,) = [line for line in text.splitlines() if line.startswith("| `decode`")]
    assert row.count("|") == len(TARGETS) + len(OLD_TARGETS) + 2
    assert "255 / 32768 / 0" in row
    assert f"Sources: {digest()}\n" in text


def test_spills_without_an_excuse_are_named() -> None:
    spills = Resources(40, 0, 8)
    measured = {("phase_add", 90): spills, ("phase_glu", 90): Resources(40, 0, 0), ("phase_linear", 90): spills}
    assert spilling(measured) == ["phase_add sm_90", "phase_linear sm_90"], "linear is excused on sm_52 only"
    assert not spilling({("decode", 90): spills, ("phase_linear", 52): spills})
    assert {name.split()[0] for name in SPILLS} <= {unit.kernel for unit in all_units()}


def test_the_document_is_of_these_sources() -> None:
    assert is_current(), "docs/kernels.md is of other sources: run `python tools/kernel_resources.py`"
