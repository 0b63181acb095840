"""Jinja as chat templates expect it: set up as `transformers` does for `apply_chat_template`, and closed further.

Jinja2's own sandbox keeps a template from Python's internals and from changing what it was given. Here, besides, only
values of JSON and Jinja's own helpers have attributes at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import LoopContext, Macro, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Namespace

FILE = "<template>"  # what Jinja2 calls the code of a template that came from no file


class Environment(ImmutableSandboxedEnvironment):
    """Compiles chat templates. `now` is the time that they are told."""

    now: datetime

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationExtension, LoopControlExtension])
        self.now = datetime.now()
        self.filters["tojson"] = to_json
        self.globals.update(
            raise_exception=raise_exception,
            strftime_now=lambda format: self.now.strftime(format),
            dict=DictFactory(),
            namespace=ChatNamespace,
        )

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may see `obj.attr`."""
        return isinstance(obj, OPEN_TYPES) and super().is_safe_attribute(obj, attr, value)


class GenerationExtension(Extension):
    """`{% generation %}` marks the model's own words for training. In a prompt it is a scope and nothing more."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        """The block, called as a macro would be: what is set inside stays inside."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_words"), [], [], body).set_lineno(line)

    def _words(self, caller: Callable[[], str]) -> str:
        return caller()


class DictFactory:
    """`dict` in a template: makes dicts, and is no class whose attributes lead further."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """As dict's."""
        return dict.fromkeys(*args)


class ChatNamespace(Namespace):
    """`namespace` in a template; like `transformers`' it takes no name that begins with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args  # so that `namespace(self=1)` works
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


# What a template may ask attributes of: JSON's values and what their methods return, loops, macros and the like.
OPEN_TYPES: tuple[type, ...] = (
    str, bytes, int, float, list, tuple, dict, type({}.keys()), type({}.values()), type({}.items()), range,
    LoopContext, Macro, TemplateReference, Cycler, Namespace, DictFactory,
)  # fmt: skip


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}: its name begins with an underscore")


def to_json(
    x: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter `tojson`: without HTML escapes, with json.dumps' own options (and parameter name `x`)."""
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message: Any) -> None:
    """How a template refuses messages."""
    raise TemplateError(message)


def render(template: Template, variables: dict[str, Any], limit: int) -> str:
    """The text. Raises what the template raises; ValueError beyond `limit` characters."""
    parts, length = [], 0
    # Template.render() does the same, but rewrites tracebacks where it fails and has no limit.
    for part in template.root_render_func(template.new_context(variables)):
        parts.append(part)
        length += len(part)
        if length > limit:
            raise ValueError(f"it wrote more than {limit} characters")
    return "".join(parts)


def failed_line(error: BaseException, template: Template | None) -> int | None:
    """The line of the template that an error of compiling (no template yet) or rendering comes from, where known."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return None if line is None or template is None else template.get_corresponding_lineno(line)
