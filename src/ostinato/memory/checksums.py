"""CRC32C of every parcel of a model, saved when its file is known to be good, and verified whenever one is read.

They find what disks, cables and networks do to data. They are no signature: whoever can change the model can change
them too. A small JSON file that may come from anywhere: it is checked whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.files import read_json, write_whole
from ostinato.memory.machine import look
from ostinato.memory.options import ReadMode
from ostinato.memory.parcels import Parcels
from ostinato.memory.store import open_files

if TYPE_CHECKING:
    import numpy as np

FORMAT = "ostinato-checksums"
VERSION = 1
LARGEST = 256 << 20  # bytes of a file that is read


class ChecksumsError(ValueError):
    """A file that holds no checksums, or another model's; the text names the file."""


def make_checksums(parcels: Parcels, paths: Sequence[Path]) -> list[int]:
    """Of every parcel, as the model's parts have it; past the page cache where that is possible. Raises
    _memory.ReadError."""
    from ostinato import _memory

    direct = all(look(path).direct_block for path in paths)
    files = open_files(paths, mode=ReadMode.DIRECT if direct else ReadMode.CACHED)
    sums: list[int] = _memory.checksums(parcels.native([0] * len(parcels.parcels)), files).tolist()
    return sums


def save_checksums(path: Path, parcels: Parcels, sums: Sequence[int]) -> None:
    own = [{"extents": extents, "crc32c": sum} for extents, sum in zip(_places(parcels), sums, strict=True)]
    write_whole(path, json.dumps({"format": FORMAT, "version": VERSION, "parcels": own}) + "\n")


def load_checksums(path: Path, parcels: Parcels) -> np.ndarray:
    """uint32 [parcels], for the store. Raises ChecksumsError."""
    import numpy as np

    own = _parsed(path, read_json(path, LARGEST, ChecksumsError))
    if [parcel.get("extents") for parcel in own] != _places(parcels):
        raise ChecksumsError(f"{path}: is of another model: what is read of it lies elsewhere")
    return np.array([_sum(path, parcel.get("crc32c")) for parcel in own], np.uint32)


def _places(parcels: Parcels) -> list[list[list[int]]]:
    """Of every parcel's extents: file, offset, bytes."""
    return [[[e.file, e.offset, e.nbytes] for e in parcel.extents] for parcel in parcels.parcels]


def _parsed(path: Path, document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ChecksumsError(f"{path}: holds no checksums of a model")
    if document.get("version") != VERSION:
        raise ChecksumsError(f"{path}: is of version {document.get('version')!r}; expected {VERSION}")
    parcels = document.get("parcels")
    if not isinstance(parcels, list) or not all(isinstance(parcel, dict) for parcel in parcels):
        raise ChecksumsError(f"{path}: lists no parcels")
    return parcels


def _sum(path: Path, value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ChecksumsError(f"{path}: a checksum is not a number from 0 to {(1 << 32) - 1}")
    return value
