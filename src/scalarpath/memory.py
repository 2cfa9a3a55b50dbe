"""How the C library of this process handles freed memory."""

from __future__ import annotations

import ctypes
import sys


def keep_freed_memory() -> None:
    """Let the C library keep freed arrays for the next ones, where it can (glibc).

    By default it returns every array beyond 32 MB to the system, and the next one pays for fresh pages: 1.5 times the
    time of an inference of 4,096 atoms.
    """
    library = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(library, "mallopt"):
        library.mallopt(-4, 0)  # M_MMAP_MAX: no array in a mapping of its own, which is gone when it is freed
        library.mallopt(-1, -1)  # M_TRIM_THRESHOLD: the end of the heap is never given back
