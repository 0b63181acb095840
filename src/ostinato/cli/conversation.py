"""Chat on a terminal: lines in, answers out. Ctrl-C stops an answer, Ctrl-D leaves."""

from __future__ import annotations

import readline  # noqa: F401 (importing it gives input() editing and history)
from typing import TYPE_CHECKING, Any

from ostinato.chat import ChatError
from ostinato.cli.interrupt import Interruptible
from ostinato.cli.output import bold, dim, one_line
from ostinato.cli.run import show

if TYPE_CHECKING:
    from ostinato.api import Model
    from ostinato.chat import ChatEncoder

HINT = "Ctrl-C stops an answer, Ctrl-D leaves, /clear starts afresh."
PROMPT = ">>> "


def converse(title: str, model: Model, template: ChatEncoder | None, settings: dict[str, Any]) -> int:
    """Until Ctrl-D. A model without a template continues each line by itself."""
    print(f"{bold(one_line(title))}  {dim(HINT)}")
    messages: list[dict[str, str]] = []
    while (line := _ask()) is not None:
        if line == "/clear":
            messages.clear()
        elif line:
            _turn(model, template, settings, messages, line)
    return 0


def _ask() -> str | None:
    """The next line; "" for one that Ctrl-C gave up, None at the end."""
    try:
        return input(PROMPT).strip()
    except KeyboardInterrupt:
        print()
        return ""
    except EOFError:
        print()
        return None


def _turn(
    model: Model,
    template: ChatEncoder | None,
    settings: dict[str, Any],
    messages: list[dict[str, str]],
    line: str,
) -> None:
    """One question and its answer; a question that cannot be asked is taken back."""
    messages.append({"role": "user", "content": line})
    try:
        ids = model.tokenize(line) if template is None else template.encode(messages)
        answer = _answer(model, ids, settings)
    except (ChatError, ValueError) as error:
        messages.pop()
        print(dim(f"{error}; /clear starts afresh"))
        return
    messages.append({"role": "assistant", "content": answer})


def _answer(model: Model, ids: list[int], settings: dict[str, Any]) -> str:
    """What was shown, also of an answer that was stopped: the conversation goes on from there."""
    pieces = []
    with Interruptible() as interrupt:
        for piece in interrupt.until(model.stream(ids, **settings)):
            show(piece)
            pieces.append(piece)
    print(dim(" (stopped)") if interrupt.came else "", end="\n\n")
    return "".join(pieces)
