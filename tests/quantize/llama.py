"""llama.cpp as the oracle, and what it said: golden.json, for those who do not have it installed.

python -m tests.quantize.llama        writes golden.json again (needs llama-cpp-python)
"""

from __future__ import annotations

import ctypes
import json
import tempfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from ostinato.gguf.reader import open_gguf
from ostinato.gguf.types_table import TensorType, nbytes
from ostinato.quantize.mixes import MIXES, Mix
from tests.quantize.models import CASES
from tests.quantize.tensors import KINDS, TYPES, Floats, error, values

GOLDEN = Path(__file__).parent / "golden.json"


def quantize(exact: Floats, type: TensorType) -> NDArray[np.uint8]:
    """ggml's own blocks, uint8 [rows, row bytes]."""
    import llama_cpp

    base = ctypes.CDLL(str(next((Path(llama_cpp.__file__).parent / "lib").glob("*ggml-base.*"))))
    chunk = base.ggml_quantize_chunk
    chunk.restype = ctypes.c_size_t
    chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    out = np.zeros((len(exact), nbytes(type, exact.shape[-1:])), np.uint8)
    assert chunk(type, exact.ctypes.data, out.ctypes.data, 0, *exact.shape, None) == out.size
    return out


def dequantize(blocks: NDArray[np.uint8], type: TensorType) -> Floats:
    """By the `gguf` package, which is llama.cpp's own."""
    return np.asarray(gguf.dequantize(blocks, gguf.GGMLQuantizationType(type)), np.float32)


def quantize_file(source: Path, target: Path, mix: Mix, **parameters: Any) -> None:
    """llama-quantize; `parameters` are those of llama_model_quantize_params."""
    import llama_cpp

    wished = llama_cpp.llama_model_quantize_default_params()
    wished.ftype, wished.nthread = mix.number, 1
    for name, value in parameters.items():
        setattr(wished, name, value)
    status = llama_cpp.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(wished))
    assert status == 0, f"llama.cpp cannot quantise {source} to {mix.name}"


def types_of(path: Path) -> str:
    """A summary of the types of all tensors of a file."""
    with open_gguf(path) as file:
        return summary({tensor.name: tensor.type for tensor in file.tensors.values()})


def summary(types: Mapping[str, TensorType]) -> str:
    """How many there are of each type, and a checksum over which tensor has which."""
    counts = ", ".join(f"{count} {type.name}" for type, count in sorted(Counter(types.values()).items()))
    which = "".join(f"{name} {types[name].name}\n" for name in sorted(types))
    return f"{counts}; {zlib.crc32(which.encode()):08x}"


def error_text(kind: str, type: TensorType) -> str:
    """Root mean squared error and largest error of ggml's blocks, as golden.json keeps them."""
    exact = values(kind)
    return "{:.5g} {:.5g}".format(*error(dequantize(quantize(exact, type), type), exact))


def main() -> None:
    """Ask for everything."""
    import llama_cpp

    errors = {type.name: {kind: error_text(kind, type) for kind in KINDS} for type in TYPES}
    types: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.gguf", Path(folder) / "target.gguf"
        for case in CASES:
            case.write(source)
            types[case.name] = {}
            for mix in MIXES.values():
                quantize_file(source, target, mix)
                types[case.name][mix.name] = types_of(target)
    about = f"llama.cpp of llama-cpp-python {llama_cpp.__version__}; python -m tests.quantize.llama"
    GOLDEN.write_text(json.dumps({"about": about, "errors": errors, "types": types}, indent=1) + "\n")


if __name__ == "__main__":
    main()
