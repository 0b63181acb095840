"""The engine process: attaches to the shared mapping, loads the model, resumes what is unfinished, and steps.

    python -m ostinato.engine.process --link FDS --model PATH --options JSON --stamp STAMP

It ends with its supervisor, however that ends. Exit codes tell the supervisor what happened.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ostinato.backends.contract import KVType
from ostinato.engine.ports import Link, RingPort
from ostinato.engine.records_table import EngineState
from ostinato.engine.shared import Shared, Sizes
from ostinato.memory.options import PolicyName, Prefetch, ReadMode

if TYPE_CHECKING:
    from ostinato.engine.loading import Options

EXIT_REFUSED = 3  # the model cannot be run; trying again is useless
EXIT_STEP = 70  # a step raised an error: a fault of its requests, like a fault signal
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Steps(Protocol):
    """What this process drives: an Engine."""

    def recover(self) -> None:
        """Rebuilds free lists, reference counts and prefix hashes from the records."""

    def step(self) -> bool:
        """One step. False when there was nothing to do."""

    def counters(self) -> Mapping[str, int]:
        """Figures for metrics, by the names in records_table.COUNTERS."""


Build = Callable[[Shared, RingPort], Steps]


def serve(link: Link, build: Build) -> int:
    """Runs the engine that `build` makes until the supervisor is gone; returns the exit code.

    SIGTERM has no handler: an engine may die at any instant, so it need not be asked to finish anything.
    """
    _die_with_parent(link)
    faulthandler.enable()  # a fault signal still kills, but says where
    shared = Shared.attach(link.memory)
    port = RingPort(shared, link)
    try:
        engine = build(shared, port)
    except Exception as error:
        foreseen = isinstance(error, (ValueError, RuntimeError)) and str(error)
        shared.set_state(EngineState.REFUSED, str(error) if foreseen else f"{type(error).__name__}: {error}")
        return EXIT_REFUSED
    try:
        engine.recover()
        shared.set_state(EngineState.READY)
        link.tokens.ring()
        _run(engine, shared, port)
    except Exception:
        traceback.print_exc()
    return EXIT_STEP


def _run(engine: Steps, shared: Shared, port: RingPort) -> None:
    while True:
        worked = engine.step()
        shared.counters = engine.counters()
        if not worked:
            port.wait()


def _die_with_parent(link: Link) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not link.commands.wait(link.alive, 0):  # it was gone before
        sys.exit("the server is gone")


class StaleFileError(RuntimeError):
    """The file is no longer the one that the server opened: its answers would go on in another model's words."""


def stamp(path: str | os.PathLike[str]) -> str:
    """What changes when a file is replaced or written to."""
    status = os.stat(path)
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def build_model(path: str, options: str, expected: str, beside: int, shared: Shared, port: RingPort) -> Steps:
    """The engine for a GGUF file, its KV in the shared mapping unless it lies on a device; `options` as
    `encode_options` makes them, `expected` the file's stamp when the server opened it, `beside` bytes of the server
    that share a budget of memory."""
    from ostinato.engine.engine import Engine
    from ostinato.engine.loading import open_model

    opened = open_model(path, decode_options(options), beside_bytes=beside)
    if stamp(path) != expected:
        raise StaleFileError(f"{path} has changed since the server opened it; start the server again")
    caches = opened.programs.caches
    shared.check(Sizes.of(opened.plan, caches, shared.sizes.capacity, opened.hosted))
    memory = {group.name: shared.kv(index) for index, group in enumerate(caches)} if opened.hosted else None
    return Engine(
        opened.compile(memory), opened.plan, caches, shared.table, port, opened.run_steps, opened.programs.recurrent
    )


def encode_options(options: Options) -> str:
    """Options as one argument of a command line."""
    return json.dumps(asdict(options), default=lambda member: member.value)


def decode_options(text: str) -> Options:
    """The reverse of encode_options."""
    from ostinato.engine.loading import Options

    fields = json.loads(text)
    for name, kind in (("kv_type", KVType), ("policy", PolicyName), ("prefetch", Prefetch), ("read_mode", ReadMode)):
        fields[name] = kind(fields[name]) if fields[name] is not None else None
    return Options(**fields | {"replicas": tuple(fields["replicas"])})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--link", type=Link.parse, required=True, help="descriptors inherited from the supervisor")
    parser.add_argument("--model", required=True, help="path of the GGUF file")
    parser.add_argument("--options", required=True, help="loading.Options as JSON")
    parser.add_argument("--stamp", required=True, help="the file's stamp when the server opened it")
    parser.add_argument("--beside", type=int, default=0, help="bytes of the supervisor that share a budget of memory")
    given = parser.parse_args()
    return serve(given.link, partial(build_model, given.model, given.options, given.stamp, given.beside))


if __name__ == "__main__":
    sys.exit(main())
