"""Templates that mean harm: one clear error each, in bounded time, and the next prompt is rendered as ever."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.chat import ChatError, ChatTemplate
from ostinato.templates.confinement import ARCHITECTURES
from ostinato.templates.renderer import Renderer, RenderError
from tests.support import ROOT

USER = [{"role": "user", "content": "hello"}]
DOUBLING = "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
TREE = "{% set n = namespace(x=[1]) %}{% for i in range(40) %}{% set n.x = [n.x, n.x] %}{% endfor %}"


HARM = [
    ("{{ raise_exception('roles must alternate') }}", "line 1: roles must alternate"),
    ("a\n{{ messages | nofilter }}", "line 2"),
    ("a\n\n{{ messages.x.y.z }}", "line 3"),
    ("{% macro f() %}\n{{ 1 + 'a' }}\n{% endmacro %}\n\n{{ f() }}", "line 2"),
    ("{% for %}", "line 1"),
    ("\n{% if true %}", "line 2: Unexpected end"),
    ("{% include '/etc/passwd' %}", "no loader"),
    ("{% include 'default' %}", "no loader"),
    ("{{ 'x' * 10000000000 }}", "512 MiB"),
    ("{{ [0] * 10000000000 }}", "512 MiB"),
    (DOUBLING, "512 MiB"),
    ("{{ (range(100000) | join('x' * 100000)) | length }}", "512 MiB"),
    ("{{ '%10000000000d' | format(3) }}", ""),
    ("{{ '{:10000000000}'.format(3) }}", ""),
    ("{{ 'x'.zfill(10000000000) }}", ""),
    ("{{ 'x' | center(10000000000) }}", ""),
    ("{{ range(10 ** 12) }}", "Range too big"),
    ("{% for i in range(1000000000) %}x{% endfor %}", "Range too big"),
    ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "processor time"),
    ("{{ 10 ** (10 ** 10) }}", "processor time"),
    ("{{ 'a' * 30 | wordwrap(1) }}{{ ('a' * 10000000) | urlize | length }}", ""),
    (TREE + "{{ n.x }}", ""),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ("{{ " + "(" * 100_000, "recursion"),
    ("{{ " + "-" * 100_000 + "1 }}", "recursion"),
    ("{{ " + "[" * 500 + "]" * 500 + " }}", ""),
    ("{% if true %}" * 5000 + "{% endif %}" * 5000, ""),
    ("{{ 'x' * 9000000 }}", "characters"),
    ("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "characters"),
    ("{{ raise_exception('x' * 3000000) }}", "xxx"),
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    ("{{ messages.__class__.__base__ }}", "unsafe"),
    ("{{ lipsum.__globals__['os'].system('true') }}", "unsafe"),
    ("{{ raise_exception.__globals__.sys }}", "unsafe"),
    ("{{ strftime_now.__self__.x }}", ""),
    ("{{ cycler.__init__.__globals__.os.environ }}", "unsafe"),
    ("{{ namespace.__init__.__globals__.x }}", "unsafe"),
    ("{{ dict.__call__.__globals__.x }}", "unsafe"),
    ("{{ self._TemplateReference__context.x }}", "unsafe"),
    ("{{ ('x' | attr('__class__')).__mro__ }}", ""),
    ("{{ (messages | map('upper')).gi_frame.f_back }}", "unsafe"),
    ("{{ loop.__class__.x }}", ""),
    ("{{ '{0.__class__.__mro__}'.format('') }}", "unsafe"),
    ("{{ joiner.x.y }}", ""),
    ("{{ messages.append(1) }}", "unsafe"),
    ("{{ messages[0].update(a=1) }}", "unsafe"),
    ("{{ messages[0].clear() }}", "unsafe"),
]


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatTemplate]:
    template = ChatTemplate({source: source for source, _ in HARM})
    yield template
    template.close()


@pytest.mark.parametrize(("source", "words"), HARM, ids=lambda text: text[:60])
def test_it_fails_and_says_why(chat: ChatTemplate, source: str, words: str) -> None:
    with pytest.raises(ChatError) as refusal:
        chat.render(USER, template=source)
    assert words in str(refusal.value)
    assert len(str(refusal.value)) < 1100


def test_it_harms_only_its_own_prompt() -> None:
    """It lists 2^40 elements where it is asked to: stopped, and the next prompt is rendered."""
    chat = ChatTemplate("{% if messages[0].content == 'explode' %}" + TREE + "{{ n.x }}{% endif %}fine")
    try:
        with pytest.raises(ChatError):
            chat.render([{"role": "user", "content": "explode"}])
        assert chat.render(USER) == "fine"
    finally:
        chat.close()


def test_a_thousand_templates_cost_nothing_until_one_is_asked_for() -> None:
    slow = "{{ 10 ** (10 ** 10) }}"
    chat = ChatTemplate({"default": "fine", **{f"t{i}": slow for i in range(1000)}})
    try:
        assert chat.render(USER) == "fine"
    finally:
        chat.close()


def test_nothing_is_left_from_one_prompt_to_the_next() -> None:
    source = "{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{{ messages[0].seen }}{% set seen = 1 %}"
    chat = ChatTemplate(source)
    try:
        assert [chat.render(USER) for _ in range(3)] == ["1"] * 3
    finally:
        chat.close()


CONFINED = """
import os, socket, sys
sys.path[:0] = [{source!r}]
from ostinato.templates.confinement import confine
confine()
def attempt(act):
    try:
        act()
        return "done"
    except MemoryError:
        return "no memory"
    except OSError as error:
        return error.errno
print([attempt(act) for act in (
    lambda: open("/etc/passwd"), lambda: open({path!r}, "w"), lambda: os.listdir("/"), os.fork, socket.socket,
    lambda: os.kill(os.getppid(), 0), lambda: bytearray(1 << 30), lambda: os.execv("/bin/true", ["true"]), os.pipe,
)], flush=True)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ARCHITECTURES,
    reason="system calls are filtered on Linux (x86-64, arm64) only",
)
def test_behind_the_walls_nothing_is_left_to_do(tmp_path: Path) -> None:
    """What a template could do if it escaped from Jinja2."""
    script = CONFINED.format(source=str(ROOT / "src"), path=str(tmp_path / "new"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    eperm = 1
    assert eval(done.stdout) == [eperm, eperm, eperm, eperm, eperm, eperm, "no memory", eperm, eperm]
    assert not (tmp_path / "new").exists()


def test_the_worker_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    chat = ChatTemplate("x")
    try:
        assert chat.render(USER) == "x"
        child = chat._renderer._child
        assert child is not None
        if Path(f"/proc/{child.pid}/environ").exists():
            assert b"secret" not in Path(f"/proc/{child.pid}/environ").read_bytes()
    finally:
        chat.close()


@pytest.mark.parametrize(
    "answer", ["", "{", "[]", "1", '{"text": 1}', '{"error": []}', "[" * 100_000, '{"text": "\\ud800"}' * 2, "\xff"]
)
def test_a_worker_is_not_believed(answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    liar = tmp_path / "liar"
    liar.write_text(f"#!{sys.executable}\nprint({answer!r}, flush=True)\ninput(); input()\n")
    liar.chmod(0o755)
    monkeypatch.setattr("ostinato.templates.renderer.sys.executable", str(liar))
    renderer = Renderer({"default": "x"})
    with pytest.raises(RenderError):
        renderer.render({"template": "default"})
    renderer.close()


def test_a_worker_that_dies_over_long_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.templates.renderer.sys.executable", "/bin/false")
    chat = ChatTemplate(" " * (4 << 20))  # more than a pipe holds
    chat.start()
    for _ in range(2):
        with pytest.raises(ChatError, match="it was stopped"):
            chat.render(USER)
    chat.close()


def test_the_worker_ends_with_its_input() -> None:
    command = [sys.executable, "-m", "ostinato.templates.worker"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    lines = json.dumps({"default": "x"}) + "\n"
    done = subprocess.run(command, input=lines.encode(), env=environment, capture_output=True, timeout=60, check=True)
    assert done.stdout == b""


def test_modules_beside_a_model_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that was downloaded may hold a jinja2.py of its own."""
    (tmp_path / "jinja2.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    chat = ChatTemplate("fine")
    try:
        assert chat.render(USER) == "fine"
    finally:
        chat.close()
