"""`ostinato convert HF_DIR OUT.gguf`: a Hugging Face checkpoint becomes a GGUF file."""

from __future__ import annotations

import argparse
from pathlib import Path

TYPES = ("auto", "F32", "F16", "BF16", "Q8_0")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="HF_DIR", help="a folder with config.json, safetensors and a tokenizer")
    parser.add_argument("output", metavar="OUT.gguf", help="the file to write")
    parser.add_argument("--type", choices=TYPES, default="auto", help="of matrices (auto: as in the checkpoint)")
    parser.add_argument("--name", help="the model's name (otherwise the folder's)")
    parser.add_argument("--no-tokenizer", action="store_true", help="leave the vocabulary out")


def run(options: argparse.Namespace) -> int:
    from ostinato.cli.errors import CliError
    from ostinato.cli.output import size
    from ostinato.cli.progress import progress
    from ostinato.convert import plan, write

    output = Path(options.output)
    if output.is_dir() or not output.resolve().parent.is_dir():
        raise CliError(f"{output}: not a file in a folder that exists")
    made = plan(options.folder, options.type, tokenizer=not options.no_tokenizer, name=options.name)
    with progress("converting", made.nbytes) as bar:
        write(made, output, bar.advance)
    tensors = len(made.tensors) + len(made.extras)
    print(f"{output}: {made.architecture}, {tensors} tensors, {size(output.stat().st_size)}")
    return 0
