"""A record of what was wanted: step s wanted parcels[first[s] : first[s + 1]]. Saved as a NumPy archive."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ostinato.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ostinato import _memory

LARGEST = 1 << 28  # parcels of a trace that is read


class TraceError(ValueError):
    """A file that holds no trace; the text names the file."""


@dataclass(frozen=True)
class Trace:
    """`left_out` steps at the end had no room."""

    first: NDArray[np.int64]
    parcels: NDArray[np.int32]
    left_out: int = 0

    @property
    def steps(self) -> int:
        return len(self.first) - 1

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """What the native side takes."""
        return self.first, self.parcels

    def save(self, path: Path) -> None:
        import numpy as np

        with path.open("wb") as file:
            np.savez_compressed(file, first=self.first, parcels=self.parcels, left_out=np.int64(self.left_out))


def make_trace(steps: Iterable[Sequence[int]]) -> Trace:
    """The trace that wanted these parcels."""
    import numpy as np

    listed = [list(step) for step in steps]
    first = np.cumsum([0, *map(len, listed)], dtype=np.int64)
    return Trace(first, np.array([parcel for step in listed for parcel in step], np.int32))


def take_trace(store: _memory.Store) -> Trace:
    """What was wanted since `store.start_trace` or since the last call."""
    return Trace(*store.take_trace())


def load_trace(path: Path, parcels: int) -> Trace:
    """A saved trace of a model of so many parcels. Raises TraceError for anything else."""
    import numpy as np

    try:
        with open_regular(path, 16 * LARGEST, TraceError) as file:
            _check_sizes(file)
            with np.load(file, allow_pickle=False) as archive:
                first, wanted, left_out = archive["first"], archive["parcels"], int(archive["left_out"])
    except TraceError:
        raise
    except (OSError, ValueError, KeyError, EOFError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise TraceError(f"{path}: holds no trace ({error})") from None
    kinds = (first.ndim, first.dtype, wanted.ndim, wanted.dtype)
    if kinds != (1, np.int64, 1, np.int32) or len(first) < 1:
        raise TraceError(f"{path}: holds no trace (arrays of other kinds)")
    if first[0] != 0 or first[-1] != len(wanted) or (np.diff(first) < 0).any():
        raise TraceError(f"{path}: holds no trace (its steps are not slices of its parcels)")
    if len(wanted) and not 0 <= wanted.min() <= wanted.max() < parcels:
        raise TraceError(f"{path}: is of another model: it names parcels that are not there")
    return Trace(first, wanted, left_out)


def _check_sizes(file: BinaryIO) -> None:
    """Before anything is unpacked: an archive may claim to hold more than there is memory."""
    with zipfile.ZipFile(file) as members:
        if sum(member.file_size for member in members.infolist()) > 16 * LARGEST:
            raise ValueError("it is too large")
    file.seek(0)
