"""`run`: model and prompt from words, standard input, one answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ostinato.cli.errors import CliError
from ostinato.cli.options import BUILTIN
from ostinato.cli.run import join_prompt, split_words
from tests.cli.support import call, ostinato, start

ARGUMENTS = ("--backend", "reference", "--temperature", "0", "--max-tokens", "12")


def test_split_words(tmp_path: Path) -> None:
    existing = tmp_path / "model"
    existing.write_bytes(b"")
    assert split_words([]) == (BUILTIN, None)
    assert split_words(["hello"]) == (BUILTIN, "hello")
    assert split_words(["missing.gguf"]) == (Path("missing.gguf"), None)
    assert split_words([str(existing), "hello"]) == (existing, "hello")
    assert split_words(["x" * 100_000]) == (BUILTIN, "x" * 100_000)
    assert split_words(["a\0b"]) == (BUILTIN, "a\0b")


def test_a_folder_is_no_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stories").mkdir()
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    assert split_words(["stories"]) == (BUILTIN, "stories")
    monkeypatch.chdir("checkpoint")
    assert split_words([""]) == (BUILTIN, "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CliError, match=r"stories: a folder, not a model file$"):
        split_words([str(tmp_path / "stories")])
    with pytest.raises(CliError, match="checkpoint: a folder, not a model file; `ostinato convert` makes one"):
        split_words(["checkpoint", "hello"])


def test_join_prompt() -> None:
    assert join_prompt(None, "text\n") == "text"
    assert join_prompt("Summarise:", "text\n") == "Summarise:\n\ntext"
    assert join_prompt("hello", "") == "hello"
    assert join_prompt(None, "\n") is None


def test_one_answer_is_repeatable_and_ends_its_line() -> None:
    answers = {call("run", "Tell me a story.", *ARGUMENTS).stdout for _ in range(2)}
    (answer,) = answers
    assert answer.endswith("\n")
    assert len(answer.split()) > 4


def test_kinds_of_keys_and_values() -> None:
    done = call("run", "Tell me a story.", "--backend", "cpu", "--max-tokens", "4", "--kv-type", "q8_0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_piped_input_is_the_prompt() -> None:
    piped = call("run", *ARGUMENTS, stdin=b"Tell me a story.\n")
    assert piped.stdout == call("run", "Tell me a story.", *ARGUMENTS).stdout


def test_raw_continues_the_text() -> None:
    raw = call("run", "--raw", "Once upon a time", *ARGUMENTS).stdout
    assert raw != call("run", "Once upon a time", *ARGUMENTS).stdout
    assert raw.startswith(", there was a")


def test_json_and_seed() -> None:
    words = ("run", str(BUILTIN), "Tell me a story.", "--backend", "reference", "--max-tokens", "12", "--json")
    first, other = (json.loads(call(*words, "--seed", seed).stdout) for seed in ("7", "8"))
    again = json.loads(call(*words, "--seed", "7").stdout)
    assert first["text"] == again["text"] != other["text"]
    assert first["seed"] == 7
    assert first["backend"] == "reference"
    assert first["completion_tokens"] == 12
    assert first["prompt_tokens"] > 5
    assert first["finish"] == "length"
    assert first["load_seconds"] > 0
    assert first["completion_tokens_per_second"] == pytest.approx(11 / first["completion_seconds"])


def test_verbose_goes_to_standard_error() -> None:
    done = call("run", "Tell me a story.", *ARGUMENTS, "--verbose")
    assert done.stdout.count("\n") == 1
    names = [line.split(":")[0] for line in done.stderr.split("\n") if line]
    assert names == [
        "total duration", "load duration", "prompt eval count", "prompt eval duration", "prompt eval rate",
        "eval count", "eval duration", "eval rate",
    ]  # fmt: skip
    assert "eval count:           12 token(s)" in done.stderr


def test_a_full_context_is_said() -> None:
    words = ("--backend", "null", "--context", "16", "--seed", "1")  # no end of its own is drawn
    done = call("run", "--raw", "Once upon a time", *words)
    assert done.returncode == 0
    assert done.stderr == "ostinato: the answer is cut: the context of 16 tokens is full\n"


def test_system_message() -> None:
    found = [
        json.loads(call("run", "hello", "--backend", "null", "--max-tokens", "1", "--json", *words).stdout)
        for words in ((), ("--system", "You are a small model."))
    ]
    assert found[1]["prompt_tokens"] > found[0]["prompt_tokens"] + 5


def test_piped_answers_have_no_escapes() -> None:
    done = ostinato("run", "Hi", "--backend", "null", "--max-tokens", "40", env={"TERM": "xterm-256color"})
    assert "\x1b" not in done.stdout + done.stderr


def test_a_pipe_that_nobody_fills_is_said() -> None:
    with start(["run", "hi", "--backend", "null"], stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert "reading standard input" in process.stderr.readline()
        process.kill()


def test_stop() -> None:
    whole = call("run", "--raw", "Once upon a time", *ARGUMENTS).stdout
    assert call("run", "--raw", "Once upon a time", *ARGUMENTS, "--stop", " was").stdout == ", there\n"
    assert " was" in whole
