"""`ostinato ps`: what is being served here, by which process, in how much memory."""

from __future__ import annotations

import argparse
import json
import socket
from typing import Any

from ostinato.cli.errors import CliError
from ostinato.cli.options import add_json, port
from ostinato.cli.output import print_json, print_table, size
from ostinato.server.announce import running

PATIENCE = 2.0  # seconds
MAX_ANSWER = 1 << 20  # bytes
SHOWN = {"name", "backend", "memory_bytes", "engine_pid", "ready", "down", "restarts"}  # of every engine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="with --port (default: 127.0.0.1)")
    parser.add_argument("--port", type=port, help="ask the server on this port only")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    models = _one(options.host, options.port) if options.port is not None else _all()
    if options.json:
        print_json(models)
    elif not models:
        print("no model is being served; start one with `ostinato serve MODEL`")
    else:
        _print(models)
    return 0


def _one(host: str, number: int) -> list[dict[str, Any]]:
    try:
        return ask(host, number)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CliError(f"no server answers on {host} port {number}: {reason}") from error


def _all() -> list[dict[str, Any]]:
    """Of every server that was announced; one that is just ending is passed over."""
    models = []
    for server in running():
        try:
            models += ask(server.host, server.port)
        except (OSError, ValueError):
            continue
    return models


def ask(host: str, number: int) -> list[dict[str, Any]]:
    """GET /engines. Raises OSError when nobody answers, ValueError for an answer that makes no sense."""
    request = f"GET /engines HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    with socket.create_connection((host, number), timeout=PATIENCE) as connection:
        connection.sendall(request.encode())
        answer = bytearray()
        while (part := connection.recv(1 << 16)) and len(answer) < MAX_ANSWER:
            answer += part
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise ValueError("it is no Ostinato server")
    return [{**engine, "host": host, "port": number} for engine in _engines(body)]


def _engines(body: bytes) -> list[dict[str, Any]]:
    """What /engines says. Raises ValueError for anything else."""
    try:
        engines = json.loads(body)
    except RecursionError:
        engines = None
    if not isinstance(engines, list) or not all(_is_engine(engine) for engine in engines):
        raise ValueError("it is no Ostinato server")
    return engines


def _is_engine(value: object) -> bool:
    return isinstance(value, dict) and value.keys() >= SHOWN and isinstance(value["memory_bytes"], int)


def _print(models: list[dict[str, Any]]) -> None:
    header = ("NAME", "BACKEND", "MEMORY", "ENGINE PID", "STATE", "RESTARTS", "URL")
    rows = [
        (
            str(model["name"]),
            str(model["backend"]),
            size(model["memory_bytes"]),
            str(model["engine_pid"] or "-"),
            "ready" if model["ready"] else "down" if model["down"] else "starting",
            str(model["restarts"]),
            f"http://{model['host']}:{model['port']}",
        )
        for model in models
    ]
    print_table(rows, header, right=(2, 3, 5))
