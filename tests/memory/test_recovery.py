"""A server whose weights lie in a store outlives its engine: the next one opens its own store, and the answer goes
on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import httpx

from ostinato.api import Model
from tests.cli.support import start
from tests.memory.streamed import opened_with
from tests.support import BUILTIN

PROMPT, TOKENS, DEATH = "Once upon a time", 200, 10  # tokens of the answer; after how many the engine is killed


def test_an_answer_goes_on_when_an_engine_with_a_store_is_killed(tmp_path: Path) -> None:
    replica = tmp_path / "replica.gguf"  # with one there is a store, though everything has a slot
    shutil.copy2(BUILTIN, replica)
    words = ["serve", str(BUILTIN), "--backend", "cpu", "--port", "0", "--context", "256", "--run-steps", "1"]
    server = start([*words, "--memory", "4GiB", "--replica", str(replica)], {"XDG_RUNTIME_DIR": str(tmp_path)})
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[3].removesuffix("/v1")
        assert answer(url) == expected()
        assert answer(url, killing=False) == expected()
        figures = dict(line.rsplit(" ", 1) for line in httpx.get(f"{url}/metrics").text.splitlines())
        assert float(figures["ostinato_engine_restarts_total"]) == 1
        assert float(figures["ostinato_store_hits_total"]) > 0, "of the second engine"
    finally:
        server.kill()
        server.communicate()


def answer(url: str, killing: bool = True) -> str:
    body = {"model": BUILTIN.stem, "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
    pieces: list[str] = []
    with httpx.stream("POST", f"{url}/v1/completions", json={**body, "stream": True}, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                pieces.append(json.loads(line.removeprefix("data: "))["choices"][0]["text"])
            if killing and len(pieces) == DEATH:
                kill_engine(url)
                killing = False
    return "".join(pieces)


def kill_engine(url: str) -> None:
    """Returns when the next one is there, which counts the server as the first did: a budget stays enough."""
    (engine,) = httpx.get(f"{url}/engines").json()
    beside = counted_beside(engine["engine_pid"])
    os.kill(engine["engine_pid"], signal.SIGKILL)
    while httpx.get(f"{url}/engines").json()[0]["restarts"] == 0 or httpx.get(f"{url}/ready").status_code != 200:
        time.sleep(0.01)
    assert counted_beside(httpx.get(f"{url}/engines").json()[0]["engine_pid"]) == beside


def expected() -> str:
    with opened_with(0) as opened, Model(opened) as model:
        return model.generate(model.tokenize(PROMPT), max_tokens=TOKENS, ignore_eos=True)


def counted_beside(pid: int) -> int:
    """Bytes of the server that an engine's command line tells."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return int(words[words.index("--beside") + 1])
