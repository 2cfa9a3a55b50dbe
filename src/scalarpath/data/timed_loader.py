"""A loader that knows how long its consumer has waited for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader


class TimedLoader(DataLoader[Any]):
    """A DataLoader with ``waited``: seconds spent inside it, all epochs together, until each batch was there."""

    waited: float = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch
