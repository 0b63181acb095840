"""Wrapping of words, seen through a small terminal."""

from __future__ import annotations

import re

import pytest

from ostinato.cli.output import cells_of
from ostinato.cli.wrap import Wrapper


def screen(text: str, columns: int, piece: int) -> list[str]:
    """The lines that a terminal shows; it must never have to break one by itself."""
    wrapper = Wrapper(lambda: columns)
    written = "".join(wrapper.push(text[at : at + piece]) for at in range(0, len(text), piece))
    lines = [""]
    for move, character in re.findall(r"\x1b\[(\d+)D\x1b\[K|([^\x1b])", written, re.DOTALL):
        if move:
            cut = len(lines[-1])
            while cells_of(lines[-1][cut:]) < int(move):
                cut -= 1
            lines[-1] = lines[-1][:cut]
        elif character == "\n":
            lines.append("")
        else:
            lines[-1] += character
    return lines


@pytest.mark.parametrize("piece", [1, 4, 1000])
def test_words_stay_whole(piece: int) -> None:
    text = "the quick brown fox jumps over the lazy dog, and again and again\n\nnext paragraph is here"
    lines = screen(text, 21, piece)
    assert max(map(len, lines)) <= 20
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert {word for line in lines for word in line.split()} == set(text.split())
    assert "" in lines


@pytest.mark.parametrize("piece", [1, 7])
def test_what_cannot_stay_whole_is_broken(piece: int) -> None:
    assert screen("x" * 25, 11, piece) == ["x" * 10, "x" * 10, "x" * 5]
    assert screen("東京都は日本の首都です", 11, piece) == ["東京都は日", "本の首都で", "す"]
    assert screen("a 東京都は日本", 8, piece) == ["a 東京", "都は日", "本"]


def test_code_is_left_alone() -> None:
    code = "```python\nprint('a long line of code that goes on')\n```\n"
    assert screen(code + "words after the code", 15, 3)[1] == "print('a long line of code that goes on')"
    assert screen(code + "words after the code", 15, 3)[-2:] == ["words after ", "the code"]


def test_a_space_at_the_edge_is_the_line_end() -> None:
    assert screen("abcd efgh", 5, 1) == ["abcd", "efgh"]
    assert screen("a\tb", 9, 1) == ["a\t", "b"]
