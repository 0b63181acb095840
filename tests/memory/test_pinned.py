"""Experts that a profile calls hot: read first, and never gone, whoever else is wanted."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from ostinato.engine.loading import Options, PlanError, open_model
from ostinato.engine.local import local_engine
from ostinato.engine.process import decode_options, encode_options
from ostinato.memory.parcels import expert_parcels
from ostinato.memory.profile import Profile, ProfileError, hottest, load_profile
from ostinato.memory.residency import WeightStore
from tests.memory.streamed import OPTIONS, opened_with
from tests.memory.test_statistics import answered
from tests.support import BUILTIN
from tools.tiny_models import write_tiny_model

RESIDENT = 3
HOT = (7, 2, 5)  # of every layer, the hottest first


@pytest.fixture
def profile(tmp_path: Path) -> str:
    """One that wants only those three experts, of all layers."""
    path = tmp_path / "hot.json"
    counts = tuple(100 * (3 - HOT.index(expert)) if expert in HOT else 0 for expert in range(8))
    Profile((0, 1, 2, 3), (counts,) * 4).save(path)
    return str(path)


def wait_for(store: WeightStore, parcels: list[int]) -> None:
    """Until they have been read, with nobody asking for them."""
    ends = time.monotonic() + 20
    while not all(store.native.states()[parcel] == RESIDENT for parcel in parcels):
        assert time.monotonic() < ends, "nobody reads them"
        time.sleep(0.01)


@pytest.mark.parametrize("per_layer", [False, True])
def test_hot_experts_are_there_before_and_after(profile: str, per_layer: bool) -> None:
    with opened_with(0) as opened:
        executable = opened.compile()
        resident = answered(*local_engine(opened, executable, 4))
        executable.close()
    with opened_with(0.5, per_layer=per_layer, profile=profile) as opened:
        executable = opened.compile()
        store = executable.store
        assert store is not None
        kept = list(store.kept_of(store.plan))
        assert kept == hottest(
            load_profile(Path(profile), store.parcels.stacks), store.parcels.stacks, store.plan.cache,
            [cache.quota // 2 for cache in store.plan.caches],
        )  # fmt: skip
        assert {parcel % 8 for parcel in kept} <= set(HOT)
        assert len(kept) >= 4
        wait_for(store, kept)
        assert store.native.counters().sum(axis=0)[:2].tolist() == [0, 0], "before anybody wanted them"
        engine, port = local_engine(opened, executable, 4)
        assert answered(engine, port) == resident
        assert all(store.native.states()[parcel] == RESIDENT for parcel in kept)
        store.native.check_integrity()
        executable.close()


@pytest.mark.parametrize("part", [0.5, 2.0])
def test_a_profile_of_another_model_is_refused_when_it_is_compiled(tmp_path: Path, part: float) -> None:
    """Also where everything fits, so that nothing need be kept."""
    path = tmp_path / "other.json"
    Profile((0, 1), ((1,) * 8,) * 2).save(path)
    with opened_with(part, profile=str(path)) as opened, pytest.raises(ProfileError, match="another model"):
        opened.compile()


def test_a_profile_is_not_for_layers(profile: str, tmp_path: Path) -> None:
    path = tmp_path / "dense.gguf"
    write_tiny_model(path)
    opened = open_model(path, Options(backend="cpu", context=64, memory="50TiB", expert_profile=profile))
    with opened.file, pytest.raises(ProfileError, match="another model"):
        opened.compile()


def test_a_profile_without_a_budget_is_a_mistake_and_options_travel(profile: str) -> None:
    options = replace(OPTIONS, expert_profile=profile, elastic=False)
    assert decode_options(encode_options(options)) == options
    with pytest.raises(PlanError, match="budget"):
        open_model(BUILTIN, options)
    opened = open_model(BUILTIN, Options(backend="cpu"))
    with opened.file:
        assert len(load_profile(Path(profile), expert_parcels(opened.programs, opened.file).stacks).counts) == 4
