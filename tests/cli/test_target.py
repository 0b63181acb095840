"""Where commands write: what stands in the way is said before any work is done, and nothing is replaced unasked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ostinato.cli.errors import CliError
from ostinato.cli.target import check_place, check_target
from tests.cli.support import call
from tests.support import BUILTIN

COMMANDS = (("profile", str(BUILTIN), str(BUILTIN.parent.parent / "text.py")), ("checksums", str(BUILTIN)))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_look_first(command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr("ostinato.gguf.reader.open_gguf", never)
    monkeypatch.setattr("ostinato.engine.loading.open_model", never)
    old = tmp_path / "old.json"
    old.write_text("precious")
    for path, said in (
        (tmp_path, "not a file in a folder that exists"),
        (tmp_path / "no" / "folder", "not a file in a folder that exists"),
        (old, "is there already; --force replaces it"),
        (Path(os.devnull), "is not a regular file"),
        (BUILTIN, "is the file to be read"),
    ):
        done = call(*command, "-o", str(path))
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
    assert "is the file to be read" in call(*command, "-o", str(BUILTIN), "--force").stderr
    assert old.read_text() == "precious"


def test_what_is_there_goes_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "sums.json"
    path.write_text("old")
    assert call("checksums", str(BUILTIN), "-o", str(path), "--force").returncode == 0
    assert path.read_text().startswith('{"format": "ostinato-checksums"')
    assert os.listdir(tmp_path) == ["sums.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CliError, match="cannot be written there"):
        check_place(tmp_path / "new")


def test_another_name_of_a_source_is_the_source(tmp_path: Path) -> None:
    source, link = tmp_path / "a", tmp_path / "b"
    source.write_text("x")
    link.symlink_to(source)
    with pytest.raises(CliError, match="is the file to be read"):
        check_target(link, True, [source])
    check_target(tmp_path / "c", False, [source, Path("-")])
