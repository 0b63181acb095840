"""What a bad file answers with: one error that says where, what, and what was expected."""

from __future__ import annotations

from pathlib import Path

WHOLE = "file"  # the field of an error that concerns the file as such
_LONGEST = 160  # a field's name quotes keys, and a hostile key is long


class GGUFError(ValueError):
    """A file that is not a sound GGUF file, or lacks what was asked of it.

    `path` of the file, `offset` in bytes from its start (None where no byte is to blame), `field` being read,
    `expectation`: what is wrong with it and what a sound file has there.
    """

    def __init__(self, path: Path, offset: int | None, field: str, expectation: str) -> None:
        field = field if len(field) <= _LONGEST else f"{field[:_LONGEST]}..."
        where = "" if offset is None else f"at byte {offset}, "
        what = "" if field == WHOLE else f"{field}: "
        super().__init__(f"{path}: {where}{what}{expectation}")
        self.path = path
        self.offset = offset
        self.field = field
        self.expectation = expectation
