"""`serve` and `ps`: a real server over a real engine process, found, asked, and ended in order."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.cli.support import ostinato, start
from tests.server.conftest import wait_until


@pytest.fixture
def runtime(tmp_path: Path) -> dict[str, str]:
    """Announcements of these tests only."""
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture
def server(runtime: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server over the built-in model, and its URL."""
    process = start(["serve", "--backend", "reference", "--port", "0", "--name", "tiny"], runtime)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving tiny at http://127.0.0.1:"), line
        yield process, line.split()[3].removesuffix("/v1")
    finally:
        process.kill()
        process.communicate()


def models(runtime: dict[str, str], *words: str) -> list[dict]:
    return json.loads(ostinato("ps", "--json", *words, env=runtime).stdout)


def test_life_of_a_server(server: tuple[subprocess.Popen[str], str], runtime: dict[str, str]) -> None:
    process, url = server
    (model,) = models(runtime)
    assert (model["name"], model["backend"]) == ("tiny", "reference")
    assert model["memory_bytes"] > 1 << 20
    assert models(runtime, "--port", url.rsplit(":", 1)[1])[0]["engine_pid"] == model["engine_pid"]
    assert "tiny" in ostinato("ps", env=runtime).stdout

    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    question = [{"role": "user", "content": "Tell me a story."}]
    ask = client.chat.completions.create
    whole = ask(model="tiny", messages=question, temperature=0, max_tokens=60).choices[0].message.content
    pieces = []
    for chunk in ask(model="tiny", messages=question, temperature=0, max_tokens=60, stream=True):
        if len(pieces) == 5:
            os.kill(model["engine_pid"], signal.SIGKILL)
        pieces.append(chunk.choices[0].delta.content or "")
    assert "".join(pieces) == whole
    assert models(runtime)[0]["restarts"] == 1

    process.terminate()
    assert process.wait(timeout=20) == 0
    assert models(runtime) == []
    assert not _alive(model["engine_pid"])


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc that counts switches")
def test_an_idle_server_sleeps(server: tuple[subprocess.Popen[str], str], runtime: dict[str, str]) -> None:
    """No thread of it, of its engine or of the template's process wakes up."""
    process, url = server
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hello"}], max_tokens=4)
    client.close()
    family = [process.pid, *_descendants(process.pid)]
    assert models(runtime)[0]["engine_pid"] in family
    time.sleep(0.5)  # what the answer left to be done
    before = sum(map(_wakes, family))
    time.sleep(1.5)
    assert sum(map(_wakes, family)) - before <= 3, "a clock that ticks ten times a second would be fifteen"


def _descendants(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [*children, *(deeper for child in children for deeper in _descendants(child))]


def _wakes(pid: int) -> int:
    """How often its threads were given a core after waiting."""
    statuses = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[0]) for text in statuses)


def test_a_signal_ends_answers_with_words(server: tuple[subprocess.Popen[str], str]) -> None:
    """Within its seconds of grace the server lets answers finish; this one is too long."""
    process, url = server
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    stream = client.completions.create(
        model="tiny", prompt="Once", max_tokens=1000, stream=True, extra_body={"ignore_eos": True}
    )
    chunks = iter(stream)
    next(chunks)
    process.send_signal(signal.SIGINT)
    try:
        count = sum(1 for _ in chunks)
        assert count == 999
    except openai.APIError as error:
        assert "shutting down" in str(error)  # noqa: PT017 (either end is right)
    assert process.wait(timeout=20) == 0


def test_dead_servers_are_forgotten(runtime: dict[str, str]) -> None:
    folder = Path(runtime["XDG_RUNTIME_DIR"]) / "ostinato"
    folder.mkdir(mode=0o700)
    gone = subprocess.Popen(["true"])
    gone.wait()
    (folder / "1.json").write_text(json.dumps({"pid": gone.pid, "host": "127.0.0.1", "port": 1}))
    (folder / "2.json").write_text("nonsense")
    (folder / "3.json").write_text('{"pid": -1, "host": "127.0.0.1", "port": 1}')
    assert models(runtime) == []
    assert list(folder.iterdir()) == []


def test_a_folder_open_to_others_is_refused(runtime: dict[str, str]) -> None:
    folder = Path(runtime["XDG_RUNTIME_DIR"]) / "ostinato"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    done = ostinato("ps", env=runtime)
    assert done.returncode == 1
    assert "only you" in done.stderr


def test_a_taken_port(server: tuple[subprocess.Popen[str], str], runtime: dict[str, str]) -> None:
    _, url = server
    done = ostinato("serve", "--backend", "null", "--port", url.rsplit(":", 1)[1], env=runtime)
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr


def test_health_answers_while_the_engine_is_alive(server: tuple[subprocess.Popen[str], str]) -> None:
    _, url = server
    for path in ("/health", "/ready"):
        with urllib.request.urlopen(url + path, timeout=10) as answer:
            assert answer.status == 200


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_engine_goes_with_a_killed_server(
    server: tuple[subprocess.Popen[str], str], runtime: dict[str, str]
) -> None:
    process, _ = server
    engine = models(runtime)[0]["engine_pid"]
    process.kill()
    process.wait()
    wait_until(lambda: not _alive(engine))
    assert models(runtime) == []


def test_strangers_write_no_log(server: tuple[subprocess.Popen[str], str]) -> None:
    process, url = server
    port = int(url.rsplit(":", 1)[1])
    for garbage in (
        b"\x16\x03\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(garbage)
            assert connection.recv(100).startswith(b"HTTP/1.1 4")
    process.terminate()
    assert process.communicate(timeout=20)[1] == ""


def test_a_port_that_is_taken_is_one_plain_line(server: tuple[subprocess.Popen[str], str]) -> None:
    port = server[1].rpartition(":")[2]
    done = ostinato("serve", "--port", port)
    assert done.returncode == 1
    assert done.stderr == f"ostinato: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
