"""Small helpers for tests: where the built-in model and the test data made elsewhere lie."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILTIN = ROOT / "src" / "ostinato" / "models" / "ostinato-tiny.gguf"


def find_data_dir() -> Path | None:
    """`OSTINATO_TEST_DATA`, or ../shared/data from the project's root; None where neither is a folder."""
    folder = Path(os.environ.get("OSTINATO_TEST_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None
