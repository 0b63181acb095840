"""What the probe says: of a driver that is not there, cards of all ages, and software that is lacking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ostinato.backends.cuda import CudaBackend, compiler, probe
from ostinato.backends.cuda.nvrtc import Nvrtc
from ostinato.backends.cuda.probe import Found, NoCardError, find_card
from tests.backends.cuda.test_compiler import NEW, OLD, FakeNvrtc

H100 = Found("NVIDIA H100", 13020, 80 << 30, 9, 0, 132, False, True)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An H100 with everything installed."""
    monkeypatch.setattr(probe, "find_card", lambda: H100)
    monkeypatch.setattr(compiler, "libraries", lambda: (NEW, OLD))
    monkeypatch.setattr(probe, "find_spec", lambda _: object())
    return monkeypatch


def test_no_driver() -> None:
    with pytest.raises(NoCardError, match=r"no NVIDIA driver here \(libnothing.so cannot be loaded\)"):
        find_card("libnothing.so")


def test_what_the_driver_says_of_a_card(stand_in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = str(stand_in_folder / "libcuda.so.1")
    monkeypatch.setenv("OSTINATO_CAPABILITY", "61")
    assert find_card(library) == Found("Stand-in", 13020, 1 << 30, 6, 1, 2, False, True)
    monkeypatch.setenv("OSTINATO_CARDS", "0")
    with pytest.raises(NoCardError, match="the driver sees no card"):
        find_card(library)
    monkeypatch.setenv("OSTINATO_INIT", "2")
    with pytest.raises(NoCardError, match="cuInit says CUDA_ERROR_OUT_OF_MEMORY"):
        find_card(library)


def test_a_card_that_can_be_used(card: pytest.MonkeyPatch) -> None:
    found = CudaBackend().probe()
    assert (found.name, found.available, found.unfit) == ("cuda", True, "")
    assert found.device == "NVIDIA H100, sm_90, 86 GB"
    assert found.memory_bytes == 80 << 30
    assert found.detail["driver"] == "CUDA 13.2"
    assert found.detail["compiler"] == "NVRTC 13.2 for sm_90"


def test_an_old_card_is_told_what_it_lacks(card: pytest.MonkeyPatch) -> None:
    card.setattr(probe, "find_card", lambda: replace(H100, major=5, minor=2, cooperative=False, time_limit=True))
    found = CudaBackend().probe()
    assert found.available
    assert found.detail["compiler"] == "NVRTC 12.9 for sm_52"
    assert found.detail["time limit of a kernel"] == "yes"
    assert found.detail["persistent decode"].startswith("no")


@pytest.mark.parametrize(("libraries", "says"), [((OLD,), ""), ((), "no NVRTC"), ((FakeNvrtc((13, 0)),), "no NVRTC")])
def test_compilers(card: pytest.MonkeyPatch, libraries: tuple[Nvrtc, ...], says: str) -> None:
    card.setattr(compiler, "libraries", lambda: libraries)
    found = CudaBackend().probe()
    assert found.available == (not says)
    assert says in found.device
    assert found.detail["card"] == "NVIDIA H100", "what is there is told in any case"


def test_packages_that_are_not_installed(card: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> object:
        if name.startswith("cuda"):
            raise ModuleNotFoundError("No module named 'cuda'")
        return object()

    card.setattr(probe, "find_spec", lacking)
    found = CudaBackend().probe()
    assert not found.available
    assert "cuda.core and cuda.bindings cannot be imported; pip install ostinato[cuda]" in found.device
