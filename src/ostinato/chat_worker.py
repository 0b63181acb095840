"""The child process that renders chat templates: a line of JSON in, a line of JSON out.

The first line holds the template. Templates are Jinja as `transformers` sets it up (apply_chat_template: trimmed
blocks, tojson without escapes, raise_exception, strftime_now), run by minijinja with fuel. Fuel counts
instructions, not bytes: a template can double a string forty times in forty steps, hence the process limits.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from datetime import datetime
from typing import Any

from minijinja import Environment, TemplateError

MEMORY = 512 << 20  # bytes of address space (the system allocator aborts beyond; macOS does not enforce it)
SECONDS = 1  # of processor time per rendering, at least; a second more at most
FUEL = 10_000_000  # instructions; the longest template in the tests uses about a thousand per message
MAX_TEXT = 8 << 20  # characters

# `{% generation %}` marks the model's own words for training; for prompts it says nothing.
GENERATION = re.compile(r"(\{%[-+]?\s*)(generation|endgeneration)(\s*[-+]?%\})")


def make_environment(source: str) -> Environment:
    """The template, named "chat", with what templates expect to find. Raises TemplateError."""
    source = GENERATION.sub(_plain_block, source)
    return Environment(
        templates={"chat": source},
        fuel=FUEL,
        debug=False,
        trim_blocks=True,
        lstrip_blocks=True,
        filters={"tojson": to_json},
        tests={"iterable": is_iterable},
        globals={"raise_exception": raise_exception, "strftime_now": strftime_now},
        auto_escape_callback=lambda name: False,
    )


def _plain_block(match: re.Match[str]) -> str:
    return match[1] + ("if true" if match[2] == "generation" else "endif") + match[3]


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML escapes, as templates were written against."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def is_iterable(value: Any) -> bool:
    """As Jinja2 sees it: None is not (minijinja's own test says it is)."""
    return hasattr(value, "__iter__")


def raise_exception(message: str) -> None:
    """How a template refuses messages."""
    raise ValueError(message)


def strftime_now(format: str) -> str:
    """The local time, by strftime's format."""
    return datetime.now().strftime(format)


def render(environment: Environment, context: dict[str, Any]) -> str:
    """The text. Raises TemplateError, ValueError."""
    text = str(environment.render_template("chat", tools=None, documents=None, **context))
    if len(text) > MAX_TEXT:
        raise ValueError(f"it wrote {len(text)} characters; at most {MAX_TEXT} are taken")
    return text


def _limit_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time() -> None:
    """Whole seconds of processor time, counted from the start of the process; the signal ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + SECONDS, hard))


def _answer(environment: Environment, constants: dict[str, str], line: str) -> dict[str, str]:
    _limit_time()
    try:
        return {"text": render(environment, {**constants, **json.loads(line)})}
    except TemplateError as error:
        return {"error": f"line {error.line}: {error.detail or error.message}"}
    except (ValueError, TypeError) as error:
        return {"error": str(error)}


def main() -> None:
    """Serves renderings until standard input ends."""
    _limit_memory()
    _limit_time()
    constants = json.loads(sys.stdin.readline())
    environment = make_environment(constants.pop("source"))
    for line in sys.stdin:
        print(json.dumps(_answer(environment, constants, line)), flush=True)


if __name__ == "__main__":
    main()
