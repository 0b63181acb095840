"""Write the built-in model as GGUF from what `train_builtin.py` saved; needs no torch.

python -m tools.export_builtin                      the file that the package ships (Q8_0)
python -m tools.export_builtin --type Q4_K_M --out build/builtin/tiny-q4_k_m.gguf
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from ostinato.gguf.blocks import quantize
from ostinato.gguf.types_table import TensorType
from ostinato.gguf.writer import GGUFWriter
from tools.llama_files import FILE_TYPES, LlamaShape, add_architecture, plan
from tools.vocabularies import add_byte_level

SHIPPED = Path(__file__).resolve().parent.parent / "src" / "ostinato" / "models" / "ostinato-tiny.gguf"


def export_builtin(trained: Path, out: Path, type: str = "Q8_0") -> None:
    """Write the checkpoint in the folder `trained` to `out` with its matrices in `type` (see `FILE_TYPES`)."""
    vocabulary = json.loads((trained / "vocab.json").read_text())
    shape = LlamaShape(**json.loads((trained / "training.json").read_text())["shape"], tied=True)
    tensors = plan(shape, type)
    with np.load(trained / "weights.npz") as weights, GGUFWriter(out) as writer:
        add_architecture(writer, shape, "Ostinato tiny", type)
        writer.add("general.license", "apache-2.0")
        writer.add("general.description", "trained by tools/train_builtin.py on text that tools/corpus.py makes")
        add_byte_level(writer, vocabulary["tokens"], vocabulary["merges"])
        for tensor in tensors:
            writer.add_tensor(tensor.name, tensor.shape, TensorType[tensor.type])
        for tensor in tensors:
            writer.write(tensor.name, quantize(weights[tensor.name], TensorType[tensor.type]).data)


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trained", type=Path, default=Path("build/builtin"))
    parser.add_argument("--type", choices=FILE_TYPES, default="Q8_0")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    export_builtin(arguments.trained, arguments.out, arguments.type)
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
