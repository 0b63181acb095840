"""Ostinato: an inference engine for GGUF language models.

    >>> import ostinato
    >>> model = ostinato.load("model.gguf")
    >>> print(model.generate("Once upon a time", max_tokens=32))

Names are imported on first use, so that `import ostinato` (and every command) starts in a blink.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.api import Model, load
    from ostinato.gguf.tokenizer import Tokenizer

__version__ = "0.1.0"
__all__ = ["Model", "Tokenizer", "__version__", "load"]

_HOMES = {"load": "ostinato.api", "Model": "ostinato.api", "Tokenizer": "ostinato.gguf.tokenizer"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ostinato' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
