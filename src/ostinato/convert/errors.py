"""What a checkpoint that cannot be converted answers with."""

from __future__ import annotations


class ConvertError(ValueError):
    """A checkpoint that is broken, incomplete or of an unknown kind; one line that names the file and what is wrong."""
