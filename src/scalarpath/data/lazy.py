"""Sequences whose items are made or read when they are asked for, and one that keeps them outside of memory."""

from __future__ import annotations

import abc
import pickle
import tempfile
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar, overload

KEPT_IN_MEMORY = 2**26  # bytes beyond which items move to a temporary file

T = TypeVar("T")


class LazySequence(Sequence[T], abc.ABC):
    """A sequence that makes its items one by one; a slice is a list."""

    @abc.abstractmethod
    def item(self, index: int) -> T:
        """The item at a position."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        return self.item(index)


class PackedItems(LazySequence[T], Generic[T]):
    """Items, packed; many lie in a temporary file instead of in memory.

    An item is made anew when it is asked for (the last one is kept), so a change to it is not remembered. The file has
    no name and goes with the process, which alone reads what it pickled there.
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=KEPT_IN_MEMORY)  # noqa: SIM115 (lives as long as the items)
        self._starts = [0]
        self._last: tuple[int, T] | None = None
        self.extend(items)

    def extend(self, items: Iterable[T]) -> list[int]:
        """Append ``items`` one by one and return their indices."""
        first = len(self)
        self._file.seek(self._starts[-1])
        for item in items:
            self._starts.append(self._starts[-1] + self._file.write(pickle.dumps(item, pickle.HIGHEST_PROTOCOL)))
        return list(range(first, len(self)))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def item(self, index: int) -> T:
        """The item at a position."""
        number = range(len(self))[index]
        if self._last is None or self._last[0] != number:
            self._file.seek(self._starts[number])
            self._last = number, pickle.loads(self._file.read(self._starts[number + 1] - self._starts[number]))
        return self._last[1]
