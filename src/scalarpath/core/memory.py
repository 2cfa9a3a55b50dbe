"""How the C library and Python handle the memory of this process."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
CONTAINER = Path("/sys/fs/cgroup/memory.max")
M_MMAP_MAX, M_TRIM_THRESHOLD, MADV_HUGEPAGE = -4, -1, 14


@cache
def memory_of_machine() -> int:
    """Bytes of memory of this machine, or of the part of it that this process may use, where that is known."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    asked = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    limits += [limit for limit in asked if limit != resource.RLIM_INFINITY]
    if CONTAINER.exists() and (text := CONTAINER.read_text().strip()).isdigit():
        limits.append(int(text))
    return min(limits)


@contextmanager
def imports_at_once() -> Iterator[None]:
    """Import large packages without looking for garbage meanwhile, which takes almost as long as the imports.

    What has been imported by then stays for good, and is not searched later either.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def end_at_once() -> None:
    """Let the program end with its last line: at the end Python would search all that was imported, for seconds."""
    atexit.register(gc.freeze)


def prepare_heap() -> None:
    """Let the C library keep freed arrays for the next ones, on huge pages, where it can (glibc on Linux).

    By default it returns every array beyond 32 MB to the system, and the next one pays for fresh pages: 1.5 times the
    time of an inference of 4,096 atoms. Huge pages take off another 5 to 8 % where arrays are large.
    """
    library = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)  # no array in a mapping of its own, which is gone when it is freed
        library.mallopt(M_TRIM_THRESHOLD, -1)  # the end of the heap is never given back
        limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
        free_of_charge = set(limits) == {resource.RLIM_INFINITY} and not _says(OVERCOMMIT, "2")
        if _says(HUGE_PAGES, "[madvise]") and free_of_charge:
            _ask_for_huge_pages(library)


def give_back_freed() -> None:
    """Return what the C library keeps of freed arrays to the system (glibc on Linux)."""
    library = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _says(setting: Path, value: str) -> bool:
    return setting.exists() and value in setting.read_text()


def _ask_for_huge_pages(library: ctypes.CDLL) -> None:
    """Extend the heap by half of the machine's memory, of which nothing is used yet, and ask for huge pages there."""
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    page = os.sysconf("SC_PAGE_SIZE")
    size = os.sysconf("SC_PHYS_PAGES") // 2 * page
    start = library.malloc(size)
    if start is None:
        return
    first, last = -(-start // page) * page, (start + size) // page * page
    library.madvise(first, last - first, MADV_HUGEPAGE)
    library.free(start)
