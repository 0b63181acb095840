"""One server process: the HTTP application, the engine beside it, and an orderly end.

SIGTERM or SIGINT: no new connections; answers on their way get a few seconds; then the engine stops, which ends
the others with an error their clients can read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from ostinato.server.app import create_app
from ostinato.server.model import ServedModel

GRACE = 5.0  # seconds for answers on their way
BACKLOG = 2048  # connections that may wait to be accepted
HEADER_BYTES = 1 << 16
KEEP_ALIVE = 30  # seconds an idle connection stays open


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises OSError, naming the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise OSError(f"cannot listen on {host} port {port}: {reason}") from error


def address_of(listener: socket.socket) -> tuple[str, int]:
    """(host, port) where it is reached from this machine: the loopback address for one that listens everywhere."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


def url_of(listener: socket.socket) -> str:
    """http://host:port, as `address_of`."""
    host, port = address_of(listener)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(model: ServedModel, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serves until a signal comes. Raises EngineDownError when the engine cannot run the model."""
    if model.template is not None:
        model.template.start()
    server = _Server(configuration(model))
    stop = _on_signals()
    http = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(model.engine.start())
    try:
        await asyncio.wait((starting, stopping, http), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            on_ready()
            await asyncio.wait((stopping, http), return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.end()
        await asyncio.wait((http,), timeout=GRACE)
        await _cancelled(starting)
        await model.engine.stop()
        if model.template is not None:
            model.template.close()
        await _cancelled(stopping)
        await http


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers (signals are ours) and without its clock, which ticks ten times a
    second: who serves nobody sleeps."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._over = asyncio.Event()

    def end(self) -> None:
        """No new connections; those that are there are closed when their answers have ended."""
        self.should_exit = True
        self._over.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)  # headers of all responses
        await self._over.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def configuration(model: ServedModel) -> uvicorn.Config:
    """uvicorn's settings, and the application."""
    return uvicorn.Config(
        create_app(model),
        date_header=False,  # dated when they are sent (app.py): uvicorn's is made by its clock
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE,
        h11_max_incomplete_event_size=HEADER_BYTES,
        server_header=False,
    )


def _on_signals() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
