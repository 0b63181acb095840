"""`run`: model and prompt from words, standard input, one answer, chat on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ostinato.cli.options import BUILTIN
from ostinato.cli.run import join_prompt, split_words
from tests.cli.support import COMMAND, call, start

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


def test_a_pipe_that_nobody_fills_is_said() -> None:
    with start(["run", "hi", "--backend", "null"], stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert "reading standard input" in process.stderr.readline()
        process.kill()


def test_stop() -> None:
    whole = call("run", "--raw", "Once upon a time", *ARGUMENTS).stdout
    assert call("run", "--raw", "Once upon a time", *ARGUMENTS, "--stop", " was").stdout == ", there\n"
    assert " was" in whole


class Terminal:
    """A chat on a pseudo-terminal."""

    def __init__(self, *words: str) -> None:
        self._master, slave = pty.openpty()
        self._child = subprocess.Popen(
            [*COMMAND, "run", *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "dumb", "INPUTRC": "/dev/null"}, preexec_fn=_own_terminal,
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def expect(self, text: str, seconds: float = 30.0) -> str:
        """Reads until `text` comes; returns what came before it, and takes both out of `seen`."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.seen!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                self.seen += os.read(self._master, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        try:
            return self._child.wait(timeout=20)
        finally:
            self._child.kill()
            os.close(self._master)


def _own_terminal() -> None:
    """Makes the terminal the child's own, so that Ctrl-C typed there reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def chat() -> Terminal:
    terminal = Terminal("--backend", "reference", "--temperature", "0")
    terminal.expect("Ctrl-D leaves")
    terminal.expect(">>> ")
    return terminal


def test_chat_keeps_the_conversation(chat: Terminal) -> None:
    chat.type("Hi\n")
    chat.expect("Hi\r\n")
    assert len(chat.expect("\r\n>>> ").strip()) > 3
    chat.type("/clear\n")
    chat.expect(">>> ")
    chat.type("\x04")
    assert chat.end() == 0


def test_control_c_stops_the_answer_not_the_chat(chat: Terminal) -> None:
    chat.type("Tell me a story.\n")
    chat.expect("Tell me a story.\r\n")
    chat.expect(" ")  # the answer has begun
    chat.type("\x03")
    chat.expect("(stopped)")
    chat.expect(">>> ")
    chat.type("half a line")
    chat.expect("half a line")
    time.sleep(0.3)  # CPython's readline misses a signal that falls between its echo and its wait for input
    chat.type("\x03")
    chat.expect(">>> ")
    chat.type("\x04")
    assert chat.end() == 0
