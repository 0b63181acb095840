"""`ostinato convert HF_DIR OUT.gguf`: a Hugging Face checkpoint becomes a GGUF file."""

from __future__ import annotations

import argparse
from pathlib import Path

from ostinato.cli.target import add_force, check_target

TYPES = ("auto", "F32", "F16", "BF16", "Q8_0")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="HF_DIR", help="a folder with config.json, safetensors and a tokenizer")
    parser.add_argument("output", metavar="OUT.gguf", help="the file to write")
    parser.add_argument(
        "--type",
        type=_type,
        default="auto",
        metavar="TYPE",
        help=f"of matrices: {', '.join(TYPES)} (default: auto, as stored)",
    )
    parser.add_argument("--name", help="the model's name (default: the folder's)")
    parser.add_argument("--no-tokenizer", action="store_true", help="leave the vocabulary out")
    add_force(parser)


def run(options: argparse.Namespace) -> int:
    from ostinato.cli.interrupt import ended_by_sigterm
    from ostinato.cli.output import one_line, size
    from ostinato.cli.progress import progress
    from ostinato.convert import plan, write

    output = Path(options.output)
    check_target(output, options.force, ())
    made = plan(options.folder, options.type, tokenizer=not options.no_tokenizer, name=options.name)
    with ended_by_sigterm(), progress("converting", made.nbytes) as bar:
        write(made, output, bar.advance)
    tensors = len(made.tensors) + len(made.extras)
    print(f"{one_line(str(output))}: {made.architecture}, {tensors} tensors, {size(output.stat().st_size)}")
    return 0


def _type(name: str) -> str:
    """A type in capitals or not."""
    for known in TYPES:
        if name.lower() == known.lower():
            return known
    raise argparse.ArgumentTypeError(f"{name[:40]!r}; expected one of {', '.join(TYPES)}")
