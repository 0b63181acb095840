"""Headless Chromium as a shader compiler: a page served on the loopback compiles shaders with Tint and reports back."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Collection, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.backends.webgpu.variants import Shader

PAGE = Path(__file__).parent / "translation" / "browser.html"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless", "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--disable-sync",
         "--disable-background-networking", "--no-first-run")  # fmt: skip


def find_browser() -> str | None:
    """Chromium's path, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def compile_in_browser(
    browser: str, shaders: Sequence[Shader], pipelines: Collection[str], timeout: float = 200
) -> dict[str, Any]:
    """{"adapter": its name, or "" for none, "errors": {shader: text, "" for none}}. Of the shaders named in `pipelines`
    pipelines are made as well. Raises TimeoutError without an answer, RuntimeError where the browser ends before."""
    server = _Server(json.dumps([vars(shader) | {"pipeline": shader.name in pipelines} for shader in shaders]).encode())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            command = [browser, *FLAGS, f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                _wait(server.answered, process, timeout)
            finally:
                process.terminate()
                process.wait()
    finally:
        server.shutdown()
        server.server_close()
    return server.answer


def _wait(answered: threading.Event, process: subprocess.Popen[bytes], timeout: float) -> None:
    end = time.monotonic() + timeout
    while not answered.wait(0.5):
        if process.poll() is not None:
            raise RuntimeError(f"the browser ended with status {process.returncode}")
        if time.monotonic() > end:
            raise TimeoutError(f"the browser did not answer within {timeout} s")


class _Server(HTTPServer):
    """Serves the page and the shaders, and takes the answer."""

    def __init__(self, shaders: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shaders = shaders
        self.answer: dict[str, Any] = {}
        self.answered = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if self.path == "/shaders":
            self._send("application/json", self.server.shaders)
        else:
            self._send("text/html", PAGE.read_bytes())

    def do_POST(self) -> None:
        self.server.answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send("text/plain", b"")
        self.server.answered.set()

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test says what matters."""
