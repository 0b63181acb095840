"""The process that renders chat templates: a line of JSON in, a line of JSON out (renderer.py is the other end).

The first line holds the sources by name; each later one a question: {template, now, variables} -> {text} or {error,
line}. Run as `python -m ostinato.templates.worker`.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ostinato.templates.confinement import MEMORY, TooLong, confine, limited_time
from ostinato.templates.environment import Environment, failed_line, render

if TYPE_CHECKING:
    from jinja2 import Template

# What Jinja2 and Python import late. Afterwards there are no files.
LATE_MODULES = ("html", "jinja2.constants", "jinja2.debug", "pprint", "textwrap", "unicodedata")
LATE_CODECS = ("ascii", "latin-1", "unicode-escape", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32")

MAX_TEXT = 8 << 20  # characters
MAX_ERROR = 1000  # characters of what a template says against its messages

Answer = dict[str, str | int | None]


class Worker:
    """Templates by name, compiled when first asked for."""

    def __init__(self, sources: dict[str, str]) -> None:
        self._environment = Environment()
        self._sources = sources
        self._compiled: dict[str, Template] = {}

    def answer(self, question: dict[str, Any]) -> Answer:
        """The text, or what went wrong and in which line."""
        name = question["template"]
        try:
            with limited_time():
                self._environment.now = datetime.fromisoformat(question["now"])
                return {"text": render(self._template(name), question["variables"], MAX_TEXT)}
        except (Exception, TooLong) as error:
            return {"error": _words(error), "line": failed_line(error, self._compiled.get(name))}

    def prepare(self, name: str) -> None:
        """Compiles what will be asked for first; if it does not compile, that is said when it is asked for."""
        with contextlib.suppress(Exception, TooLong), limited_time():
            self._template(name)

    def _template(self, name: str) -> Template:
        if name not in self._compiled:
            self._compiled[name] = self._environment.from_string(self._sources[name])
        return self._compiled[name]


def _words(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"it needs more than {MEMORY >> 20} MiB of memory"
    return (str(error) or type(error).__name__)[:MAX_ERROR]


def main() -> None:
    """Serves questions until standard input ends."""
    for module in LATE_MODULES:
        importlib.import_module(module)
    for codec in LATE_CODECS:
        codecs.lookup(codec)
    confine()
    worker = Worker(json.loads(sys.stdin.readline()))
    worker.prepare("default")
    for line in sys.stdin:
        print(json.dumps(worker.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
