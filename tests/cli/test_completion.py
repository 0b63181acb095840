"""Completion: what each shell answers when it is asked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ostinato.cli.completion import SHELLS, commands
from ostinato.cli.main import COMMANDS
from tests.cli.support import call


def shell(name: str, script: str, folder: Path) -> list[str]:
    """The lines that a shell prints. `script` finds the completions in `$file`."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    file = folder / f"_ostinato.{name}"
    file.write_text(call("completion", name).stdout)
    done = subprocess.run([name, "-c", script.replace("$file", str(file))], capture_output=True, text=True, cwd=folder,
                          timeout=60, check=True)  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def bash(folder: Path, *words: str) -> list[str]:
    line = " ".join(f"'{word}'" for word in ("ostinato", *words))
    script = f'. $file; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _ostinato; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return shell("bash", script, folder)


def fish(folder: Path, line: str) -> list[str]:
    return [word for word in shell("fish", f"source $file; complete -C 'ostinato {line}' | cut -f 1", folder) if word]


def test_every_command_and_option_is_known() -> None:
    found = {command.name: command for command in commands()}
    assert list(found) == list(COMMANDS)
    assert "--temperature" in [name for option in found["run"].options for name in option.names]
    assert found["completion"].words == tuple(SHELLS)


def test_bash(tmp_path: Path) -> None:
    (tmp_path / "a model.gguf").write_text("")
    assert {"serve", "show"} == set(bash(tmp_path, "s"))
    assert bash(tmp_path, "run", "--temp") == ["--temperature"]
    assert bash(tmp_path, "--debug", "completion", "z") == ["zsh"]
    assert bash(tmp_path, "show", "a m") == ["a", "model.gguf"]


def test_fish(tmp_path: Path) -> None:
    assert {"serve", "show"} <= set(fish(tmp_path, "s"))
    assert fish(tmp_path, "run --temp") == ["--temperature"]
    assert fish(tmp_path, "completion z") == ["zsh"]


def test_zsh(tmp_path: Path) -> None:
    """Sourced, and its words handed to a stand-in for zsh's own `_describe` and `_arguments`."""
    stand_ins = (
        "autoload -Uz compinit; compinit -u -d $PWD/dump; source $file;"
        ' _describe() { print -l -- "${(@)commands%%:*}"; }; _arguments() { print -l -- "${@%%\\[*}"; };'
    )
    assert shell("zsh", f"{stand_ins} words=(ostinato s); CURRENT=2; _ostinato", tmp_path) == list(COMMANDS)
    options = shell("zsh", f"{stand_ins} words=(ostinato run --t); CURRENT=3; _ostinato", tmp_path)
    assert {"*--temperature", "*--raw", "*:file:_files"} <= set(options)
