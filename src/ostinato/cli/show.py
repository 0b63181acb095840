"""`ostinato show [MODEL]`: what a model file is. An overview, or the parts of it that are asked for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.options import BUILTIN, MODEL_HELP, add_json, add_kv_type, kv_type, positions, positive
from ostinato.cli.output import bold, dim, one_line, print_json, print_table, printable, size, table_lines, unfolded

if TYPE_CHECKING:
    from ostinato.backends.contract import KVType
    from ostinato.cli.overview import Meaning
    from ostinato.gguf.reader import GGUFFile

LONG_TEXT = 120  # characters of a metadata value that are shown
SHORT_ARRAY = 8  # elements
SECTIONS = {
    "metadata": "its keys and values",
    "tensors": "names, types, shapes and sizes",
    "spec": "what the engine takes it for",
    "template": "how its chats are written, in Jinja",
    "program": "what it computes, with the cost of each step",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", default=BUILTIN, help=MODEL_HELP)
    sections = parser.add_argument_group("instead of the overview")
    for name, text in SECTIONS.items():
        sections.add_argument(f"--{name}", action="store_true", help=text)
    add_kv_type(parser.add_argument_group("memory in the overview, and costs of --program"))
    cost = parser.add_argument_group("costs of --program")
    cost.add_argument("--rows", type=positive, metavar="T", help="rows of the step (default: 1)")
    cost.add_argument("--context", type=positions, metavar="N", help="positions each row attends to (default: all)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    if (options.rows or options.context) and not options.program:
        raise CliError("--rows and --context are about --program", USAGE)
    wanted = [name for name in SECTIONS if getattr(options, name)]
    if options.kv_type and wanted and not (options.program or options.json):
        raise CliError("--kv-type is about the overview and --program", USAGE)

    from ostinato.cli.overview import Meaning
    from ostinato.gguf.reader import open_gguf

    with open_gguf(options.model) as file:
        meaning = Meaning.of(file)
        if options.json:
            print_json(_as_json(file, meaning, wanted, options))
            return 0
        if not wanted:
            _print_overview(file, meaning, kv_type(options))
        for index, name in enumerate(wanted):
            if len(wanted) > 1:
                print(("\n" if index else "") + bold(name))
            for line in _section(name, file, meaning, options):
                print(line)
    return 0


def _print_overview(file: GGUFFile, meaning: Meaning, kept: KVType | None) -> None:
    from ostinato.cli.overview import facts, lines, title

    print(bold(one_line(title(file))))
    print_table(unfolded([(f"  {name}", text) for name, text in lines(facts(file, meaning, kept))]))
    print(dim("\nmore: " + " ".join(f"--{name}" for name in SECTIONS)))


def _section(name: str, file: GGUFFile, meaning: Meaning, options: argparse.Namespace) -> Iterator[str]:
    """Its lines. Raises CliError or ValueError where the file has none."""
    match name:
        case "metadata":
            yield from table_lines([(key, _value(value)) for key, value in file.metadata.items()], ("KEY", "VALUE"))
        case "tensors":
            rows = [(t.name, t.type.name, _shape(t.shape), size(t.nbytes)) for t in file.tensors.values()]
            yield from table_lines(rows, ("TENSOR", "TYPE", "SHAPE", "SIZE"), right=(3,))
        case "spec":
            yield from map(printable, _spec(meaning))
        case "template":
            yield printable(_template(file))
        case _:
            yield printable(_program(file, meaning, options))


def _spec(meaning: Meaning) -> Iterator[str]:
    from ostinato.cli.spec_text import spec_lines

    if meaning.spec is None:
        raise ValueError(meaning.reason)
    return spec_lines(meaning.spec)


def _template(file: GGUFFile) -> str:
    template = file.metadata.get("tokenizer.chat_template")
    if not isinstance(template, str):
        raise CliError("the file has no chat template")
    return template


def _program(file: GGUFFile, meaning: Meaning, options: argparse.Namespace) -> str:
    """The listing of every program, with operations and bytes of each instruction."""
    from ostinato.engine.loading import kv_type_of
    from ostinato.program.ops_table import Load
    from ostinato.program.printer import format_program

    if meaning.spec is None or meaning.programs is None:
        raise ValueError(meaning.reason)
    kept = kv_type(options) or kv_type_of(file)
    context = options.context or meaning.spec.context
    load = Load(rows=options.rows or 1, logit_rows=1, context=context, kv_bytes=kept.element_bytes)
    return "\n\n".join(format_program(program, file.tensors, load) for program in meaning.programs)


def _as_json(file: GGUFFile, meaning: Meaning, wanted: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """The overview and the metadata always, the rest where it is asked for."""
    from ostinato.cli.overview import facts, title

    found: dict[str, Any] = {
        "path": str(file.path),
        "name": title(file),
        "overview": facts(file, meaning, kv_type(options)),
        "metadata": {key: _json_value(value) for key, value in file.metadata.items()},
    }
    for name in wanted:
        if name == "tensors":
            found[name] = [
                {"name": t.name, "type": t.type.name, "shape": list(t.shape), "bytes": t.nbytes}
                for t in file.tensors.values()
            ]
        elif name == "template":
            found[name] = _template(file)
        elif name != "metadata":
            found[name] = "\n".join(_section(name, file, meaning, options)).split("\n")
    return found


def _value(value: Any) -> str:
    """A metadata value on one line, long ones cut."""
    from ostinato.gguf.values import ArrayView

    if isinstance(value, ArrayView):
        return _array(value)
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= LONG_TEXT else f"{text[:LONG_TEXT]}… ({len(text)} characters)"


def _array(value: Any) -> str:
    if len(value) <= SHORT_ARRAY:
        return "[" + ", ".join(_value(element) for element in value) + "]"
    return f"{len(value)} x {value.type.name.lower()}"


def _json_value(value: Any) -> Any:
    """Short arrays whole; of long ones their type and length."""
    from ostinato.gguf.values import ArrayView

    if isinstance(value, ArrayView):
        if len(value) <= SHORT_ARRAY:
            return [_json_value(element) for element in value]
        return {"array_of": value.type.name.lower(), "length": len(value)}
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
