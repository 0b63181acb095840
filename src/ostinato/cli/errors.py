"""How a command says that it cannot go on."""

from __future__ import annotations

USAGE = 2


class CliError(Exception):
    """One line for standard error, and the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
