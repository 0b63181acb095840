"""Options that several commands share: what is typed twice, so that `--help` is quick, says the same twice."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from ostinato.backends.contract import KVType
from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.options import (
    KV_TYPES,
    MACHINE,
    POLICIES,
    PREFETCHES,
    READ_MODES,
    STREAMING,
    add_machine,
    machine,
    refuse_machine,
)
from ostinato.engine.loading import Options
from ostinato.memory.options import PolicyName, Prefetch, ReadMode


def test_choices_are_the_enums() -> None:
    assert tuple(kind.value for kind in KVType) == KV_TYPES
    assert tuple(name.value for name in PolicyName if name is not PolicyName.ORACLE) == POLICIES
    assert tuple(prefetch.value for prefetch in Prefetch) == PREFETCHES
    assert tuple(mode.value for mode in ReadMode) == READ_MODES


def test_defaults_are_the_engine_s() -> None:
    parser = argparse.ArgumentParser()
    add_machine(parser)
    assert machine(parser.parse_args([])) == Options()


@pytest.mark.parametrize(
    "words", [["--policy", "lru"], ["--prefetch", "none"], ["--fixed"], ["--per-layer"], ["--read-mode", "cached"],
              ["--replica", "x", "--replica", "y"], ["--expert-profile", "x"], ["--checksums", "x"], ["--coarse", "x"]],
)  # fmt: skip
def test_what_belongs_to_a_budget_is_refused_without_one(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    add_machine(parser)
    with pytest.raises(CliError, match=f"^{words[0]} belongs to --memory") as told:
        machine(parser.parse_args(words))
    assert told.value.status == USAGE
    assert machine(parser.parse_args([*words, "--memory", "50%"])) != Options(memory="50%")
    both = parser.parse_args([*words, "--memory", "50%", "--gpu-memory", "50%"])
    if words[0] == "--expert-profile":
        assert machine(both).expert_profile == "x"
    else:
        with pytest.raises(CliError, match="to --memory alone"):
            machine(both)


@pytest.mark.parametrize("option", ["--memory", "--gpu-memory"])
@pytest.mark.parametrize("text", ["", "banana", "8XB", "1e9GiB", "0", "0%", "nan"])
def test_an_amount_that_is_none_is_wrong_usage(option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_machine(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([option, text])
    assert ended.value.code == USAGE
    assert f"argument {option}: {text!r} is no" in capsys.readouterr().err


def test_a_share_needs_its_copy() -> None:
    parser = argparse.ArgumentParser()
    add_machine(parser)
    words = ["--coarse-share", "0.5"]
    with pytest.raises(CliError, match=r"^--coarse-share belongs to --memory: "):
        machine(parser.parse_args(words))
    with pytest.raises(CliError, match=r"^--coarse-share belongs to --coarse: "):
        machine(parser.parse_args([*words, "--memory", "50%"]))
    assert machine(parser.parse_args([*words, "--memory", "50%", "--coarse", "x"])).coarse_share == 0.5


def test_every_option_of_the_machine_can_be_refused() -> None:
    parser = argparse.ArgumentParser()
    add_machine(parser)
    assert {*MACHINE, *STREAMING} == set(vars(parser.parse_args([])))
    refuse_machine(parser.parse_args([]), "nothing runs")
    with pytest.raises(CliError, match=r"^--threads, --memory would change nothing: nothing runs$"):
        refuse_machine(parser.parse_args(["--memory", "1GiB", "--threads", "1"]), "nothing runs")


def test_describing_them_imports_no_other_folder() -> None:
    code = (
        "import argparse, sys; from ostinato.cli.options import add_machine;"
        "parser = argparse.ArgumentParser(); add_machine(parser); parser.format_help();"
        "print(*sorted(name for name in sys.modules if name.startswith('ostinato.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if not name.startswith("ostinato.cli")] == []
