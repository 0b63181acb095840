"""Chat templates: the same text as Jinja2 set up as `transformers` does, and templates that mean harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jinja2
import jinja2.ext
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ostinato.chat import ChatError, ChatTemplate
from ostinato.chat_worker import make_environment, render

CONVERSATIONS = [
    [{"role": "user", "content": "Hello\n <there> & 'you'"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": " 1+1 "},
    ],
]
DATE = "26 Jul 2024"


class Generation(jinja2.ext.Extension):
    """`transformers`' {% generation %} block."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def oracle(source: str, **context: object) -> str | None:
    """What Jinja2 makes of it; None for a refusal. Raises TypeError where Python itself objects (len(None))."""

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals.update(raise_exception=refuse, strftime_now=lambda form: DATE)
    try:
        return environment.from_string(source).render(tools=None, documents=None, **context)
    except jinja2.TemplateError:
        return None


def ours(source: str, **context: object) -> str | None:
    """What minijinja makes of it, at the oracle's date."""
    try:
        environment = make_environment(source)
        environment.add_global("strftime_now", lambda form: DATE)
        return render(environment, dict(context))
    except (RuntimeError, ValueError):
        return None


def test_real_templates_render_as_jinja2_does(data_dir: Path) -> None:
    paths = sorted((data_dir / "templates").glob("*.jinja"))
    assert len(paths) >= 30
    rendered = 0
    for path in paths:
        source = path.read_text()
        for messages in CONVERSATIONS:
            for prompt in (True, False):
                context = {
                    "messages": messages, "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>",
                }  # fmt: skip
                try:
                    expected = oracle(source, **context)
                except TypeError:
                    continue  # minijinja is kinder: None has no elements
                assert ours(source, **context) == expected, path.name
                rendered += expected is not None
    assert rendered > 3 * len(paths)


@pytest.fixture
def template() -> Iterator[ChatTemplate]:
    chat = ChatTemplate("{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}", "<s>")
    yield chat
    chat.close()


def test_rendering(template: ChatTemplate) -> None:
    assert template.render([{"role": "user", "content": "é😀\n"}]) == "<s>[user]é😀\n"
    assert template.render([{"role": "user", "content": "x" * 2_000_000}]).endswith("xxx")
    assert template.render(CONVERSATIONS[1]).count("[") == 4


def test_it_starts_again_after_close(template: ChatTemplate) -> None:
    template.start()
    template.close()
    assert template.render(CONVERSATIONS[0]).startswith("<s>[user]Hello")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("a\n{{ messages | nofilter }}", "line 2"),
        ("{% if %}", "line 1"),
        ("{% for %}", "line 1"),
        ("{{ messages.x.y.z }}", "undefined"),
        ("{% include '/etc/passwd' %}", "non-existing template"),
        ("{% include 'chat' %}", "line 1"),
        ("{{ 'x' * 10000000000 }}", "too large"),
        ("{% for i in range(1000000000) %}x{% endfor %}", "too many"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{{ " + "(" * 100_000, "recursion"),
        ("{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}", "fuel"),
        ("{% set n = namespace(x='aa') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "stopped"),
        ("{{ (range(100000) | join('x' * 100000)) | length }}", "stopped"),
        ("{{ '%10000000000d' | format(3) }}", ""),
        ("{{ 'x' * 9000000 }}", "characters"),
    ],
)  # fmt: skip
def test_templates_that_fail_or_mean_harm(source: str, words: str) -> None:
    chat = ChatTemplate(source)
    try:
        with pytest.raises(ChatError) as refusal:
            chat.render(CONVERSATIONS[0])
        assert words in str(refusal.value)
        assert len(str(refusal.value)) < 300
    finally:
        chat.close()


def test_a_template_that_runs_away_harms_only_its_own_prompt() -> None:
    """It lists 2^40 elements where it is asked to: stopped, and the next prompt gets a new child."""
    chat = ChatTemplate(
        "{% if messages[0].content == 'explode' %}{% set n = namespace(x=[1]) %}"
        "{% for i in range(40) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}{% endif %}fine"
    )
    try:
        with pytest.raises(ChatError, match="stopped"):
            chat.render([{"role": "user", "content": "explode"}])
        assert chat.render([{"role": "user", "content": "hello"}]) == "fine"
    finally:
        chat.close()


def test_what_a_template_says_is_cut() -> None:
    template = ChatTemplate("{{ raise_exception('x' * 3000000) }}")
    with pytest.raises(ChatError) as error:
        template.render(CONVERSATIONS[0])
    template.close()
    assert len(str(error.value)) < 2000


def test_a_child_that_dies_over_a_long_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.chat.sys.executable", "/bin/false")
    template = ChatTemplate(" " * (4 << 20))  # more than a pipe holds
    template.start()
    for _ in range(2):
        with pytest.raises(ChatError, match="it was stopped"):
            template.render(CONVERSATIONS[0])
    template.close()
