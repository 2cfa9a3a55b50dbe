"""Time and memory of an inference against the number of atoms."""

from __future__ import annotations

import multiprocessing

import pytest
import torch
from samples import SMALL_MACE, head_config

from scalarpath.core.memory import prepare_heap
from scalarpath.cost.memory import PROCESS, Memory
from scalarpath.cost.scale import _measure, growth


def test_growth_is_the_exponent_between_the_two_largest_sizes():
    rows = [{"atoms": 1, "step_s": 9.0}, {"atoms": 100, "step_s": 2.0}, {"atoms": 400, "step_s": 16.0}]
    assert growth(rows, "step_s") == pytest.approx(1.5)
    assert growth(rows[:1], "step_s") is None
    assert growth([{"atoms": 1, "memory_GiB": None}] * 2, "memory_GiB") is None


def test_a_measurement_counts_the_atoms_of_the_crystal_and_the_memory_of_the_step():
    setting = {"backbone": SMALL_MACE | {"cutoff": 4.2}, "head": head_config("panpgs"), "dtype": "float64"}
    # in a process of its own, as the suite does: this one holds freed memory that the step would use
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        row = pool.apply(_measure, ({**setting, "device": "cpu", "threads": 1, "seed": 0}, 6, 1))
    assert row["atoms"] == 8 * 6**3
    assert row["edges"] == 16 * row["atoms"]  # four at 2.37 Å, twelve at 3.87 Å
    assert row["step_s"] > 0
    assert row["memory_GiB"] is None if not PROCESS.exists() else row["memory_GiB"] > 1e-3


def gib_after_a_larger_array_was_freed() -> float | None:
    prepare_heap()
    torch.ones(50_000_000).sum()
    memory = Memory(torch.device("cpu"))
    torch.ones(25_000_000).sum()
    return memory.taken_gib()


@pytest.mark.skipif(not PROCESS.exists(), reason="needs /proc")
def test_room_that_was_freed_before_counts_as_taken():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(gib_after_a_larger_array_was_freed) == pytest.approx(25e6 * 4 / 2**30, rel=0.2)
