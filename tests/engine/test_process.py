"""An engine starts for the file that the server opened, or not at all, and says so once."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ostinato.engine.loading import Options, open_model
from ostinato.engine.supervisor import EngineDownError, Supervisor
from tests.support import BUILTIN


def replace(path: Path) -> None:
    """Another file of the same name and content: what it holds cannot be known from outside."""
    path.unlink()
    shutil.copy(BUILTIN, path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (Path.unlink, "cannot be opened"),
        (replace, "has changed since"),
        (lambda path: path.write_bytes(b"G"), "magic: needs 4 bytes"),
    ],
)
def test_a_file_that_changed_under_the_server(
    change: Callable[[Path], None], says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(shutil.copy(BUILTIN, tmp_path / "model.gguf"))
    options = Options(backend="null")
    opened = open_model(path, options)
    supervisor = Supervisor.for_model(opened, options, capacity=2)
    opened.file.close()
    change(path)

    async def life() -> None:
        try:
            await supervisor.start()
        finally:
            await supervisor.stop()

    with caplog.at_level(logging.WARNING), pytest.raises(EngineDownError, match=says):
        asyncio.run(asyncio.wait_for(life(), 30))
    assert supervisor.info()["restarts"] == 0
    assert not caplog.records, "the error says it once"
