"""Every architecture in every type, at every length, fed in every way; and the table of it."""

from __future__ import annotations

import pytest

from tests.architectures.matrix import LENGTHS, TYPES, limit, measured
from tests.architectures.table import kept_rows
from tests.architectures.zoo import ZOO


@pytest.mark.slow
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("name", ZOO)
def test_cpu(name: str, type: str) -> None:
    for length in LENGTHS:
        for way, figures in measured(name, type, length, "cpu"):
            assert figures.nmse < limit(name, type, "cpu"), (length, way, figures)


@pytest.mark.slow
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("name", ZOO)
def test_reference(name: str, type: str) -> None:
    for length in LENGTHS[:2]:
        for way, figures in measured(name, type, length, "reference"):
            assert figures.nmse < limit(name, type, "reference"), (length, way, figures)


@pytest.mark.slow
def test_the_table_has_every_architecture() -> None:
    missing = [name for name in ZOO if any((name, type) not in kept_rows() for type in TYPES)]
    assert not missing, f"run python -m tests.architectures.table {' '.join(missing)}"
