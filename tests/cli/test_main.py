"""Usage, errors, exit statuses, closed and broken streams."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from ostinato import __version__
from ostinato.cli.main import COMMANDS
from ostinato.cli.options import CONTEXT_HELP
from ostinato.engine.loading import DEFAULT_CONTEXT
from tests.cli.support import COMMAND, call, ostinato
from tests.support import BUILTIN


def test_help_names_every_command() -> None:
    done = call("--help")
    assert done.returncode == 0
    for command, text in COMMANDS.items():
        assert command in done.stdout
        assert text in done.stdout


def test_no_command_shows_an_overview() -> None:
    done = call()
    assert done.returncode == 0
    assert done.stdout.startswith(f"Ostinato {__version__}")
    assert "ostinato run model.gguf" in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 90


def test_every_command_has_its_module() -> None:
    """Every command has a module with the two functions that `main` calls."""
    for command in COMMANDS:
        module = importlib.import_module(f"ostinato.cli.{command}")
        assert callable(module.add_arguments)
        assert callable(module.run)


@pytest.mark.parametrize(("word", "meant"), [("rum", "run"), ("tokenise", "tokenize"), ("sevre", "serve")])
def test_a_mistyped_command_is_guessed(word: str, meant: str) -> None:
    done = call(word, "--json")
    assert done.returncode == 2
    assert done.stderr == f"ostinato: there is no command {word!r}; did you mean `ostinato {meant}`?\n"


def test_help_is_a_word_too() -> None:
    assert call("help").stdout == call("--help").stdout
    assert call("help", "run").stdout == call("run", "--help").stdout
    for words in (("help", "rnu"), ("rnu", "--help")):
        done = call(*words)
        assert done.returncode == 2
        assert "there is no command 'rnu'; did you mean `ostinato run`?" in done.stderr


def test_the_default_context_is_the_engines() -> None:
    """Help must not import the engine, so the number stands there as well."""
    assert f"at most {DEFAULT_CONTEXT}" in CONTEXT_HELP


def test_version() -> None:
    assert call("--version").stdout == f"ostinato {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str) -> None:
    done = call(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: ostinato {command}")


@pytest.mark.parametrize("words", [["--help"], ["ps"], ["run", "--help"], ["serve", "--help"]])
def test_nothing_heavy_is_imported_at_start(words: list[str]) -> None:
    """What makes --help and ps quick, without a clock."""
    script = (
        "import sys; from ostinato.cli.main import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(eval(done.stderr))
    assert not loaded & {"numpy", "starlette", "uvicorn", "msgspec", "asyncio", "rich", "http", "jinja2"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["frobnicate"], "there is no command 'frobnicate'"),
        (["tokenize"], "MODEL"),
        (["serve", "--port", "x"], "--port: 'x'"),
        (["serve", "--port", "70000"], "from 0 to 65535"),
        (["run", "hello", "--context", "2000000000"], "from 1 to 16777216"),
        (["bench", "-p", "0"], "expected a whole number from 1"),
        (["bench", "-b", "1,,4"], "expected a whole number from 1"),
        (["run", "a", "b"], "put it in quotes"),
        (["run", "model.gguf", "a", "b"], "put it in quotes"),
        (["run"], "no prompt"),
        (["run", "--top-k", "many"], "--top-k"),
        (["run", "hello", "--stop", ""], "the text is empty"),
        (["run", "hello", "--temperature", "-1"], "temperature is -1.0; expected 0.0 to 100.0"),
        (["run", "hello", "--seed", "1.5"], "expected a whole number"),
        (["run", "hello", "--max-tokens", "0"], "expected a whole number from 1"),
        (["completion", "tcsh"], "invalid choice"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(words: list[str], message: str) -> None:
    done = call(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "/does/not/exist.gguf"], "/does/not/exist.gguf"),
        (["show", "/"], "/"),
        (["show", __file__], "this is not a GGUF file"),
        (["run", "missing.gguf", "hello"], "missing.gguf"),
        (["run", "hello", "--backend", "abacus"], "there is no backend 'abacus'"),
        (["run", "word " * 2000, "--backend", "null"], "the prompt has"),
        (["tokenize", __file__, "a"], "not a GGUF file"),
        (["bench", "--backend", "null", "--context", "10"], "--context 641"),
        (["ps", "--port", "1"], "no server answers"),
        (["serve", "--backend", "null", "--host", "192.0.2.1", "--port", "0"], "cannot listen on 192.0.2.1"),
    ],
)
def test_errors_are_one_line_and_status_1(words: list[str], message: str) -> None:
    done = call(*words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("ostinato: ")
    assert message in done.stderr


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in ostinato("show", "missing.gguf", env={"OSTINATO_DEBUG": "1"}).stderr
    assert "Traceback" in ostinato("show", "missing.gguf", "--debug").stderr
    assert "Traceback" in ostinato("--debug", "show", "missing.gguf").stderr


def test_a_file_with_nearly_that_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "tiny-model.gguf").write_bytes(b"")
    done = call("show", str(tmp_path / "tiny-modle.gguf"))
    assert done.stderr.splitlines()[1] == f"(did you mean {tmp_path / 'tiny-model.gguf'}?)"


def test_what_nobody_foresaw_is_called_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.cli.ps.run", lambda options: 1 // 0)
    done = call("ps")
    assert done.returncode == 1
    assert done.stderr.startswith("ostinato: internal error: ZeroDivisionError")
    assert "Traceback" not in done.stderr


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """`$o` is the command, `$m` the built-in model."""
    line = line.replace("$o", " ".join(COMMAND)).replace("$m", str(BUILTIN))
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "line",
    [
        "$o show $m --tensors | head -n 1",
        "$o show $m >&-",
        "$o run hi --backend null --max-tokens 400 <&- | true",
    ],
)
def test_readers_that_leave_and_closed_streams_are_no_fuss(line: str) -> None:
    assert shell(line).stderr == ""


def test_a_full_disk_is_said() -> None:
    done = shell("$o show $m >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "ostinato: No space left on device\n"
