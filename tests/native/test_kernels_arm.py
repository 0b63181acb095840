"""The levels of 64-bit ARM in an emulator: random blocks of every type must give what the portable level gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostinato.gguf.blocks import FORMATS
from tests.native import arm

pytestmark = arm.needed


def fuzzer(folder: Path, *flags: str) -> Path:
    fuzz = (arm.NATIVE / "cpu" / "tests" / "kernels_fuzz.cpp", ())
    return arm.link(arm.compile(folder, [*reversed(arm.kernel_sources()), fuzz], *flags), folder / "fuzz")


@pytest.fixture(scope="module")
def quickly_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fuzzer(tmp_path_factory.mktemp("quick"), "-O0")


@pytest.mark.parametrize(("cpu", "levels"), [("max", ["neon", "i8mm"]), ("neoverse-n1", ["neon"]), ("cortex-a57", [])])
def test_a_level_is_there_where_its_instructions_are(quickly_built: Path, cpu: str, levels: list[str]) -> None:
    """Without them a kernel would end the program."""
    assert arm.run(quickly_built, "1", "1", cpu=cpu).split() == [str(len(FORMATS)), *levels]


@pytest.mark.slow
@pytest.mark.timeout(900)  # all kernels are compiled
def test_levels_agree(tmp_path: Path) -> None:
    program = fuzzer(tmp_path, "-O3")
    for seed in range(1, 4):
        tried, *levels = arm.run(program, str(seed), "40").split()
        assert (int(tried), levels) == (40 * len(FORMATS), list(arm.LEVELS))
