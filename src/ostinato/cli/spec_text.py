"""A ModelSpec (or any tree of frozen data) as indented text; equal neighbours in a row are told once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import groupby
from typing import Any

LONGEST = 100  # characters of data that stays on one line


def spec_lines(value: Any, name: str = "", indent: int = 0) -> Iterator[str]:
    """`name: value`, and below it what the value is made of."""
    lead = "  " * indent + (f"{name}: " if name else "")
    if isinstance(value, tuple) and any(map(is_dataclass, value)):
        yield from _runs(value, name, indent)
    elif is_dataclass(value) and len(inline := _inline(value)) > LONGEST:
        yield f"{lead}{type(value).__name__}"
        for field in fields(value):
            if getattr(value, field.name) != field.default:
                yield from spec_lines(getattr(value, field.name), field.name, indent + 1)
    else:
        yield f"{lead}{_inline(value) if not is_dataclass(value) else inline}"


def _runs(values: tuple[Any, ...], name: str, indent: int) -> Iterator[str]:
    """Values that differ in nothing but their layer's number are one run."""
    first = 0
    for _, run in groupby(enumerate(values), lambda pair: _numberless(pair[1], pair[0])):
        count = len(list(run))
        where = f"{first}" if count == 1 else f"{first}..{first + count - 1}"
        yield from spec_lines(values[first], f"{name}[{where}]", indent)
        first += count


def _numberless(value: Any, index: int) -> str:
    return repr(value).replace(f"blk.{index}.", "blk.N.")


def _inline(value: Any) -> str:
    """On one line; fields that have their defaults are left out."""
    if isinstance(value, Enum):
        return value.name.lower()
    if is_dataclass(value):
        given = [(f.name, getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) != f.default]
        if len(given) == 1 and isinstance(given[0][1], str):
            return given[0][1]  # a tensor by its name
        return f"{type(value).__name__}({', '.join(f'{name}={_inline(item)}' for name, item in given)})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_inline, value))})"
    return str(value)
