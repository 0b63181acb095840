"""Which builds of llama.cpp take part, and how the best of them is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.candidates import Candidate, Peers, best, scout
from bench.worker import Record, WorkerError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("native", "avx2", "avx512", "amx"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_only_builds_that_can_run_here(folder: Path) -> None:
    peers = Peers.find(folder, "python", ["avx2", "avx512_vnni"])
    assert peers.builds == ["native", "avx2", "avx512"]
    assert peers.strongest == ["native", "avx512"]


def test_the_same_instructions(folder: Path) -> None:
    peers = Peers.find(folder, "python", ["avx2", "avx512_vnni", "amx_int8"])
    assert peers.same_instructions("avx512", has_amx=True) == ["avx512"]  # native would have AMX
    assert peers.same_instructions("avx512", has_amx=False) == ["avx512", "native"]
    assert peers.same_instructions("amx", has_amx=True) == ["amx", "native"]
    assert peers.same_instructions("avx2", has_amx=False) == ["avx2"]


def test_without_builds_it_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"bench\.build_peers"):
        Peers.find(tmp_path, "python", ["avx2"])


def test_the_best_is_found_and_failures_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    looked = []

    def look(candidate: Candidate) -> Record:
        looked.append(candidate)
        if candidate.flash == "off":
            raise WorkerError("no such thing")
        return {"prefill": 2.0 + (candidate.build == "avx512") - candidate.repack, "decode": 1.0 + candidate.repack}

    settings = [Candidate("native", repack, flash) for repack in (True, False) for flash in ("on", "off")]
    found = scout(["native", "avx512"], look, settings)
    assert best(found, "prefill", ["native", "avx512"]) == Candidate("avx512", repack=False)
    assert best(found, "prefill", ["native"]) == Candidate("native", repack=False)
    assert best(found, "decode", ["avx2"]) is None
    assert len(looked) == len(set(looked)) == 6  # on the other build only what was best on the first
    assert "left out: no such thing" in capsys.readouterr().out


def test_every_build_is_looked_at_with_what_was_best_on_the_first() -> None:
    """Also where another build, looked at in between, is better at everything with one of the settings."""
    looked = []

    def look(candidate: Candidate) -> Record:
        looked.append(candidate)
        on = candidate.flash == "on"
        return {"prefill": 1.0 + on + 4.0 * (candidate.build == "avx2" and not on), "decode": 2.0 - on}

    scout(["native", "avx2", "avx512"], look, [Candidate("native", flash=flash) for flash in ("on", "off")])
    assert {c.flash for c in looked if c.build == "avx512"} == {"on", "off"}


def test_nothing_runs() -> None:
    def look(candidate: Candidate) -> Record:
        raise WorkerError("no")

    with pytest.raises(WorkerError, match="none of its settings"):
        scout(["native", "avx2"], look, [Candidate("native")])
