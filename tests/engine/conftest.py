"""After every test of the engine, every engine it made is checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine import simulate


@pytest.fixture(autouse=True)
def integrity() -> Iterator[None]:
    simulate.engines.clear()
    yield
    for engine in simulate.engines:
        engine.check_integrity()
    simulate.engines.clear()
