"""Checkpoints -> GGUF: a recipe for each architecture, safetensors read as they lie, values streamed through."""

from __future__ import annotations

from ostinato.convert.convert import Plan, convert, plan, write
from ostinato.convert.errors import ConvertError

__all__ = ["ConvertError", "Plan", "convert", "plan", "write"]
