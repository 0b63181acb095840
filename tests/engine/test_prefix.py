"""Names of blocks: equal exactly where tokens, kinds and all that came before are equal."""

from __future__ import annotations

import numpy as np

from ostinato.engine.prefix import PrefixNames

TOKENS = np.arange(32, dtype=np.int32)


def chain(names: PrefixNames, tokens: np.ndarray, prompt_length: int, count: int) -> list[bytes]:
    made: list[bytes] = []
    names.extend(made, tokens, prompt_length, count)
    return made


def test_the_same_beginning_has_the_same_names() -> None:
    names = PrefixNames(8)
    other = TOKENS.copy()
    other[20] = 99
    assert chain(names, TOKENS, 32, 4)[:2] == chain(names, other, 32, 4)[:2]
    assert chain(names, TOKENS, 32, 4)[2:] != chain(names, other, 32, 4)[2:]


def test_a_name_covers_what_came_before() -> None:
    names = PrefixNames(8)
    other = TOKENS.copy()
    other[0] = 99
    assert not set(chain(names, TOKENS, 32, 4)) & set(chain(names, other, 32, 4))


def test_a_name_covers_the_kinds_of_its_rows() -> None:
    names = PrefixNames(8)
    made = {tuple(chain(names, TOKENS, length, 2)) for length in range(17)}
    assert len(made) == 17
    assert chain(names, TOKENS, 16, 2) == chain(names, TOKENS, 32, 2)


def test_extending_in_pieces_is_the_same() -> None:
    names = PrefixNames(4)
    made: list[bytes] = []
    for count in (1, 1, 3, 8):
        names.extend(made, TOKENS, 10, count)
        assert len(made) == count
    assert made == chain(names, TOKENS, 10, 8)


def test_the_key_is_secret() -> None:
    assert chain(PrefixNames(8), TOKENS, 32, 1) != chain(PrefixNames(8), TOKENS, 32, 1)
