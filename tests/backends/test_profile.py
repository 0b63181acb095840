"""The CPU executor's times of instructions: every step counted, nothing counted before it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato import _cpu
from ostinato.backends.contract import Executable, Plan
from ostinato.backends.null import NullBackend
from ostinato.backends.profile import Profiling
from ostinato.engine.loading import Options, open_model
from tests.backends.drive import generate
from tools.tiny_models import write_tiny_model

PROMPTS = ([5, 80, 13, 200, 31, 7, 9], [11, 3])
DRAWN = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Executable, Plan]]:
    path: Path = tmp_path_factory.mktemp("profile") / "tiny.gguf"
    write_tiny_model(path, type="Q8_0")
    opened = open_model(path, Options(backend="cpu", context=32, max_sequences=2, max_rows=32, threads=2))
    executable = opened.compile()
    yield executable, opened.plan
    executable.close()


def test_every_step_and_instruction_is_timed(model: tuple[Executable, Plan]) -> None:
    executable, plan = model
    assert isinstance(executable, Profiling)
    generate(executable, plan, PROMPTS, DRAWN)  # not profiled
    executable.start_profile()
    generate(executable, plan, PROMPTS, DRAWN)
    prefill, decode = executable.profile()
    assert (prefill.kind, prefill.steps, prefill.rows, prefill.logit_rows) == ("prefill", 1, 9, 2)
    assert (decode.kind, decode.steps, decode.rows, decode.logit_rows) == ("decode", DRAWN - 1, 10, 10)
    for times in (prefill, decode):
        assert len(times.seconds) == len(times.program.instructions)
        assert (times.seconds > 0).all()
        assert times.seconds.sum() <= times.step_seconds


def test_a_profile_starts_from_zero(model: tuple[Executable, Plan]) -> None:
    executable, _ = model
    assert isinstance(executable, Profiling)
    executable.start_profile()
    for times in executable.profile():
        assert times.steps == times.rows == times.step_seconds == 0
        assert not times.seconds.any()


def test_not_every_backend_profiles(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny.gguf")
    opened = open_model(tmp_path / "tiny.gguf", Options(backend="null", context=32))
    assert isinstance(opened.backend, NullBackend)
    assert not isinstance(opened.compile(), Profiling)


def test_roofs_are_those_of_a_machine() -> None:
    assert 1e8 < _cpu.read_bandwidth(1, 1) < 1e13
    int8, f32 = _cpu.peak_rates(1)
    if _cpu.level() in ("avx2", "avx512"):
        assert 1e9 < f32 < 1e13
        assert f32 < int8
