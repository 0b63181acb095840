"""Stop strings on a stream of text: what may be shown now, what must wait, and where the answer ends."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Cuts a stream of text before the first stop string that is complete.

    The stop whose last character comes first wins; of two that end together, the longer. So the answer is the
    same however the text is cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Raises ValueError for an empty stop string (it would match everywhere)."""
        if "" in stops:
            raise ValueError("a stop string is empty; leave it out")
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> tuple[str, bool]:
        """Takes the next piece; returns (text that may be shown, whether a stop string was met).

        A tail that may still become a stop string is held back. Nothing is shown after a stop.
        """
        if self.stopped:
            return "", True
        text = self._held + text
        start = self._first_match(text)
        self.stopped = start is not None
        shown = len(text) - self._partial(text) if start is None else start
        self._held = "" if self.stopped else text[shown:]
        return text[:shown], self.stopped

    def flush(self) -> str:
        """The end of the stream: returns what was held back."""
        held, self._held = self._held, ""
        return held

    def _first_match(self, text: str) -> int | None:
        """Start of the stop string that ends first."""
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        return min(found)[1] if found else None

    def _partial(self, text: str) -> int:
        """Length of the longest tail of `text` that begins a stop string."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
