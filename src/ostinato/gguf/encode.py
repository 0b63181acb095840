"""Encodes Python values as GGUF metadata, and chooses the type of those that come without one."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ostinato.gguf.types_table import ValueType
from ostinato.gguf.values import ArrayView

Scalar = int | float | bool | str | bytes
Addable = Scalar | ArrayView | Sequence["Addable"]


def encode_string(text: bytes) -> bytes:
    """Its length, and the text."""
    return struct.pack("<Q", len(text)) + text


def encode_value(value: Addable, type: ValueType | None) -> bytes:
    """A value with its type in front. `type` is the value's, or that of a sequence's elements; None: a fitting one.

    Raises struct.error, OverflowError or TypeError for a value that its type cannot hold.
    """
    if isinstance(value, ArrayView):
        return struct.pack("<IIQ", ValueType.ARRAY, value.type, value.count) + value.raw
    if isinstance(value, str | bytes | int | float):
        type = _scalar_type(value) if type is None else type
        return struct.pack("<I", type) + _scalar(value, type)
    return struct.pack("<I", ValueType.ARRAY) + _array(value, type)


def _array(values: Sequence[Addable], type: ValueType | None) -> bytes:
    """An array's element type, count and elements."""
    type = _element_type(values) if type is None else type
    head = struct.pack("<IQ", type, len(values))
    if type is ValueType.ARRAY:
        return head + b"".join(encode_value(inner, None)[4:] for inner in values)
    if type is ValueType.STRING:
        return head + b"".join(_scalar(text, type) for text in values)
    return head + struct.pack(f"<{len(values)}{type.format}", *values)


def _scalar(value: Addable, type: ValueType) -> bytes:
    if type is ValueType.STRING:
        if not isinstance(value, str | bytes):
            raise TypeError(f"{value!r} is not text")
        return encode_string(value if isinstance(value, bytes) else value.encode())
    return struct.pack(f"<{type.format}", value)


def _scalar_type(value: Scalar) -> ValueType:
    match value:
        case str() | bytes():
            return ValueType.STRING
        case bool():
            return ValueType.BOOL
        case int():
            return _integer_type(value, value, (ValueType.UINT32, ValueType.INT32))
        case _:
            return ValueType.FLOAT32


def _element_type(values: Sequence[Addable]) -> ValueType:
    """The one type that all elements share; integers may be mixed with floats, nothing else with another kind."""
    kinds = {_kind(value) for value in values}
    if kinds == {int}:
        integers = [value for value in values if isinstance(value, int)]
        return _integer_type(min(integers), max(integers), (ValueType.INT32, ValueType.UINT32))
    if kinds == {float, int}:
        kinds = {float}
    if len(kinds) != 1:
        raise TypeError("its elements have no common type; give the type of the elements")
    types = {str: ValueType.STRING, bool: ValueType.BOOL, float: ValueType.FLOAT32, list: ValueType.ARRAY}
    return types[kinds.pop()]


def _kind(value: Addable) -> type:
    if isinstance(value, str | bytes):
        return str
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind
    return list


def _integer_type(low: int, high: int, preferred: tuple[ValueType, ...]) -> ValueType:
    for type in (*preferred, ValueType.UINT64, ValueType.INT64):
        bits = 8 * type.size - (type.format.islower())
        if (-(1 << bits) if type.format.islower() else 0) <= low and high < 1 << bits:
            return type
    raise OverflowError("an integer needs more than 64 bits")
