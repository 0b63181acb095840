"""Chat on a terminal: texts in, answers out. Ctrl-C stops an answer, Ctrl-D leaves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ostinato.cli.lines import Lines, plain
from ostinato.cli.output import bold, dim, one_line, printable
from ostinato.cli.session import Session
from ostinato.cli.slash import candidates, obey
from ostinato.cli.speaker import report
from ostinato.cli.typeahead import unechoed

if TYPE_CHECKING:
    from ostinato.cli.settings import Values
    from ostinato.cli.speaker import Speaker, Spoken

HINT = "/help lists what can be said; Ctrl-C stops an answer, Ctrl-D leaves."


def converse(speaker: Speaker, values: Values) -> int:
    """Until Ctrl-D or /bye. A model without a template continues each text by itself."""
    session = Session(speaker.name, values)
    lines = Lines(candidates)
    facts = f"{speaker.spec.architecture}, on {speaker.backend}, a context of {speaker.model.context:,} tokens"
    print(f"{bold(one_line(speaker.name))}  {dim(one_line(facts))}\n{dim(HINT)}")
    if speaker.template is None:
        print(dim("no chat template: each text is continued as it is"))
    while session.open and (text := lines.read()) is not None:
        if text.startswith("/"):
            _obey(session, text)
        elif text:
            _turn(speaker, session, plain(text))
    return 0


def _obey(session: Session, line: str) -> None:
    """A command; what is wrong with it is said, and the chat goes on."""
    try:
        answer = obey(session, line)
    except (ValueError, OSError) as error:
        answer = str(error)
    if answer:
        print(dim(printable(answer)))


def _turn(speaker: Speaker, session: Session, text: str) -> None:
    """One question and its answer; a question that cannot be asked is taken back."""
    session.messages.append({"role": "user", "content": text})
    try:
        with unechoed():
            spoken = speaker.say(speaker.encode(session.prompt()), session.values)
    except (ValueError, RuntimeError) as error:
        session.messages.pop()
        print(dim(printable(str(error)) + ("; /clear starts afresh" if session.messages else "")))
        return
    except KeyboardInterrupt:
        session.messages.pop()
        print(dim(" (given up)"), end="\n\n")
        return
    if spoken.stopped and not spoken.text:
        session.messages.pop()  # it was taken back before it was answered
    else:
        session.messages.append({"role": "assistant", "content": spoken.text})
    print(dim(_ending(spoken, speaker.model.context)), end="\n\n", flush=True)
    if session.values["verbose"]:
        print(report(spoken), end="\n\n", file=sys.stderr)


def _ending(spoken: Spoken, context: int) -> str:
    """What follows an answer that did not end by itself."""
    if spoken.stopped:
        return " (stopped)"
    return f" (the context of {context} tokens is full; /clear starts afresh)" if spoken.cut else ""
