"""A row on the CPU depends on its kind and its own past, to the last bit: not on chunks, company or threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ostinato import _cpu
from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import KVType, Plan
from ostinato.backends.cpu import CpuBackend
from ostinato.backends.reference import ReferenceBackend
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.model.kinds_table import AttentionMask
from tests.backends.cases import CASES, OpCase, nmse
from tests.backends.cases_attention import attend_case
from tests.backends.drive import enter, generate, prompt_logits
from tests.backends.levels import LEVELS, use_level
from tools.tiny_models import write_tiny_model

ATTEND = {case.name: case for case in CASES if case.name.startswith("attend")}
LONG = Plan(
    max_rows=1200, max_logit_rows=1200, max_sequences=2, context=1200, blocks=150, block_size=16,
    kv_type=KVType.F16, threads=2,
)  # fmt: skip


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return use_level(request.param, monkeypatch)


@pytest.fixture(scope="module", params=["dense Q4_K_M", "experts Q6_K", "experts F32"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    path: Path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    sort, kind = request.param.split()
    write_tiny_model(path, moe=sort == "experts", type=kind)
    return open_model(path, Options(backend="cpu", context=128, max_sequences=9, max_rows=256, max_logit_rows=256))


def with_threads(model: Opened, threads: int) -> Opened:
    return replace(model, plan=replace(model.plan, threads=threads))


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(count)
    return [[int(t) for t in random.integers(3, 500, int(n))] for n in random.integers(1, 30, count)]


def test_chunks_and_threads(model: Opened, level: str) -> None:
    prompt = [(37 * i) % 500 for i in range(61)]
    one, three = with_threads(model, 1).compile(), with_threads(model, 3).compile()
    wanted = prompt_logits(one, model.plan, prompt, 64)
    for executable in (one, three):
        for chunk in (64, 7, 1):
            np.testing.assert_array_equal(prompt_logits(executable, model.plan, prompt, chunk), wanted)
        executable.close()


def test_company(model: Opened, level: str) -> None:
    executable = with_threads(model, 2).compile()
    crowd = prompts(9)
    together = generate(executable, model.plan, crowd, 20)
    alone = [generate(executable, model.plan, [prompt], 20)[0] for prompt in crowd]
    assert together == alone
    executable.close()


def test_logits_of_generated_rows_beside_prompts(model: Opened, level: str) -> None:
    """A generated row alone, then the same row beside a prompt of another sequence."""
    executable, plan = with_threads(model, 2).compile(), model.plan
    found = []
    for company in ([], [Span(1, Kind.PROMPT, 0, list(range(40)))]):
        entered = [enter(plan, slot, 3) for slot in (0, 1)]
        first = Batch([Span(0, Kind.PROMPT, 0, [4, 5, 6])], [e for e, _ in entered], [t for _, t in entered])
        executable.submit(first)
        executable.submit(Batch([*company, Span(0, Kind.GENERATED, 3, [77], 1)], want_logits=True))
        executable.collect()
        found.append(executable.collect().outputs["logits"])
    np.testing.assert_array_equal(found[0], found[1])
    executable.close()


@pytest.fixture(params=_cpu.levels())
def vector_level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Attention has no tiles."""
    return use_level(request.param, monkeypatch)


def attention(case: OpCase, plan: Plan, steps: Sequence[tuple[Kind, int, int]]) -> np.ndarray:
    """Outputs of the rows of one long sequence that is fed in `steps` of (kind, start, stop). The cache begins as
    NaN everywhere, so that a position read before it was written shows."""
    programs, tensors = case.programs()
    memory = {g.name: memoryview(bytearray(b"\xff" * plan.cache_bytes(g))) for g in case.caches}
    executable = CpuBackend().compile(programs, tensors, replace(plan, memory=memory))
    parts = []
    for kind, start, stop in steps:
        entered = [enter(plan, 0, 2000)] if start == 0 else []
        tokens = [(29 * i) % 64 for i in range(start, stop)]
        span = Span(0, kind, start, tokens, logit_rows=len(tokens))
        executable.submit(Batch([span], [e for e, _ in entered], [t for _, t in entered], want_logits=True))
        parts.append(executable.collect().outputs["logits"])
    executable.close()
    return np.concatenate(parts)


@pytest.mark.parametrize("name", ["attend 8/2 64+64 f16", "attend 6/1 40+24 f16"])
def test_attention_over_several_splits(name: str, vector_level: str) -> None:
    """Past 512 and 1024 positions: tiles of eight rows, single rows, splits side by side, odd blocks: the same bits."""
    case, last = ATTEND[name], 1100
    whole = attention(case, LONG, [(Kind.PROMPT, 0, last)])
    halves = attention(case, replace(LONG, threads=1), [(Kind.PROMPT, 0, 515), (Kind.PROMPT, 515, last)])
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(halves, whole)
    single = [(Kind.PROMPT, 0, last - 9), *((Kind.PROMPT, p, p + 1) for p in range(last - 9, last))]
    np.testing.assert_array_equal(attention(case, replace(LONG, threads=4), single), whole)
    odd = replace(LONG, block_size=24, blocks=100)
    np.testing.assert_array_equal(attention(case, odd, [(Kind.PROMPT, 0, last)]), whole)
    programs, tensors = case.programs()
    wanted = prompt_logits(
        ReferenceBackend().compile(programs, tensors, LONG), LONG, [(29 * i) % 64 for i in range(last)], last
    )
    assert nmse(whole, wanted) < 1e-6


@pytest.mark.parametrize("in_keys", [False, True])
def test_q8_0_over_several_splits(in_keys: bool, level: str) -> None:
    """As above for quantised keys and values, direct and brought into scratch by odd blocks: the same bits."""
    case = attend_case("mask", 10, 1, 64, 32, KVType.Q8_0, AttentionMask.WINDOW, 700, 0.0, True, in_keys)
    plan, last = replace(LONG, kv_type=KVType.Q8_0), 1100
    whole = attention(case, plan, [(Kind.PROMPT, 0, last)])
    assert np.isfinite(whole).all()
    pieces = [(Kind.PROMPT, start, stop) for start, stop in pairwise([0, 515, 1019, 1025, *range(1090, last + 1)])]
    np.testing.assert_array_equal(attention(case, replace(plan, threads=4), pieces), whole)
    np.testing.assert_array_equal(attention(case, replace(plan, block_size=24, blocks=100), pieces[:3]), whole[:1025])
    programs, tensors = case.programs()
    reference = ReferenceBackend().compile(programs, tensors, plan)
    assert nmse(whole, prompt_logits(reference, plan, [(29 * i) % 64 for i in range(last)], last)) < 1e-6


MASKS = {
    "all of a window in one split": (AttentionMask.WINDOW, 300, 0.0, False),
    "a window over splits": (AttentionMask.WINDOW, 700, 5.0, True),
    "narrow": (AttentionMask.WINDOW, 3, 0.0, True),
    "chunks": (AttentionMask.CHUNK, 200, 0.0, False),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("in_keys", [False, True])
def test_masks_over_several_splits(name: str, in_keys: bool, vector_level: str) -> None:
    """Tiles whose rows see different splits, whole splits that nobody sees, sinks: the same bits however it is fed."""
    mask, window, softcap, sinks = MASKS[name]
    last, shape = 1100, (19, 1, 40, 33) if in_keys else (6, 1, 40, 24)
    case = attend_case("mask", *shape, KVType.F16, mask, window, softcap, sinks, in_keys)
    whole = attention(case, LONG, [(Kind.PROMPT, 0, last)])
    assert np.isfinite(whole).all()
    cuts = [0, 515, 1019, 1025, *range(1090, last + 1)]
    pieces = [(Kind.PROMPT, start, stop) for start, stop in pairwise(cuts)]
    np.testing.assert_array_equal(attention(case, replace(LONG, threads=4), pieces), whole)
    np.testing.assert_array_equal(attention(case, replace(LONG, block_size=24, blocks=100), pieces[:3]), whole[:1025])
    programs, tensors = case.programs()
    reference = ReferenceBackend().compile(programs, tensors, LONG)
    assert nmse(whole, prompt_logits(reference, LONG, [(29 * i) % 64 for i in range(last)], last)) < 1e-6


def test_levels_agree_with_each_other(model: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not bit for bit (float sums of norms and attention differ), but far closer than quantisation would allow."""
    prompt = [(11 * i) % 500 for i in range(20)]
    found = []
    for name in LEVELS:
        use_level(name, monkeypatch)
        executable = with_threads(model, 2).compile()
        found.append(prompt_logits(executable, model.plan, prompt, 64))
        executable.close()
    for logits in found[1:]:
        assert nmse(logits, found[0]) < 1e-3
