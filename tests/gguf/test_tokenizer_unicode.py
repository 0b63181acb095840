"""The generated table of character classes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.support import ROOT
from tools import unicode_tables

HEADER = ROOT / "native" / "tokenizer" / "unicode_tables.h"


def table() -> list[tuple[int, int]]:
    body = HEADER.read_text().split("kUnicodeRuns[] = {\n")[1].split("};")[0]
    return [(int(word, 16) >> 8, int(word, 16) & 0xFF) for word in body.replace(",", " ").split()]


def test_the_table_is_what_the_script_writes() -> None:
    unicode = pytest.importorskip("unicodedata2", reason="pip install unicodedata2==15.1.0 to check the table")
    if unicode.unidata_version != unicode_tables.VERSION:
        pytest.skip(f"unicodedata2 is {unicode.unidata_version}, the table is of {unicode_tables.VERSION}")
    assert unicode_tables.render(unicode) == HEADER.read_text()


def test_runs_ascend_and_change_the_class() -> None:
    runs = table()
    assert runs[0][0] == 0
    assert all(a[0] < b[0] and a[1] != b[1] for a, b in pairwise(runs))


def test_the_version_is_the_one_of_llama_cpp() -> None:
    """U+2EBF0 came with 15.1 and is a letter; U+1C89 came with 16.0 and is nothing yet; 25 white spaces."""
    runs = table()
    ends = [start for start, _ in runs[1:]] + [0x110000]
    classes = {code: bits for (start, bits), end in zip(runs, ends, strict=True) for code in range(start, end)}
    assert classes[0x2EBF0] == 1
    assert classes[0x1C89] == 0
    assert sum(bits & 32 != 0 for bits in classes.values()) == 25
