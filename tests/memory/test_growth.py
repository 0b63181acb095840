"""A process stays within what its budget counts for it."""

from __future__ import annotations

import subprocess
import sys

from ostinato.memory.residency import ALLOWANCE


def test_a_process_takes_no_more_than_its_allowance_beyond_the_plan() -> None:
    """In one of its own: what a test's process did before would hide what is new."""
    run = subprocess.run([sys.executable, "-m", "tests.memory.growth"], capture_output=True, text=True, check=True)
    assert int(run.stdout) <= ALLOWANCE
