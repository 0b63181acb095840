"""What is typed into a chat: line editing, history that is kept, texts of several lines.

Texts of several lines are put between triple quotes, or their lines end in a backslash, or they are pasted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ostinato.cli.places import history_file, write_private

PROMPT, MORE = ">>> ", "... "
QUOTES = '"""'
KEPT = 1000  # entries of history
LONGEST = 10_000  # characters of an entry that is kept


class Lines:
    """Reads texts from the terminal. `candidates` completes lines that begin with "/"."""

    def __init__(self, candidates: Callable[[str], list[str]]) -> None:
        self._readline = _readline()
        self._history = History(history_file)
        self._candidates = candidates
        if self._readline is not None:
            self._set_up(self._readline)

    def read(self) -> str | None:
        """The next text, not yet `plain`; "" for one that Ctrl-C gave up, None at the end."""
        try:
            text = input(PROMPT)
            while more := unfinished(text):
                text = text[: -len(more)] + "\n" + input(MORE) if more == "\\" else f"{text}\n{input(MORE)}"
        except KeyboardInterrupt:
            print()
            return ""
        except EOFError:
            print()
            return None
        self._remember(text)
        return text.strip()

    def _remember(self, text: str) -> None:
        if self._readline is not None and text.strip():
            self._readline.add_history(text)
            self._history.add(text)

    def _set_up(self, readline: ModuleType) -> None:
        readline.set_auto_history(False)
        for text in self._history.load():
            readline.add_history(text)
        readline.set_completer_delims(" ")
        readline.set_completer(self._complete)
        if "libedit" in (readline.__doc__ or ""):
            readline.parse_and_bind("bind ^I rl_complete")
            return
        readline.parse_and_bind("tab: complete")
        if os.environ.get("TERM", "dumb") != "dumb":
            readline.parse_and_bind("set enable-bracketed-paste on")  # lines pasted together stay together

    def _complete(self, text: str, state: int) -> str | None:
        assert self._readline is not None
        line = self._readline.get_line_buffer()
        found = self._candidates(line) if line.startswith("/") else []
        return found[state] if state < len(found) else None


class History:
    """The last texts, oldest first, one JSON string a line: a text of several lines is one entry."""

    def __init__(self, place: Callable[[], Path]) -> None:
        self._place = place
        self._told = False

    def load(self) -> list[str]:
        """Nothing where there is no such file. One that has grown too long is cut."""
        try:
            path = self._place()
            with open(path, "rb") as file:
                lines = file.read(2 * KEPT * LONGEST).splitlines()
            if len(lines) > 2 * KEPT:
                lines = lines[-KEPT:]
                write_private(path, "".join(line.decode(errors="replace") + "\n" for line in lines))
        except OSError:
            return []
        return [text for text in map(_entry, lines[-KEPT:]) if text]

    def add(self, text: str) -> None:
        """Written at once: several chats may share the file. What cannot be kept is said once."""
        if len(text) > LONGEST:
            return
        try:
            path = self._place()
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with open(handle, "wb") as file:
                file.write(json.dumps(text).encode() + b"\n")
        except OSError as error:
            if not self._told:
                print(f"the history is not kept: {error}", file=sys.stderr)
            self._told = True


def unfinished(text: str) -> str:
    """What says that another line belongs to a text: open quotes, or a backslash; "" where it is whole."""
    body = quoted(text)
    if body is not None:
        return "" if body.rstrip().endswith(QUOTES) else QUOTES
    slashes = len(text) - len(text.rstrip("\\"))
    return "\\" if slashes % 2 else ""


def quoted(text: str) -> str | None:
    """What follows the opening quotes: of a text that begins with them, or of a /set whose value does."""
    head, quotes, body = text.lstrip().partition(QUOTES)
    opens = quotes and (not head or (head.startswith("/set ") and len(head.split()) == 2))
    return body if opens else None


def plain(text: str) -> str:
    """A text without the quotes around it, and without the line ends next to them."""
    body = quoted(text)
    if body is None:
        return text
    return body.rstrip().removesuffix(QUOTES).removeprefix("\n").removesuffix("\n")


def _entry(line: bytes) -> str:
    """The text of a line; "" for one that is damaged."""
    try:
        text = str(json.loads(line)) if line.startswith(b'"') else ""
    except ValueError:
        return ""
    return "" if "\0" in text else text


def _readline() -> ModuleType | None:
    """Python may have been built without it; then lines are typed without editing or history."""
    try:
        import readline
    except ImportError:
        return None
    return readline
