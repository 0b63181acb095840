"""What can be said to a chat itself: lines that begin with "/"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ostinato.cli.lines import plain
from ostinato.cli.output import one_line, table_lines, unfolded
from ostinato.cli.places import saved_names, session_file
from ostinato.cli.session import Session
from ostinato.cli.settings import SETTINGS

DEFAULT = "default"  # /set NAME default


def obey(session: Session, line: str) -> str:
    """Carries out a line; returns what there is to say. Raises ValueError or OSError, with nothing changed."""
    name, _, rest = line[1:].partition(" ")
    command = COMMANDS.get(ALIASES.get(name, name))
    if command is None:
        raise ValueError(_unknown(name, [*COMMANDS, *ALIASES], "command /", "/help lists them"))
    return command.run(session, rest.strip())


def candidates(line: str) -> list[str]:
    """What the line's last word may become."""
    command, space, rest = line.partition(" ")
    if not space:
        return [f"/{name} " for name in COMMANDS if f"/{name}".startswith(command)]
    if command == "/set":
        return [f"{name} " for name in SETTINGS if name.startswith(rest)]
    return [name for name in saved_names() if name.startswith(rest)] if command in ("/save", "/load") else []


def _help(session: Session, argument: str) -> str:
    rows = [(command.usage, command.text) for command in COMMANDS.values()]
    rows += [('"""', "begins and ends a text of several lines"), ("\\", "at its end, continues a line")]
    rows += [("Ctrl-C", "stops an answer"), ("Ctrl-D", "leaves")]
    saved = saved_names()
    return _columns(rows) + (f"\nsaved: {', '.join(map(one_line, saved))}" if saved else "")


def _set(session: Session, argument: str) -> str:
    name, _, text = argument.partition(" ")
    if not name:
        rows = [(key, setting.show(session.values[key]), setting.text) for key, setting in SETTINGS.items()]
        return _columns([(key, one_line(value)[:40], text) for key, value, text in rows])
    setting = SETTINGS.get(name.replace("-", "_"))
    if setting is None:
        raise ValueError(_unknown(name, list(SETTINGS), "setting ", "/set lists them"))
    if text:
        value = session.initial[setting.name] if text == DEFAULT else setting.parse(plain(text))
        session.values[setting.name] = value
    return f"{setting.name} {setting.show(session.values[setting.name])}"


def _clear(session: Session, argument: str) -> str:
    session.messages.clear()
    return "what was said is forgotten; the settings stay"


def _save(session: Session, argument: str) -> str:
    path = session_file(_named(argument, "/save"))
    session.save(path)
    return f"saved as {path}"


def _load(session: Session, argument: str) -> str:
    path = session_file(_named(argument, "/load"))
    model = session.load(path)
    other = f" (a conversation with {one_line(model)})" if model != session.model else ""
    count = sum(message["role"] == "user" for message in session.messages)
    return f"{count} question{'' if count == 1 else 's'} and their answers, and the settings{other}"


def _bye(session: Session, argument: str) -> str:
    session.open = False
    return ""


@dataclass(frozen=True)
class SlashCommand:
    """A line of /help, and what it does: (session, argument) -> what to say."""

    usage: str
    text: str
    run: Callable[[Session, str], str]


COMMANDS = {
    "help": SlashCommand("/help", "this list", _help),
    "set": SlashCommand("/set [NAME [VALUE]]", f"the settings; change one (VALUE {DEFAULT}: as it was)", _set),
    "clear": SlashCommand("/clear", "forget what was said", _clear),
    "save": SlashCommand("/save NAME", "keep the conversation and its settings (NAME, or a path to a .json)", _save),
    "load": SlashCommand("/load NAME", "go on with a saved one", _load),
    "bye": SlashCommand("/bye", "leave", _bye),
}
ALIASES = {"?": "help", "exit": "bye", "quit": "bye"}


def _named(argument: str, command: str) -> str:
    if not argument:
        raise ValueError(f"{command} NAME: what name?")
    return argument


def _unknown(name: str, known: list[str], what: str, where: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    mark = "/" if what.endswith("/") else ""
    return f"there is no {what}{one_line(name)[:40]}; " + (f"{mark}{near[0]}, perhaps?" if near else where)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """A table, set in a little."""
    return "\n".join(table_lines(unfolded([(f"  {first}", *others) for first, *others in rows])))
