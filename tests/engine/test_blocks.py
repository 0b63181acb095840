"""The pool of blocks."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ostinato.engine.blocks import BlockPool


def test_blocks_are_taken_once() -> None:
    pool = BlockPool(5)
    taken = [pool.take() for _ in range(5)]
    assert sorted(taken) == list(range(5))
    assert pool.available == 0
    with pytest.raises(IndexError, match="all 5 blocks"):
        pool.take()


def test_a_shared_block_needs_as_many_releases() -> None:
    pool = BlockPool(2)
    block = pool.take()
    pool.share(block)
    pool.release([block])
    assert not pool.idle(block)
    pool.release([block])
    assert pool.idle(block)
    assert pool.available == 2


def test_named_blocks_are_kept_and_the_oldest_goes_first() -> None:
    pool = BlockPool(3)
    a, b, c = (pool.take() for _ in range(3))
    for block, name in ((a, b"a"), (b, b"b"), (c, b"c")):
        pool.remember(block, name)
    pool.release([b, a])
    assert pool.find(b"b") == b
    assert pool.take() == b
    assert pool.find(b"b") is None
    assert pool.find(b"a") == a
    pool.check({b: 1, c: 1})


def test_a_kept_block_comes_back_to_life() -> None:
    pool = BlockPool(2)
    a = pool.take()
    pool.remember(a, b"a")
    pool.release([a])
    pool.share(a)
    assert pool.take() != a
    pool.check({a: 1, 1 - a: 1})


def test_the_first_block_of_a_name_stays() -> None:
    pool = BlockPool(2)
    a, b = pool.take(), pool.take()
    pool.remember(a, b"x")
    pool.remember(b, b"x")
    assert pool.find(b"x") == a
    pool.release([a, b])
    pool.check({})


def test_check_sees_a_lost_holder() -> None:
    pool = BlockPool(2)
    block = pool.take()
    for holders in ({}, {block: 2}, {1 - block: 1}):
        with pytest.raises(AssertionError, match="blocks and their holders"):
            pool.check(holders)


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_things(seed: int) -> None:
    rng = random.Random(seed)
    pool, held, names = BlockPool(12), [], 0
    for _ in range(500):
        action = rng.randrange(4)
        if action == 0 and pool.available:
            held.append(pool.take())
        elif action == 1 and held:
            held.append(rng.choice(held))
            pool.share(held[-1])
        elif action == 2 and held:
            pool.remember(rng.choice(held), str(rng.randrange(20)).encode())
            names += 1
        elif held:
            pool.release([held.pop(rng.randrange(len(held)))])
        pool.check(Counter(held))
    assert names > 20
