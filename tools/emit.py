#!/usr/bin/env python3
"""Generates what other languages need from the Python tables: C++ headers, or JSON.

    python tools/emit.py --cpp tables.h --grids grids.h
    python tools/emit.py --json tables.json

Run by CMake at build time, before any dependency exists: the tables (`*_table.py`) use the standard library only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from ostinato.backends import emit
from ostinato.engine import records_table
from ostinato.memory import store_table

TABLES = (
    emit.BACKENDS
    + emit.Tables(records_table.CONSTANTS, records_table.ENUMS, records_table.RECORDS)
    + emit.Tables(store_table.CONSTANTS, (), ())
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cpp", type=Path, help="write the C++ header here")
    parser.add_argument("--grids", type=Path, help="write the C++ header of block formats' grids here")
    parser.add_argument("--json", type=Path, help="write the JSON here")
    options = parser.parse_args()
    for path, text in (
        (options.cpp, "\n".join(emit.cpp(TABLES)) + "\n"),
        (options.grids, "\n".join(emit.cpp_grids()) + "\n"),
        (options.json, json.dumps(emit.as_json(TABLES), indent=1) + "\n"),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


if __name__ == "__main__":
    main()
