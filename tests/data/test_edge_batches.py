"""Batches limited by edges: full, shuffled, alike in degree, the same for any number of processes."""

import numpy as np
import pytest
import torch
from ase.build import bulk

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.batches import EdgeBatches, EpochSampler, consecutive_batches
from scalarpath.data.datamodule import AtomicDataModule


def mixed(count=400, small=0.5):
    """Atoms, edges and degrees of a set of small molecules and large crystals."""
    rng = np.random.default_rng(3)
    atoms = np.where(rng.random(count) < small, rng.integers(5, 20, count), rng.integers(50, 70, count))
    degree = np.where(atoms < 20, rng.integers(8, 12, count), rng.integers(40, 50, count))
    return atoms, atoms * degree, degree


def edge_batches(edges, degrees, epoch=0, *, max_edges=8000, batch_size=10_000, seed=0, **ranks):
    sampler = EpochSampler(len(edges), seed)
    batches = EdgeBatches(edges, degrees, sampler, max_edges=max_edges, batch_size=batch_size, **ranks)
    batches.sampler.set_epoch(epoch)
    return batches


@pytest.mark.parametrize(("max_edges", "batch_size"), [(3500, 10_000), (8000, 10_000), (8000, 3), (10**9, 7)])
def test_every_epoch_meets_every_graph_once_within_the_limits(max_edges, batch_size):
    _, edges, degrees = mixed()
    for epoch in range(5):
        batches = edge_batches(edges, degrees, epoch, max_edges=max_edges, batch_size=batch_size)
        listed = list(batches)
        assert sorted(i for batch in listed for i in batch) == list(range(len(edges)))
        assert max(edges[batch].sum() for batch in listed) <= max_edges
        assert max(len(batch) for batch in listed) <= batch_size
        # Lightning fixes the number of steps before the first epoch
        assert len(listed) == len(batches)


def test_batches_are_nearly_full():
    """All but for the room of one graph, as when they were filled one after the other."""
    _, edges, degrees = mixed()
    batches = edge_batches(edges, degrees, max_edges=40_000)
    assert edges.sum() / len(batches) > 40_000 - edges.max()


def test_order_is_a_pure_function_of_seed_and_epoch():
    _, edges, degrees = mixed()
    torch.manual_seed(99)  # the global generator has no say
    first = list(edge_batches(edges, degrees, 4, seed=1))
    assert list(edge_batches(edges, degrees, 4, seed=1)) == first
    assert list(edge_batches(edges, degrees, 4, seed=2)) != first
    assert list(edge_batches(edges, degrees, 5, seed=1)) != first


def test_batches_hold_graphs_of_similar_degree_so_that_padding_is_saved():
    atoms, edges, degrees = mixed(3000, small=0.95)
    slots = lambda batch: atoms[batch].sum() * degrees[batch].max()  # noqa: E731
    batches = list(edge_batches(edges, degrees))
    assert sum(slots(batch) for batch in batches) < 1.2 * edges.sum()
    order = list(EpochSampler(len(edges), 0))
    unsorted = [order[k :: len(batches)] for k in range(len(batches))]
    assert sum(slots(batch) for batch in unsorted) > 2 * edges.sum()


def test_companions_and_places_change_from_epoch_to_epoch():
    _, edges, degrees = mixed()
    companions, places = set(), set()
    for epoch in range(20):
        listed = list(edge_batches(edges, degrees, epoch))
        (place,) = (k for k, batch in enumerate(listed) if 0 in batch)
        places.add(place)
        companions.update(listed[place])
    assert len(companions) > 40
    assert len(places) > 10


def test_equal_graphs_are_shuffled_without_restriction():
    """Any two of them can meet in a batch, and batches of every place in the epoch are equally likely."""
    edges = np.full(16, 100)
    met = {frozenset(b) for epoch in range(300) for b in edge_batches(edges, edges, epoch, max_edges=200)}
    assert len(met) == 16 * 15 / 2


def test_graphs_of_different_size_meet_others_in_every_epoch():
    edges = np.arange(100, 116)  # no two alike: only the dealing is left to chance
    met = {frozenset(b) for epoch in range(300) for b in edge_batches(edges, edges, epoch, max_edges=231)}
    assert len(met) == 8 * 8  # one of the larger half with one of the smaller


def test_shorter_batches_come_anywhere_in_an_epoch():
    edges = np.full(50, 100)
    places = {
        k for epoch in range(60) for k, b in enumerate(edge_batches(edges, edges, epoch, max_edges=700)) if len(b) < 7
    }
    assert places == set(range(8))


def test_few_graphs_are_not_cut_into_buckets_that_always_meet_each_other():
    degrees = np.array([10] * 6 + [40] * 6)
    edges = degrees * 10
    met = {frozenset(b) for epoch in range(50) for b in edge_batches(edges, degrees, epoch, max_edges=1000)}
    assert any(np.ptp(degrees[list(batch)]) > 0 for batch in met)
    assert len(met) > 50


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_share_out_the_batches_of_one_process_without_repeating_a_graph(world_size):
    _, edges, degrees = mixed(401)
    single = list(edge_batches(edges, degrees, 2, max_edges=20_000))
    ranks = [
        list(edge_batches(edges, degrees, 2, max_edges=20_000, rank=r, world_size=world_size))
        for r in range(world_size)
    ]
    for batch, *shares in zip(single, *ranks, strict=True):
        assert sorted(i for share in shares for i in share) == sorted(batch)
        assert min(len(share) for share in shares) >= 1
        assert max(len(share) for share in shares) - min(len(share) for share in shares) <= 1


def test_batches_with_fewer_frames_than_processes_are_refused():
    _, edges, degrees = mixed()
    with pytest.raises(ConfigError, match=r"data\.max_edges=3500 .* fewer frames than the 4 processes"):
        edge_batches(edges, degrees, max_edges=3500, world_size=4)


def test_evaluation_batches_keep_the_order_and_the_limits():
    edges = np.array([5, 5, 5, 1, 1, 1, 1, 9])
    assert consecutive_batches(edges, 10, 3) == [[0, 1], [2, 3, 4], [5, 6], [7]]
    assert consecutive_batches(edges, None, 3) == [[0, 1, 2], [3, 4, 5], [6, 7]]


@pytest.fixture
def data(write, make_silicon, settings, with_labels):
    """Cells of 8, 16 and 64 atoms."""
    rng, frames = np.random.default_rng(0), make_silicon(16)
    for repeat in [(2, 1, 1)] * 6 + [(2, 2, 2)] * 6:
        atoms = bulk("Si", cubic=True).repeat(repeat)
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        frames.append(with_labels(atoms, energy=-5.0 * len(atoms) + rng.normal(), forces=np.ones((len(atoms), 3))))
    path = write(frames, "sizes.extxyz")

    def data(**changes):
        module = AtomicDataModule(settings(path, batch_size=100, **changes), cutoff=4.0, seed=0)
        module.setup()
        return module

    return data


def test_loaders_obey_the_limit(data):
    module = data(max_edges=1500)
    for loader in (module.train_dataloader(), module.val_dataloader(), module.test_dataloader()):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert all(batch.edge_index.shape[1] <= 1500 for batch in batches)
    assert [i for batch in module.test_dataloader() for i in batch.frame.tolist()] == module.splits["test"]
    seen = [i for batch in module.train_dataloader() for i in batch.frame.tolist()]
    assert sorted(seen) == module.splits["train"]
    assert len(module.train_dataloader()) < len(seen)


def test_frame_that_no_batch_can_hold_is_named(data):
    with pytest.raises(DataError, match=r"sizes\.extxyz, frame 2[2-7]: has 1\d\d\d edges within 4\.0 Å.*max_edges=500"):
        data(max_edges=500)


@pytest.mark.parametrize("bad", [0, -5, 1.5, True])
def test_limit_that_is_no_number_of_edges_is_a_config_error(settings, bad):
    with pytest.raises(ConfigError, match=r"data\.max_edges"):
        AtomicDataModule(settings("x.extxyz", max_edges=bad), cutoff=4.0, seed=0)
