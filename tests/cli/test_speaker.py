"""A loaded model that answers: what is open is closed when it cannot be loaded."""

from __future__ import annotations

import pytest

from ostinato.api import Model
from ostinato.cli.speaker import Speaker
from ostinato.engine.loading import Options
from ostinato.gguf import reader
from ostinato.gguf.errors import GGUFError
from ostinato.templates.renderer import Renderer
from tests.support import BUILTIN


@pytest.mark.parametrize(("owner", "name"), [(Renderer, "start"), (Model, "__init__")])
def test_its_file_is_closed_when_a_part_fails(owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no process")

    file = reader.open_gguf(BUILTIN)
    monkeypatch.setattr(reader, "open_gguf", lambda path: file)
    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(OSError, match="no process"):
        Speaker(BUILTIN, Options(backend="null"), raw=False)
    with pytest.raises(GGUFError, match="is closed"):
        _ = file.nbytes
