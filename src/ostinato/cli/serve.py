"""`ostinato serve [MODEL]`: a model over HTTP, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ostinato.cli.options import BUILTIN, MODEL_HELP, add_machine, machine, port

if TYPE_CHECKING:
    import socket

    from ostinato.server.model import ServedModel

STRANGERS = ("asyncio", "uvicorn.error")  # they warn of what strangers send, line by line: no news, and no limit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", default=BUILTIN, help=MODEL_HELP)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=port, default=8080, help="port; 0 picks a free one (default: 8080)")
    parser.add_argument("--name", default="", help="the model's name in the API (default: the file's)")
    add_machine(parser)


def run(options: argparse.Namespace) -> int:
    import asyncio
    import logging

    from ostinato.server.run import listen

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    for name in STRANGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    with listen(options.host, options.port) as listener:
        asyncio.run(_serve(options, listener))
    return 0


async def _serve(options: argparse.Namespace, listener: socket.socket) -> None:
    from ostinato.engine.loading import open_model
    from ostinato.engine.supervisor import Supervisor
    from ostinato.server.announce import announced
    from ostinato.server.model import ServedModel
    from ostinato.server.run import address_of, serve, url_of

    settings = machine(options)
    opened = open_model(options.model, settings)
    opened.check_answers()
    model = ServedModel.of(opened, Supervisor.for_model(opened, settings), options.name)
    with announced(*address_of(listener)):
        await serve(model, listener, on_ready=lambda: _say(model, url_of(listener)))


def _say(model: ServedModel, url: str) -> None:
    info = model.engine.info()
    detail = f"backend {info['backend']}, context {model.context}, engine {info['engine_pid']}, server {os.getpid()}"
    print(f"serving {model.name} at {url}/v1 ({detail})", flush=True)
