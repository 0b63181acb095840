"""The chat on a terminal: turns, Ctrl-C, several lines, history, commands, and what is saved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

HINT = "Ctrl-D leaves."


class Chat(Terminal):
    """On the null backend answers come at once; `folder` holds what it keeps."""

    def __init__(self, folder: Path, *words: str, env: dict[str, str] | None = None) -> None:
        homes = {"XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data"), "NO_COLOR": "1"}
        super().__init__("run", *(words or ("--backend", "null", "--max-tokens", "3")), env={**homes, **(env or {})})
        self.expect(HINT)
        self.expect(">>> ")

    def leave(self) -> None:
        self.type("\x04")
        assert self.end() == 0


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    chat = Chat(tmp_path)
    yield chat
    chat.leave()


def history(folder: Path) -> list[str]:
    lines = (folder / "state" / "ostinato" / "history").read_text().splitlines()
    return [json.loads(line) for line in lines]


def saved(folder: Path, name: str) -> dict[str, object]:
    return dict(json.loads((folder / "data" / "ostinato" / "sessions" / f"{name}.json").read_text()))


def test_control_c_stops_the_answer_not_the_chat(tmp_path: Path) -> None:
    chat = Chat(tmp_path, "--backend", "reference", "--temperature", "0", "--raw")
    chat.type("Once upon a time\n")
    chat.expect("Once upon a time\r\n")
    chat.expect(" ")  # the answer has begun
    chat.type("\x03")
    chat.expect("(stopped)")
    chat.expect(">>> ")
    chat.type("half a line")
    chat.expect("half a line")
    time.sleep(0.3)  # CPython's readline misses a signal that falls between its echo and its wait for input
    chat.type("\x03")
    chat.expect(">>> ")
    chat.leave()


def test_conversation_texts_of_several_lines_and_commands(chat: Chat, tmp_path: Path) -> None:
    """One chat for many small things: a process of its own for each would take long."""
    assert chat.say("first")
    assert "/clear" in chat.say("/help")
    assert chat.say("/hlep") == "there is no command /hlep; /help, perhaps?"
    chat.type('"""two\nlines"""\n')
    chat.expect("... ")
    chat.expect(">>> ")
    chat.type("three \\\nfour\n")
    chat.expect("... ")
    chat.expect(">>> ")
    assert chat.say("/set temperature 0.25") == "temperature 0.25"
    assert chat.say("/set temperature 1e9") == "temperature is 1000000000.0; expected 0.0 to 100.0"
    assert chat.say("/set seed 7") == "seed 7"
    assert chat.say("/set system Be brief.") == 'system "Be brief."'
    assert chat.say("/save one").startswith("saved as ")
    kept = saved(tmp_path, "one")
    messages = kept["messages"]
    assert isinstance(messages, list)
    assert [m["content"] for m in messages if m["role"] == "user"] == ["first", "two\nlines", "three \nfour"]
    assert isinstance(kept["settings"], dict)
    assert kept["settings"] | {"temperature": 0.25, "seed": 7, "system": "Be brief."} == kept["settings"]
    assert "forgotten" in chat.say("/clear")
    assert chat.say("/set temperature default") == "temperature 0.7"
    assert chat.say("/load one").startswith("3 questions")
    assert chat.say("/set temperature") == "temperature 0.25"
    assert "no such file" in chat.say("/load two")
    assert "no name" in chat.say("/save ..")
    assert '"""two\nlines"""' in history(tmp_path)
    assert history(tmp_path)[-1] == "/save .."


def test_history_comes_back_in_the_next_chat(tmp_path: Path) -> None:
    chat = Chat(tmp_path)
    chat.say("a memorable question")
    chat.leave()
    chat = Chat(tmp_path, env={"TERM": "vt100"})
    chat.type("\x1b[A")
    chat.expect("a memorable question")
    chat.type("\n")
    chat.expect(">>> ")
    chat.leave()
    assert history(tmp_path) == ["a memorable question"] * 2


def test_a_history_that_cannot_be_kept_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    chat = Chat(tmp_path)
    chat.type("one\n")
    chat.expect("the history is not kept")
    chat.expect(">>> ")
    assert "not kept" not in chat.say("two")
    chat.leave()


def test_a_full_context_is_said_and_cleared(tmp_path: Path) -> None:
    chat = Chat(tmp_path, "--backend", "null", "--context", "32", "--seed", "1")  # no end of its own is drawn
    assert "(the context of 32 tokens is full; /clear starts afresh)" in chat.say("hi")
    assert "/clear starts afresh" in chat.say("and then?")
    assert "forgotten" in chat.say("/clear")
    chat.type("/bye\n")
    assert chat.end() == 0


def test_a_spinner_turns_until_the_first_token_on_a_terminal(tmp_path: Path) -> None:
    chat = Chat(tmp_path, "--backend", "reference", "--max-tokens", "1", env={"TERM": "xterm", "LC_ALL": "C.UTF-8"})
    chat.type("word " * 400 + "\n")
    chat.expect("\r\x1b[K⠋ ")
    chat.expect(">>> ")
    chat.leave()
