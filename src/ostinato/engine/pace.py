"""Pace: how many decode steps a run may take, so that its tokens still come often enough to be read as they come.

A backend that hands out a run's tokens as it makes them (`StepResult.more`) may run as long as it can. From any other
they come all at once when the run ends, which is also when it notices a newcomer: there a run takes RUN_SECONDS.
A slow step takes that long by itself; such steps go singly, two in flight, and a run would win nothing.
"""

from __future__ import annotations

from time import perf_counter

RUN_SECONDS = 0.05  # twenty times a second tokens appear; about what a chunk of another's prompt delays them by
SHORTEST_RUN = 4  # steps; a shorter one saves less than is lost where runs do not overlap
NEWEST = 0.25  # weight of the newest measurement


class Pace:
    """Measures steps of generated rows. `most`: what the executable can do; `fixed`: so many always, 0: as measured."""

    def __init__(self, most: int, fixed: int = 0) -> None:
        self.most = min(most, fixed) if fixed else most
        self._fixed = bool(fixed)
        self._streams = False
        self._seconds = 0.0  # of one step; 0: not known
        self._last = 0.0

    @property
    def steps(self) -> int:
        """Steps of a run that begins now; 1: none."""
        if self._fixed or self._streams:
            return self.most
        steps = min(self.most, int(RUN_SECONDS / self._seconds)) if self._seconds else 1
        return steps if steps >= SHORTEST_RUN else 1

    def collected(self, submitted: float, steps: int, more: bool) -> None:
        """Something came of what was `submitted` then (perf_counter): so many steps of generated rows, or 0 where
        there were others. With `more`, it goes on."""
        now = perf_counter()
        if steps:
            seconds = (now - max(submitted, self._last)) / steps
            self._seconds += (seconds - self._seconds) * (NEWEST if self._seconds else 1.0)
        self._streams |= more
        self._last = now
