"""What the C library does with freed arrays, and on which pages they lie."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from scalarpath.core.memory import HUGE_PAGES, imports_at_once

SIZE = 256  # MB

# resident memory (MB) before and after an array of SIZE MB was freed, and its part on huge pages
PROGRAM = f"""
import torch
from scalarpath.core.memory import prepare_heap

def megabytes(name):
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

prepare_heap()
before = megabytes("Rss")
array = torch.ones({SIZE} * 2**18)
huge = megabytes("AnonHugePages")
del array
print(before, megabytes("Rss"), huge)
"""


@pytest.fixture(scope="module")
def measured() -> list[float]:
    if sys.platform != "linux" or not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("the system does not say what memory a process has")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


def test_freed_arrays_stay_with_the_process(measured):
    before, after, _ = measured
    assert after - before > 0.9 * SIZE


def test_large_arrays_lie_on_huge_pages(measured):
    if not HUGE_PAGES.exists() or "[never]" in HUGE_PAGES.read_text():
        pytest.skip("the system has no huge pages on request")
    assert measured[2] > 0.9 * SIZE


def test_imports_at_once_leave_garbage_collection_as_it_was() -> None:
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            with imports_at_once():
                assert not gc.isenabled()
            assert gc.isenabled() == enabled
        finally:
            gc.enable()


def test_a_program_ends_without_a_search_of_all_that_was_imported() -> None:
    code = (
        "import atexit, gc; from scalarpath.core.memory import end_at_once\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000 and not gc.get_objects(generation=2)))\n"
        "end_at_once()"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
