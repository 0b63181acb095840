"""Stop strings."""

from __future__ import annotations

import random

import pytest

from ostinato.text import StopMatcher


def run(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    """What a reader sees in all, and whether the stream was stopped."""
    matcher = StopMatcher(stops)
    shown = ""
    for piece in pieces:
        text, stopped = matcher.push(piece)
        shown += text
        if stopped:
            assert matcher.flush() == ""
            return shown, True
    return shown + matcher.flush(), False


def test_no_stops_passes_everything_at_once() -> None:
    assert StopMatcher([]).push("hello") == ("hello", False)


def test_cuts_before_the_stop_and_stays_stopped() -> None:
    matcher = StopMatcher(["END"])
    assert matcher.push("abENDcd") == ("ab", True)
    assert matcher.push("more") == ("", True)


def test_holds_back_a_partial_match_and_lets_it_go() -> None:
    matcher = StopMatcher(["<|end|>"])
    assert matcher.push("a<|en") == ("a", False)
    assert matcher.push("tity") == ("<|entity", False)
    assert matcher.push("<|") == ("", False)
    assert matcher.flush() == "<|"


def test_a_stop_over_many_pieces() -> None:
    assert run(["\n\n"], ["a\n", "b\n", "\n", "c"]) == ("a\nb", True)


def test_the_stop_that_ends_first_wins_and_of_those_the_longest() -> None:
    assert run(["abcd", "c"], ["xabcd"]) == ("xab", True)
    assert run(["bc", "abc", "c"], ["xabc"]) == ("x", True)


def test_an_empty_stop_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        StopMatcher(["x", ""])


@pytest.mark.parametrize("seed", range(20))
def test_how_the_text_is_cut_does_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        text = "".join(rng.choices("ab", k=rng.randrange(1, 24)))
        stops = ["".join(rng.choices("ab", k=rng.randrange(1, 6))) for _ in range(rng.randrange(4))]
        cuts = sorted(rng.choices(range(len(text) + 1), k=rng.randrange(6)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert run(stops, pieces) == run(stops, list(text))
