"""What moving bytes costs, as timed here at the start: a latency and a rate, for a disk and for a bus alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from statistics import median

FASTEST = 1e12  # bytes a second: what is as good as free, and can be divided by and counted in 64 bits
_FAR = 3 * 1.4826  # median deviations: three standard deviations, were errors normal
_CLOSE = 0.01  # an error so small is none


@dataclass(frozen=True)
class Sample:
    """`nbytes` took `seconds`."""

    nbytes: int
    seconds: float


@dataclass(frozen=True)
class Line:
    """`latency` in seconds, `rate` in bytes a second (FASTEST where more bytes took no longer)."""

    latency: float
    rate: float

    def seconds(self, nbytes: float) -> float:
        """What so many bytes are expected to take."""
        return self.latency + nbytes / self.rate


def fit(samples: Sequence[Sample]) -> Line:
    """The line with the least squares of relative errors, without samples that lie far off.

    Which do is seen from the line through two of them whose errors have the least median (Rousseeuw, "Least median of
    squares regression", 1984): nearly half of the samples may be wrong, held up or never done. Raises ValueError for
    fewer than two sizes.
    """
    if len({sample.nbytes for sample in samples}) < 2 or any(sample.seconds <= 0 for sample in samples):
        raise ValueError("a line needs timings of two sizes at least, all of them more than nothing")
    lines = [_through(a, b) for a, b in combinations(samples, 2) if (b.nbytes - a.nbytes) * (b.seconds - a.seconds) > 0]
    if not lines:  # no two of which the larger took longer
        return _least_squares(samples)
    typical, start = min(((median(_errors(line, samples)), line) for line in lines), key=lambda scored: scored[0])
    most = max(_CLOSE, _FAR * typical)
    near = [sample for sample, error in zip(samples, _errors(start, samples), strict=True) if error <= most]
    return _least_squares(near if len({sample.nbytes for sample in near}) > 1 else samples)


def _through(a: Sample, b: Sample) -> Line:
    rate = (b.nbytes - a.nbytes) / (b.seconds - a.seconds)
    return Line(max(0.0, a.seconds - a.nbytes / rate), rate)


def _errors(line: Line, samples: Sequence[Sample]) -> list[float]:
    """Half as long as expected is as far off as twice as long."""
    return [abs(log(line.seconds(sample.nbytes) / sample.seconds)) for sample in samples]


def _least_squares(samples: Sequence[Sample]) -> Line:
    """Neither latency nor time of a byte below zero."""
    units = [1 / sample.seconds for sample in samples]  # what one second of latency adds to each relative time
    bytes_ = [sample.nbytes / sample.seconds for sample in samples]
    uu, ub, bb = _dot(units, units), _dot(units, bytes_), _dot(bytes_, bytes_)
    u, b = sum(units), sum(bytes_)
    determinant = uu * bb - ub * ub
    latency = (u * bb - b * ub) / determinant if determinant > 0 else 0.0
    if latency <= 0:
        return Line(0.0, min(bb / b, FASTEST))
    slope = (b * uu - u * ub) / determinant
    return Line(latency, 1 / slope) if slope * FASTEST > 1 else Line(u / uu, FASTEST)


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
