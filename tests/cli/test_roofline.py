"""`bench --profile`: what is added up, what is shared, and what the table says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ostinato.backends.contract import KVType
from ostinato.backends.profile import Roofs, Times
from ostinato.cli.roofline import Profile, roofline
from ostinato.engine.loading import Opened, Options, open_model
from tests.cli.support import call
from tests.support import BUILTIN
from tools.tiny_models import write_tiny_model

ROOFS = Roofs(30e9, 900e9, 0.0)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    path: Path = tmp_path_factory.mktemp("roofline") / "tiny.gguf"
    write_tiny_model(path, type="Q8_0")
    return open_model(path, Options(backend="reference", context=64))


def times(opened: Opened, steps: int, rows: int) -> Times:
    """Every instruction took a millisecond a step, and as long again was spent between them."""
    program = opened.programs.decode
    count = len(program.instructions)
    return Times("decode", program, steps, steps * rows, steps, 2e-3 * steps * count, np.full(count, 1e-3 * steps))


def test_a_mean_step(opened: Opened) -> None:
    found = roofline(times(opened, steps=3, rows=4), opened.file.tensors, context=10, sequences=4, kv_type=KVType.F16)
    linears = [i for i in opened.programs.decode.instructions if i.op == "linear"]
    (kind,) = [kind for kind in found.kinds if kind.op == "linear"]
    assert (kind.weights, kind.quantised, kind.calls) == ("Q8_0", True, len(linears))
    assert kind.seconds == pytest.approx(1e-3 * len(linears))
    assert found.seconds == pytest.approx(2e-3 * len(opened.programs.decode.instructions))
    assert (found.load.rows, found.load.context) == (4, 10)


def moved(opened: Opened, op: str, sequences: int = 1, kv_type: KVType = KVType.F16) -> float:
    """Bytes of an op in a step of eight rows."""
    found = roofline(times(opened, steps=1, rows=8), opened.file.tensors, 10, sequences, kv_type)
    return next(kind.bytes for kind in found.kinds if kind.op == op)


def test_rows_of_a_sequence_share_its_keys_and_values(opened: Opened) -> None:
    assert moved(opened, "attend", sequences=8) == 8 * moved(opened, "attend", sequences=1)
    assert moved(opened, "append", sequences=8) == moved(opened, "append", sequences=1)


@pytest.mark.parametrize("op", ["append", "attend"])
def test_keys_and_values_are_as_large_as_their_type(opened: Opened, op: str) -> None:
    f16, f32, q8_0 = (moved(opened, op, kv_type=kind) for kind in (KVType.F16, KVType.F32, KVType.Q8_0))
    assert (f32, 32 * q8_0) == (2 * f16, 17 * f16)  # 34 bytes hold 32 elements


def test_table(opened: Opened) -> None:
    profile = Profile([roofline(times(opened, 2, 1), opened.file.tensors, 10, 1, KVType.F16)], ROOFS)
    text = "\n".join(profile.lines())
    assert "decode: 1 row, 10 positions attended to" in text
    assert "memory 30.0 GB/s" in text
    assert "float32" not in text.splitlines()[-1]  # a roof that nobody knows is left out
    between = next(line for line in text.splitlines() if line.startswith("between"))
    assert between.split()[-2:] == ["50", "%"]


def test_bench_profile() -> None:
    words = ("bench", str(BUILTIN), "--backend", "cpu", "-p", "16", "-n", "4", "-b", "2", "-r", "1", "--profile")
    table = call(*words)
    assert table.returncode == 0
    assert "prefill: 32 rows" in table.stdout
    assert "experts" in table.stdout
    found = json.loads(call(*words, "--json").stdout)["profile"]
    assert [step["kind"] for step in found["steps"]] == ["prefill", "decode"]
    assert found["steps"][1]["load"]["rows"] == 2
    assert found["roofs"]["bytes_per_second"] > 0


def test_a_backend_that_cannot_says_so() -> None:
    done = call("bench", str(BUILTIN), "--backend", "null", "-p", "16", "-n", "4", "--profile")
    assert done.returncode == 2
    assert "null cannot time instructions" in done.stderr
