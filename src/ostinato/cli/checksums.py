"""`ostinato checksums MODEL -o FILE`: what experts, or layers, are verified with whenever they are read.

Made when the file is known to be good. They find what disks and networks do to data; they are no signature.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ostinato.cli.errors import CliError
from ostinato.cli.output import size
from ostinato.cli.spinner import Spinner
from ostinato.cli.target import add_force, check_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Checksums for --checksums. They find what disks and networks do to data; they are no signature."
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="a GGUF file that is known to be good")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="where the checksums go")
    add_force(parser, "FILE")


def run(options: argparse.Namespace) -> int:
    from ostinato.gguf.reader import open_gguf
    from ostinato.memory.checksums import make_checksums, save_checksums
    from ostinato.memory.parcels import streaming_parcels
    from ostinato.model.architectures import read_spec
    from ostinato.program.compile import compile_model

    check_target(options.output, options.force, [options.model])
    with open_gguf(options.model) as file:
        parcels = streaming_parcels(compile_model(read_spec(file), file.tensors), file)
        if not parcels.parcels:
            raise CliError(f"{options.model}: has neither experts nor layers large enough to be read apart")
        with Spinner(f"reading {options.model.name}"):
            sums = make_checksums(parcels, [part.path for part in file.parts])
    save_checksums(options.output, parcels, sums)
    what = "experts" if parcels.stacks else "parts of layers"
    print(f"{options.output}: of {len(sums)} {what}, {size(parcels.nbytes)}")
    return 0
