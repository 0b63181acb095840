"""Misses that are computed from copies of experts: just these experts are replaced, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ostinato import _memory
from ostinato.api import Model
from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Executable
from ostinato.backends.sampling import Sampling
from ostinato.cli.main import main
from ostinato.engine.loading import Opened, open_model
from ostinato.gguf.reader import GGUFFile, open_gguf
from ostinato.gguf.types_table import TensorType
from ostinato.gguf.writer import GGUFWriter
from ostinato.memory import coarse
from ostinato.memory import store as memory_store
from ostinato.memory.coarse import with_copies
from ostinato.memory.cost import FASTEST, Sample
from ostinato.memory.options import Prefetch, ReadMode, Settings, StoreOptions
from ostinato.memory.parcels import streaming_parcels
from ostinato.memory.statistics import statistics
from ostinato.model.weights import StoredTensor
from tests.memory.streamed import OPTIONS, SlotsOnly
from tests.memory.worlds import ScriptedSource, ints
from tests.support import BUILTIN

TOKENS = np.random.default_rng(3).integers(0, 500, 24).tolist()
RESIDENT = 3  # of _memory.Store.states()
ALWAYS = (1e-3, 1e9, 0.0, 2.0)  # latency, rate, least saving, most share: every miss
NEVER = (1e-3, 1e9, 1e6, 2.0)  # nothing saves so many seconds


@dataclass(frozen=True)
class Bytes:
    """A tensor of bytes that lie in no file."""

    name: str
    type: TensorType
    shape: tuple[int, ...]
    data: np.ndarray


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model in Q4_0."""
    path = tmp_path_factory.mktemp("coarse") / "q4_0.gguf"
    assert main(["quantize", str(BUILTIN), str(path), "Q4_0"]) == 0
    return path


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model, in whose file every expert has the next one's place: of one type with the model's own, so
    that some experts of a layer may be replaced in a resident model too."""
    path = tmp_path_factory.mktemp("coarse") / "shifted.gguf"
    with open_gguf(BUILTIN) as file:
        write_changed(file, path, {t.name: moved(t).data for t in file.tensors.values() if "_exps" in t.name})
    return path


def write_changed(file: GGUFFile, path: Path, changed: Mapping[str, np.ndarray], lacking: str = "") -> None:
    """The file with other bytes in some tensors, and without one of them."""
    tensors = [tensor for tensor in file.tensors.values() if tensor.name != lacking]
    with GGUFWriter(path) as writer:
        for key, value in file.metadata.items():
            writer.add(key, value, file.value_type(key))
        for tensor in tensors:
            writer.add_tensor(tensor.name, tensor.shape, tensor.type)
        for tensor in tensors:
            writer.write(tensor.name, changed.get(tensor.name, tensor.data).tobytes())


def moved(tensor: StoredTensor) -> Bytes:
    experts = tensor.data.reshape(tensor.shape[0], -1)
    return Bytes(tensor.name, tensor.type, tensor.shape, np.roll(experts, -1, axis=0).reshape(-1))


@contextmanager
def streamed(
    copy: Path, monkeypatch: pytest.MonkeyPatch, rule: tuple[float, float, float, float], part: float = 0.5
) -> Iterator[Opened]:
    """The built-in model with slots for a part of its experts, copies of them, and that rule."""
    monkeypatch.setattr(coarse, "miss_rule", lambda *_: _memory.MissRule(*rule))
    opened = open_model(BUILTIN, OPTIONS)
    with opened.file, open_gguf(copy) as other:
        parcels = with_copies(streaming_parcels(opened.programs, opened.file), opened.file, other)
        how = Settings(StoreOptions(mode=ReadMode.CACHED), Prefetch.NONE, coarse=str(copy))
        copies = tuple((own.path, own.file.identity) for own in other.parts)
        budget = parcels.resident_bytes + int(part * parcels.nbytes)
        residency = SlotsOnly(parcels, budget, 0, opened.file, how, copies)
        yield replace(opened, plan=replace(opened.plan, residency=residency))


def generated(executable: Executable, tokens: list[int] = TOKENS, chunk: int = len(TOKENS)) -> np.ndarray:
    """Logits of the tokens as generated rows, so many a step. [tokens, vocab]"""
    parts = []
    enters, tables = [Enter(0, 1, Sampling(temperature=0))], [TableEdit(0, 0, 0, range(4))]
    for at in range(0, len(tokens), chunk):
        rows = tokens[at : at + chunk]
        span = Span(0, Kind.GENERATED, at, rows, logit_rows=len(rows))
        executable.submit(Batch([span], enters, tables, want_logits=True))
        result = executable.collect()
        assert not result.faults
        parts.append(result.outputs["logits"].copy())
        enters, tables = [], []
    return np.concatenate(parts)


def resident(copy: Path, replaced: range, chunk: int = len(TOKENS)) -> np.ndarray:
    """What a model computes that has the copy's bytes of these experts and its own of the others."""
    opened = open_model(BUILTIN, OPTIONS)
    with opened.file, open_gguf(copy) as other:
        tensors: dict[str, StoredTensor] = dict(opened.file.tensors)
        for name in [name for name in tensors if "_exps" in name]:
            tensors[name] = mixed(tensors[name], other.tensors[name], replaced)
        executable = opened.backend.compile(opened.programs, tensors, opened.plan)
        try:
            return generated(executable, chunk=chunk)
        finally:
            executable.close()


def mixed(own: StoredTensor, copy: StoredTensor, replaced: range) -> StoredTensor:
    if len(replaced) in (0, own.shape[0]):
        return copy if replaced else own
    data = own.data.reshape(own.shape[0], -1).copy()
    data[replaced] = copy.data.reshape(own.shape[0], -1)[replaced]
    return Bytes(own.name, own.type, own.shape, data.reshape(-1))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


def coarse_count(executable: Executable) -> int:
    assert executable.store is not None
    executable.store.native.check_integrity()
    return statistics(executable.store.native).counts["coarse"]


@pytest.mark.parametrize("chunk", [1, len(TOKENS)])
def test_misses_from_copies_give_what_a_model_of_these_experts_gives(
    monkeypatch: pytest.MonkeyPatch, smaller: Path, chunk: int
) -> None:
    with streamed(smaller, monkeypatch, ALWAYS) as opened:
        executable = opened.compile()
        found = generated(executable, chunk=chunk)
        assert coarse_count(executable) == statistics(executable.store.native).wanted > 0  # type: ignore[union-attr]
        executable.close()
    assert same(found, resident(smaller, range(8), chunk))
    assert not same(found, resident(smaller, range(0), chunk))


def test_only_what_is_missing_comes_from_copies(monkeypatch: pytest.MonkeyPatch, shifted: Path) -> None:
    """Every second expert of each layer is held in memory."""
    with streamed(shifted, monkeypatch, ALWAYS, 0.8) as opened:
        executable = opened.compile()
        store = executable.store
        assert store is not None
        held = _memory.Request(store.native)
        for stack in store.parcels.stacks:
            held.want(ints(range(stack.first, stack.first + stack.count, 2)))
        while held.take():
            pass
        found = generated(executable)
        assert 0 < coarse_count(executable) < statistics(store.native).wanted - store.parcels.copies // 2
        held.clear()
        executable.close()
    assert same(found, resident(shifted, range(1, 8, 2)))


@pytest.mark.parametrize("rule", [NEVER, (*ALWAYS[:3], 0.0)])
def test_a_miss_that_is_not_worth_it_waits(
    monkeypatch: pytest.MonkeyPatch, smaller: Path, rule: tuple[float, float, float, float]
) -> None:
    with streamed(smaller, monkeypatch, rule) as opened:
        executable = opened.compile()
        found = generated(executable)
        assert coarse_count(executable) == 0
        executable.close()
    assert same(found, resident(smaller, range(0)))


def test_an_expert_that_weighs_much_is_waited_for(monkeypatch: pytest.MonkeyPatch, smaller: Path) -> None:
    """Two experts a token: of each row one has half of the weight or more, and one half or less."""
    with streamed(smaller, monkeypatch, (*ALWAYS[:3], 0.5), 0.2) as opened:
        executable = opened.compile()
        found = generated(executable, chunk=1)
        assert 0 < coarse_count(executable) <= statistics(executable.store.native).wanted // 2  # type: ignore[union-attr]
        executable.close()
    assert not same(found, resident(smaller, range(0), 1))
    assert not same(found, resident(smaller, range(8), 1))


def test_prompts_have_the_model_s_own_experts(monkeypatch: pytest.MonkeyPatch, smaller: Path) -> None:
    opened = open_model(BUILTIN, OPTIONS)
    with Model(opened) as model:
        expected = model.logits(TOKENS)
    with streamed(smaller, monkeypatch, ALWAYS) as opened, Model(opened) as model:
        assert same(model.logits(TOKENS), expected)
        assert coarse_count(model._executable) == 0
        assert len(model.generate(TOKENS, max_tokens=8, ignore_eos=True)) > 0
        assert coarse_count(model._executable) > 0


def broken(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    """Nothing of these files can be read."""
    read = memory_store._source

    def source(path: Path, mode: ReadMode) -> _memory.Source:
        if path not in paths:
            return read(path, mode)
        made = ScriptedSource(np.fromfile(path, np.uint8))
        made.broken = set(range(0, len(made.bytes), 64))
        return made

    monkeypatch.setattr(memory_store, "_source", source)


def test_a_copy_that_cannot_be_read_gives_way_to_the_expert(monkeypatch: pytest.MonkeyPatch, smaller: Path) -> None:
    broken(monkeypatch, smaller)
    with streamed(smaller, monkeypatch, ALWAYS) as opened:
        executable = opened.compile()
        found = generated(executable)
        assert executable.store is not None
        counts = statistics(executable.store.native).counts
        assert counts["failures"] == coarse_count(executable) > 0
        executable.close()
    assert same(found, resident(smaller, range(0)))


def test_what_cannot_be_read_at_all_fails_its_request(monkeypatch: pytest.MonkeyPatch, smaller: Path) -> None:
    with streamed(smaller, monkeypatch, ALWAYS) as opened:
        broken(monkeypatch, smaller, BUILTIN)
        with Model(opened) as model:
            with pytest.raises(RuntimeError, match="weights could not be read: planted fault"):
                model.generate(TOKENS, max_tokens=8)
            model._engine.check_integrity()


def test_reads_are_timed_and_stay_in_their_slots(monkeypatch: pytest.MonkeyPatch, smaller: Path) -> None:
    fitted = coarse.miss_rule
    with streamed(smaller, monkeypatch, ALWAYS) as opened:
        monkeypatch.setattr(coarse, "miss_rule", fitted)
        executable = opened.compile()
        store = executable.store
        assert store is not None
        assert store.miss_rule is not None
        assert store.miss_rule.latency >= 0
        assert store.miss_rule.rate > 0
        assert (store.native.states() == RESIDENT).sum() > 8
        assert coarse_count(executable) == 0
        executable.close()


def test_what_reads_take_is_seen(monkeypatch: pytest.MonkeyPatch, smaller: Path) -> None:
    with streamed(smaller, monkeypatch, ALWAYS) as opened, Model(opened) as model:
        model.generate(TOKENS, max_tokens=4, ignore_eos=True)
        counters = model._engine.counters()
        assert (counters["store_read_latency_ns"], counters["store_read_rate"]) == (1_000_000, 1_000_000_000)
        assert counters["store_coarse"] > 0


def test_reads_that_take_no_longer_for_more_bytes_are_counted_too(
    monkeypatch: pytest.MonkeyPatch, smaller: Path
) -> None:
    """Small experts of a fast disk, whose readers work side by side."""
    fitted = coarse.miss_rule
    samples = [Sample(30_000 * count, 2e-4 / count) for count in coarse.TIMED]
    with streamed(smaller, monkeypatch, ALWAYS) as opened:
        monkeypatch.setattr(coarse, "miss_rule", fitted)
        monkeypatch.setattr(coarse, "timed_reads", lambda *_: samples)
        with Model(opened) as model:
            model.generate(TOKENS, max_tokens=2, ignore_eos=True)
            assert np.array(model._engine.counters()["store_read_rate"], np.int64) == FASTEST
