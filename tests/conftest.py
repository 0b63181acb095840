"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import find_data_dir


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of test data made elsewhere; the test skips by name when it is absent."""
    found = find_data_dir()
    if found is None:
        pytest.skip("test data absent: set OSTINATO_TEST_DATA to the folder that holds vocab/, stories260K/, ...")
    return found
