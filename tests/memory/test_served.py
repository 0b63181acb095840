"""A server with a budget of memory: its answers are those without one, its /metrics agree with what was streamed."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ostinato.api import Model
from ostinato.memory.budget import GROWTH
from ostinato.memory.parcels import expert_parcels
from tests.cli.support import start
from tests.memory.streamed import opened_with

PROMPT = [5, 6, 7, 8]  # too short for a block, so that no prefix of it is kept
USED = 2  # experts of each of the built-in model's layers, a token
MORE = 2.5  # MiB beyond the least amount: slots for some of the experts
ATTEMPTS = 6  # the least amount depends on what the processes hold, and each of the two says its own


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server with slots for some of the built-in model's experts."""
    process, line = _started(tmp_path_factory.mktemp("served"))
    try:
        yield line.split()[3]
    finally:
        process.kill()
        process.communicate()


def _started(runtime: Path) -> tuple[subprocess.Popen[str], str]:
    amount = MORE
    for _ in range(ATTEMPTS):
        words = ["serve", "--name", "m", "--backend", "cpu", "--threads", "1", "--port", "0", "--context", "256"]
        budget = ["--memory", f"{amount}MiB", "--read-mode", "cached"]
        process = start([*words, *budget], {"XDG_RUNTIME_DIR": str(runtime)})
        assert process.stdout is not None
        if line := process.stdout.readline():
            return process, line
        _, said = process.communicate()
        enough = re.search(r"this model runs in ([\d.]+) MiB", said)
        assert enough, said
        amount = round(
            float(enough[1]) * GROWTH / (GROWTH + 1) + MORE, 2
        )  # all experts would have slots in what is enough
    raise AssertionError(f"{amount} MiB are still too little")


def metrics(url: str) -> dict[str, float]:
    lines = httpx.get(f"{url.removesuffix('/v1')}/metrics", timeout=10).text.splitlines()
    pairs = [line.removeprefix("ostinato_store_").split() for line in lines if line.startswith("ostinato_store_")]
    return {name: float(value) for name, value in pairs}


def settled(url: str) -> dict[str, float]:
    """An engine counts just after it has handed a token out."""
    found = metrics(url)
    while True:
        time.sleep(0.02)
        before, found = found, metrics(url)
        if found == before:
            return found


def ask(url: str, tokens: int) -> str:
    body = {"model": "m", "prompt": PROMPT, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    text: str = httpx.post(f"{url}/completions", json=body, timeout=60).json()["choices"][0]["text"]
    return text


def test_metrics_agree_with_what_was_streamed(url: str) -> None:
    seen = [metrics(url)]
    for tokens in (3, 7):
        ask(url, tokens)
        seen.append(settled(url))
    wanted = [at["hits_total"] + at["misses_total"] for at in seen]
    with opened_with(0) as opened:
        parcels = expert_parcels(opened.programs, opened.file)
    assert wanted[0] == 0
    assert wanted[2] - 2 * wanted[1] == 4 * parcels.layers * USED, "four more tokens want so many experts"

    last = seen[-1]
    (payload,) = {parcel.nbytes for parcel in parcels.parcels}
    held = last["parcel_bytes"] / payload
    slot = last["used_bytes"] / held
    slots = last["slot_bytes"] / slot
    assert held <= slots < len(parcels.parcels)
    assert last["slot_bytes"] <= last["budget_bytes"]
    assert min(last[name] for name in ("hits_total", "misses_total", "evictions_total", "stall_seconds_total")) > 0
    assert last["hit_ratio"] == last["hits_total"] / wanted[2]

    first_wanted, read = last["misses_total"] - last["late_total"], last["demand_bytes_total"]
    assert first_wanted * payload <= read <= last["misses_total"] * slot
    came = held + last["evictions_total"]
    assert (came - slots) * payload <= read + last["prefetch_bytes_total"] <= came * slot, "what came was read"
    assert last["failures_total"] == 0


def test_answers_are_those_without_a_budget(url: str) -> None:
    with opened_with(0) as opened, Model(opened) as model:
        assert ask(url, 9) == model.generate(PROMPT, max_tokens=9, ignore_eos=True)
