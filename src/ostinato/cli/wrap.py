"""Words of an answer stay whole on a terminal: one that reaches the edge while it is written moves to the next line."""

from __future__ import annotations

from collections.abc import Callable

from ostinato.cli.output import cells_of

FENCE = "```"  # between two of these lines is code, whose lines are the terminal's to break
TAB = 8


class Wrapper:
    """Takes text as it comes, returns what to write at once. `columns` is asked again for every line."""

    def __init__(self, columns: Callable[[], int]) -> None:
        self._columns = columns
        self._fenced = False
        self._begin("")

    def push(self, text: str) -> str:
        """`text` may hold line ends and tabs, but nothing else that moves the cursor."""
        return "".join(map(self._place, text))

    def _begin(self, word: str) -> None:
        """A new line, which starts with `word`. The last column stays free: there, terminals differ."""
        self._limit = self._columns() - 1
        self._column = cells_of(word)
        self._word, self._line = word, word

    def _place(self, character: str) -> str:
        if character == "\n":
            self._fenced ^= self._line.startswith(FENCE)
            self._begin("")
            return character
        self._line += character if len(self._line) < len(FENCE) else ""
        cells = TAB - self._column % TAB if character == "\t" else cells_of(character)
        if self._fenced or self._column + cells <= self._limit:
            self._column += cells
            self._word = "" if _breaks(character, cells) else self._word + character
            return character
        return self._move(character, cells)

    def _move(self, character: str, cells: int) -> str:
        """The line is full: the character goes to the next one, and the word that it belongs to with it."""
        if character.isspace():
            self._begin("")
            return "\n"
        word, width = self._word, cells_of(self._word)
        if not word or cells == 2 or 2 * width > self._limit:
            self._begin(character)
            return "\n" + character
        self._begin(word + character)
        return f"\x1b[{width}D\x1b[K\n{word}{character}"


def _breaks(character: str, cells: int) -> bool:
    """Whether a line may end after it: spaces, and the wide characters of scripts that are written without them."""
    return character.isspace() or cells == 2
