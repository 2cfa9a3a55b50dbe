"""Cost measurement: pairing, intervals, operation counts."""

from __future__ import annotations

import time

import pytest
import torch
from samples import batch_of, make_potential, quartz_like

from scalarpath.cost.timing import baseline_twin, flops, head_overhead, interleaved_times, paired_ratio, step_flops
from scalarpath.potential import to_checkpoint
from scalarpath.potential.parts import freeze


def test_paired_ratio_is_immune_to_a_drift_that_both_share():
    drift = [1.0 + 0.5 * k for k in range(15)]
    ratio = paired_ratio([1.05 * t for t in drift], drift)
    assert ratio.median == pytest.approx(1.05)
    assert ratio.low == pytest.approx(1.05)
    assert ratio.high == pytest.approx(1.05)


def test_a_step_that_takes_twice_as_long_is_seen_so():
    steps = {"one": lambda: time.sleep(0.01), "two": lambda: time.sleep(0.02)}
    times = interleaved_times(steps, 6, torch.device("cpu"))
    assert paired_ratio(times["two"], times["one"]).median == pytest.approx(2.0, rel=0.3)


def test_flops_of_a_matrix_product():
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    assert flops(lambda: a @ b) == 2 * 3 * 5 * 7
    assert flops(lambda: torch.ones(3, 7).addmm_(a, b)) == 2 * 3 * 5 * 7
    assert flops(lambda: torch.ones(2, 3, 7).baddbmm_(a.expand(2, 3, 5), b.expand(2, 5, 7))) == 2 * 2 * 3 * 5 * 7


def test_baseline_twin_has_the_backbone_of_its_potential():
    potential = make_potential("panpgs", awake=False)
    batch = batch_of(quartz_like())
    assert torch.equal(baseline_twin(potential).eval()(batch)["forces"], potential(batch)["forces"])


def test_head_overhead_of_baseline_is_none_and_leaves_the_potential_alone():
    potential = make_potential("baseline")
    before = to_checkpoint(potential)["state_dict"]
    overhead = head_overhead(potential, batch_of(quartz_like()), rounds=3)
    assert overhead["flops_ratio"] == 1.0
    assert overhead["train_ratio_low"] <= overhead["train_ratio"] <= overhead["train_ratio_high"]
    assert not potential.training
    for key, value in potential.state_dict().items():
        assert torch.equal(value, before[key])


def test_head_overhead_counts_the_head():
    overhead = head_overhead(make_potential("panpgs"), batch_of(quartz_like()), rounds=2)
    assert overhead["flops_ratio"] > 1.0
    assert overhead["train_flops_ratio"] > 1.0


@pytest.mark.parametrize("kind", ["mace", "nequip", "allegro"])
def test_a_training_step_makes_no_gradient_of_parts_that_are_frozen(kind):
    potential, batch = make_potential("panpgs", kind=kind), batch_of(quartz_like())
    whole, twin = step_flops(potential, batch), head_overhead(potential, batch, rounds=1)["baseline_train_flops"]
    freeze(potential.parts(), ["embedding", "layer_1"])
    partly, overhead = step_flops(potential, batch), head_overhead(potential, batch, rounds=1)
    assert partly["inference"] == whole["inference"]
    assert partly["train"] < whole["train"]
    assert overhead["train_flops"] == partly["train"]
    assert whole["train"] - partly["train"] == twin - overhead["baseline_train_flops"], "the same parts of the twin"
