"""`ostinato completion bash|zsh|fish`: a script for that shell, made from the commands' own parsers."""

from __future__ import annotations

import argparse
import importlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass

INSTALL = """\
  bash   ostinato completion bash > ~/.local/share/bash-completion/completions/ostinato
  zsh    ostinato completion zsh > "${fpath[1]}/_ostinato"
  fish   ostinato completion fish > ~/.config/fish/completions/ostinato.fish
"""


@dataclass(frozen=True)
class Option:
    """An option of a command: its names, what it says, and what may follow it."""

    names: tuple[str, ...]
    text: str
    takes_value: bool
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command: its options, and the words that it takes where they are known (otherwise it takes files)."""

    name: str
    text: str
    options: tuple[Option, ...]
    words: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"install it with:\n{INSTALL}"
    parser.add_argument("shell", choices=tuple(SHELLS), help="the shell that is to read it")


def run(options: argparse.Namespace) -> int:
    print(SHELLS[options.shell](commands()))
    return 0


def commands() -> list[Command]:
    """Every command, as its parser describes it."""
    from ostinato.cli.main import COMMANDS, command_parser

    found = []
    for name, text in COMMANDS.items():
        parser = command_parser(name, importlib.import_module(f"ostinato.cli.{name}"))
        actions = parser._actions
        options = tuple(_option(action) for action in actions if action.option_strings)
        words = tuple(str(word) for action in actions if not action.option_strings for word in action.choices or ())
        found.append(Command(name, text, options, words))
    return found


def _option(action: argparse.Action) -> Option:
    text = action.help if action.help and action.help != argparse.SUPPRESS else ""
    choices = tuple(map(str, action.choices or ()))
    return Option(tuple(action.option_strings), text.replace("%%", "%"), action.nargs != 0, choices)


def bash(found: list[Command]) -> str:
    """`complete -F`: options after a dash, known words, otherwise files."""
    cases = [
        f"    {command.name}) options={shlex.quote(_names(command))} words={shlex.quote(' '.join(command.words))} ;;"
        for command in found
    ]
    values = [
        f"    {command.name}:{name}) words={shlex.quote(' '.join(option.choices))} options=; known=1 ;;"
        for command in found
        for option in command.options
        for name in option.names
        if option.choices
    ]
    return BASH.format(
        commands=" ".join(command.name for command in found), cases="\n".join(cases), values="\n".join(values)
    )


def _names(command: Command) -> str:
    return " ".join(name for option in command.options for name in option.names)


def zsh(found: list[Command]) -> str:
    """`#compdef` with `_arguments`."""
    listing = "\n".join(f"    {_zsh_quoted(f'{command.name}:{command.text}')}" for command in found)
    cases = []
    for command in found:
        specs = [_zsh_option(option, name) for option in command.options for name in option.names]
        specs.append(f"*:word:({' '.join(command.words)})" if command.words else "*:file:_files")
        cases.append(f"    {command.name}) _arguments {' '.join(map(_zsh_quoted, specs))} ;;")
    return ZSH.format(listing=listing, cases="\n".join(cases))


def _zsh_option(option: Option, name: str) -> str:
    text = option.text.translate({ord(c): f"\\{c}" for c in "\\[]:"})
    values = f"({' '.join(option.choices)})" if option.choices else ""
    return f"*{name}[{text}]" + (f":value:{values}" if option.takes_value else "")


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def fish(found: list[Command]) -> str:
    """`complete` lines."""
    names = " ".join(command.name for command in found)
    lines = []
    for command in found:
        lines.append(
            f"complete -c ostinato -f -n 'not __fish_seen_subcommand_from {names}' -a {command.name}"
            f" -d {_fish_quoted(command.text)}"
        )
        here = f"complete -c ostinato -n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            lines.append(f"{here} -f -a {_fish_quoted(' '.join(command.words))}")
        lines += [f"{here} {_fish_option(option)}" for option in command.options]
    return "\n".join(lines)


def _fish_option(option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    values = f" -f -a {_fish_quoted(' '.join(option.choices))}" if option.choices else ""
    return f"{names}{' -r' if option.takes_value else ''}{values} -d {_fish_quoted(option.text)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[list[Command]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}

BASH = """\
_ostinato() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} name= at options= words= known=
  for ((at = 1; at < COMP_CWORD; at++)); do
    [[ ${{COMP_WORDS[at]}} != -* ]] && {{ name=${{COMP_WORDS[at]}}; break; }}
  done
  if [[ -z $name ]]; then
    COMPREPLY=($(compgen -W '{commands} --help --version --debug' -- "$word"))
    return
  fi
  case $name in
{cases}
  esac
  case $name:$before in
{values}
  esac
  if [[ $word == -* && -z $known ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  else
    compopt -o filenames 2>/dev/null
    local IFS=$'\\n'
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -F _ostinato ostinato"""

ZSH = """\
#compdef ostinato
_ostinato() {{
  local -a commands=(
{listing}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local name=$words[2]
  shift words
  (( CURRENT-- ))
  case $name in
{cases}
  esac
}}
if [[ $funcstack[1] == _ostinato ]]; then
  _ostinato "$@"
else
  compdef _ostinato ostinato
fi"""
