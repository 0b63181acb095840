"""`ostinato ps` believes nobody: other servers on a port, and announcements that say nonsense."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from ostinato.server.announce import folder, running
from tests.cli.support import call


def answer_once(listener: socket.socket, body: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)


@pytest.mark.parametrize("body", [b'{"a":1}', b"[1]", b"[{}]", b"5", b"null", b"\xff", b"[" * 100_000])
def test_another_server_is_recognised(body: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_once, args=(listener, body))
        server.start()
        done = call("ps", "--port", str(listener.getsockname()[1]))
        server.join(10)
    assert done.returncode == 1
    assert done.stderr.startswith("ostinato: no server answers on 127.0.0.1 port ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    ["", "[]", "[" * 100_000, '{"pid": 99999999999999999999, "host": "x", "port": 1}',
     f'{{"pid": {os.getpid()}, "host": "127.0.0.1", "port": 99999999}}'],
)  # fmt: skip
def test_nonsense_announced_is_removed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = folder() / "1.json"
    path.write_text(text)
    assert running() == []
    assert not path.exists()
