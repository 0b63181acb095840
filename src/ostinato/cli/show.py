"""`ostinato show MODEL`: what a model file is. Metadata and a summary; tensors and the program on request."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING, Any

from ostinato.cli.options import add_json, positive
from ostinato.cli.output import bold, print_json, print_table, printable, size

if TYPE_CHECKING:
    from ostinato.gguf.reader import GGUFFile
    from ostinato.gguf.values import ArrayView
    from ostinato.model.spec import ModelSpec

LONG_TEXT = 120  # characters of a metadata value that are shown
SHORT_ARRAY = 8  # elements


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a GGUF file")
    parser.add_argument("--tensors", action="store_true", help="list the tensors")
    parser.add_argument("--program", action="store_true", help="print what it computes, with the cost of each step")
    parser.add_argument("--rows", type=positive, default=1, metavar="T", help="rows of the step that costs are for")
    parser.add_argument("--context", type=positive, metavar="N", help="positions each row attends to (default: all)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from ostinato.gguf.reader import open_gguf
    from ostinato.model.architectures import read_spec

    with open_gguf(options.model) as file:
        try:
            spec, reason = read_spec(file), ""
        except ValueError as error:
            spec, reason = None, str(error)
        if options.program and spec is None:
            raise ValueError(reason)
        if options.json:
            print_json(_as_json(file, spec, reason, options))
        else:
            _print(file, spec, reason, options)
    return 0


def _print(file: GGUFFile, spec: ModelSpec | None, reason: str, options: argparse.Namespace) -> None:
    if options.program and spec is not None:
        print(_program(file, spec, options))
        return
    if options.tensors:
        rows = [(t.name, t.type.name, _shape(t.shape), size(t.nbytes)) for t in file.tensors.values()]
        print_table(rows, ("TENSOR", "TYPE", "SHAPE", "SIZE"), right=(3,))
        return
    print(bold(printable(spec.name if spec is not None and spec.name else file.path.name)))
    print_table([*_summary(file, spec, reason).items()])
    print()
    print_table([(key, _value(value)) for key, value in file.metadata.items()], ("METADATA", "VALUE"))


def _summary(file: GGUFFile, spec: ModelSpec | None, reason: str) -> dict[str, str]:
    tensors = file.tensors.values()
    types = Counter(tensor.type.name for tensor in tensors)
    facts = {
        "format": f"GGUF v{file.version}, {len(file.parts)} file{'s' if len(file.parts) > 1 else ''}",
        "tensors": f"{len(tensors)}, {size(sum(tensor.nbytes for tensor in tensors))}",
        "types": ", ".join(f"{count} {name}" for name, count in types.most_common()) or "none",
    }
    if spec is None:
        return {**facts, "runs": f"no: {reason}"}
    weights = sum(_count(tensor.shape) for tensor in tensors)
    return {
        **facts,
        "weights": f"{weights / 1e6:,.1f} million",
        "architecture": f"{spec.architecture}, {len(spec.layers)} layers, width {spec.width}",
        "vocabulary": str(spec.vocab_size),
        "context": f"{spec.context} positions",
    }


def _program(file: GGUFFile, spec: ModelSpec, options: argparse.Namespace) -> str:
    """The listing of every program, with operations and bytes of each instruction."""
    from ostinato.program.compile import compile_model
    from ostinato.program.ops_table import Load
    from ostinato.program.printer import format_program

    load = Load(rows=options.rows, logit_rows=1, context=options.context or spec.context)
    programs = compile_model(spec, file.tensors)
    return printable("\n\n".join(format_program(program, file.tensors, load) for program in programs))


def _as_json(file: GGUFFile, spec: ModelSpec | None, reason: str, options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {
        "path": str(file.path),
        "summary": _summary(file, spec, reason),
        "metadata": {key: _json_value(value) for key, value in file.metadata.items()},
    }
    if options.tensors:
        found["tensors"] = [
            {"name": t.name, "type": t.type.name, "shape": list(t.shape), "bytes": t.nbytes}
            for t in file.tensors.values()
        ]
    if options.program and spec is not None:
        found["program"] = _program(file, spec, options).split("\n")
    return found


def _value(value: Any) -> str:
    """A metadata value on one line, long ones cut."""
    from ostinato.gguf.values import ArrayView

    if isinstance(value, ArrayView):
        return _array(value)
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= LONG_TEXT else f"{text[:LONG_TEXT]}… ({len(text)} characters)"


def _array(value: ArrayView) -> str:
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


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total
