"""The frames on which a committee disagrees most, out of frames that come one by one."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Selection:
    """The ``size`` frames with the largest spread so far, as texts; of the others nothing stays in memory.

    Of frames with one and the same spread the earlier ones are kept, and come first.
    """

    def __init__(self, size: int):
        self.size, self._seen = size, 0
        self._kept: list[tuple[float, int, str]] = []  # a heap: the one to go next is at its top

    def offer(self, spread: float, text: Callable[[], str]) -> None:
        """The next frame; ``text`` is called where it is kept for now."""
        if len(self._kept) < self.size:
            heapq.heappush(self._kept, (spread, -self._seen, text()))
        elif spread > self._kept[0][0]:
            heapq.heapreplace(self._kept, (spread, -self._seen, text()))
        self._seen += 1

    def texts(self) -> list[str]:
        """What is kept, the largest spread first."""
        return [text for _, _, text in sorted(self._kept, reverse=True)]
