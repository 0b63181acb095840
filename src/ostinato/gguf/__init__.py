"""GGUF files: a memory-mapped reader that checks everything, a writer, block formats, the tokenizer.

Names are imported on first use: neither NumPy nor a native module is loaded before it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.gguf.blocks import dequantize, quantize
    from ostinato.gguf.errors import GGUFError
    from ostinato.gguf.reader import GGUFFile, Tensor, open_gguf
    from ostinato.gguf.types_table import TensorType, ValueType
    from ostinato.gguf.values import ArrayView, MetadataValue
    from ostinato.gguf.writer import GGUFWriter

__all__ = [
    "ArrayView", "GGUFError", "GGUFFile", "GGUFWriter", "MetadataValue", "Tensor", "TensorType", "ValueType",
    "dequantize", "open_gguf", "quantize",
]  # fmt: skip

_HOMES = {
    "ArrayView": "values", "GGUFError": "errors", "GGUFFile": "reader", "GGUFWriter": "writer",
    "MetadataValue": "values", "Tensor": "reader", "TensorType": "types_table", "ValueType": "types_table",
    "dequantize": "blocks", "open_gguf": "reader", "quantize": "blocks",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ostinato.gguf' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"ostinato.gguf.{_HOMES[name]}"), name)
