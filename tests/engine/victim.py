"""The real engine on the null backend in a process of its own, without a model file, that dies where it is told.

    python -m tests.engine.victim --link FDS [--kill-at POINT:N --once FILE] [--nap SECONDS] [--run-steps N]
                                  [--executable NAME]

POINT is a method of the table, the port or the executable: commit, mark_step, step_done, publish, submit, collect;
the process kills itself before (POINT) or after (POINT+) its N-th call.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ostinato.backends.contract import Plan
from ostinato.engine.engine import Engine
from ostinato.engine.ports import Link, RingPort
from ostinato.engine.process import serve
from ostinato.engine.shared import Shared, Sizes
from tests.engine.simulate import CACHES, EXECUTABLES

PLAN = Plan(max_rows=48, max_logit_rows=16, max_sequences=12, context=256, blocks=120, block_size=4)
SIZES = Sizes.of(PLAN, CACHES, capacity=32)
POINTS = ("commit", "mark_step", "step_done", "publish", "submit", "collect")


def rig(method: Callable[..., Any], name: str, kill_at: str, once: Path) -> Callable[..., Any]:
    """`method`, deadly at the call that `kill_at` names unless the file `once` says that it happened."""
    point, _, count = kill_at.partition(":")
    calls = 0

    def deadly(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        due = calls == int(count) and not once.exists()
        if due and point == name:
            die(once)
        result = method(*arguments)
        if due and point == name + "+":
            die(once)
        return result

    return deadly if point.removesuffix("+") == name else method


def die(once: Path) -> None:
    once.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def slow(method: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def slowed(*arguments: Any) -> Any:
        time.sleep(seconds)
        return method(*arguments)

    return slowed


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--link", type=Link.parse, required=True)
    parser.add_argument("--kill-at", default="")
    parser.add_argument("--once", type=Path, default=Path())
    parser.add_argument("--nap", type=float, default=0.0, help="seconds that a step takes")
    parser.add_argument("--run-steps", type=int, default=0)
    parser.add_argument("--executable", choices=EXECUTABLES, default="whole")
    options = parser.parse_args()

    def build(shared: Shared, port: RingPort) -> Engine:
        shared.check(SIZES)
        plan = replace(PLAN, memory={group.name: shared.kv(index) for index, group in enumerate(CACHES)})
        executable = EXECUTABLES[options.executable](plan)
        executable.collect = slow(executable.collect, options.nap)
        for target in (shared.table, port, executable):
            for name in POINTS:
                if hasattr(target, name):
                    setattr(target, name, rig(getattr(target, name), name, options.kill_at, options.once))
        return Engine(executable, plan, CACHES, shared.table, port, options.run_steps)

    return serve(options.link, build)


if __name__ == "__main__":
    sys.exit(main())
