from collections import Counter

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from ase import Atoms

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data import datamodule, labelled
from scalarpath.data.batches import EpochSampler
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.data.split_report import read_split
from scalarpath.training.evaluation import trivial_errors


@pytest.fixture
def module(write, make_silicon, settings):
    path = write(make_silicon(20))

    def module(seed=0, required=("energy", "forces"), cutoff=5.0, **changes):
        made = AtomicDataModule(settings(path, batch_size=4, **changes), cutoff=cutoff, seed=seed, required=required)
        made.setup()
        return made

    return module


def order(loader):
    return [batch.frame.tolist() for batch in loader]


def test_setup_offers_everything_the_training_needs(module):
    data = module(required={"energy", "forces", "stress"})
    assert data.species == [14]
    assert {name: len(indices) for name, indices in data.splits.items()} == {"train": 16, "valid": 2, "test": 2}
    assert [int(graph.frame) for graph in data.train_graphs] == data.splits["train"]
    assert data.audit.frames == 20
    assert data.statistics.frames == 16
    assert len(data.data_hash) == 64
    batch = next(iter(data.val_dataloader()))
    assert batch.num_graphs == 2
    assert batch.stress.shape == (2, 3, 3)
    assert batch.max_degree > 10


def test_a_sample_of_train_frames_is_the_same_for_all_seeds_and_part_of_a_larger_one(module):
    def sample(seed, most):
        return [int(graph.frame) for graph in module(seed=seed).train_sample(most)]

    small, large = sample(0, 4), sample(0, 9)
    assert (len(small), len(large)) == (4, 9)
    assert set(small) < set(large) < set(module().splits["train"])
    assert sample(7, 4) == small
    assert sample(0, 16) == sample(0, 1000) == module().splits["train"]
    assert sample(0, 0) == []


def test_a_sample_to_fit_knows_every_two_elements_that_occur_together(write, make_silicon, settings):
    frames = make_silicon(20)
    frames[3].numbers[0] = 32
    frames[11].numbers[:2] = 32
    path = write(frames)
    data = AtomicDataModule(settings(path, batch_size=4, valid_size=1, test_size=1, split_seed=0), cutoff=5.0, seed=0)
    data.setup()
    assert {3, 11} <= set(data.splits["train"])
    plain = {int(graph.frame) for graph in data.train_sample(2)}
    assert not plain & {3, 11}
    fitted = {int(graph.frame) for graph in data.sample_to_fit(2)}
    assert plain < fitted
    assert 11 in fitted, "two germanium atoms occur together there alone"
    assert len(fitted) <= 4
    assert len(data.sample_to_fit(18)) == 18


def test_the_labels_of_a_frame_are_read_once(module, monkeypatch):
    read, extract = Counter(), labelled.extract_labels
    monkeypatch.setattr(
        labelled, "extract_labels", lambda frame, *rest: (read.update([frame.number]), extract(frame, *rest))[1]
    )
    module(e0s="mean")
    assert read == dict.fromkeys(range(20), 1)


def test_setup_is_idempotent(module):
    data = module()
    graphs = data.train_graphs
    data.setup("fit")
    assert data.train_graphs is graphs


def test_split_and_hash_do_not_depend_on_the_training_seed(module):
    first, second = module(seed=0), module(seed=1)
    assert first.splits == second.splits
    assert first.data_hash == second.data_hash
    assert first.splits != module(split_seed=5).splits


def test_every_test_frame_has_the_group_that_the_split_keeps_together(module, write, make_silicon, settings):
    data = module(test_size=4)
    assert data.test_groups == [str(i) for i in data.splits["test"]]
    data = module(split="blocks", n_blocks=5, test_size=8)
    assert data.test_groups == [f"block {i // 4}" for i in data.splits["test"]]
    assert [int(graph.frame) for graph in data.test_graphs] == data.splits["test"]
    frames = make_silicon(12)
    for k, atoms in enumerate(frames):
        atoms.info["run"] = f"run{k % 4}"
    config = settings(write(frames, "runs.extxyz"), split="groups", group_key="run", test_size=6)
    data = AtomicDataModule(config, cutoff=5.0, seed=0)
    data.setup()
    assert data.test_groups == [f"run{i % 4}" for i in data.splits["test"]]
    assert len(data.test_groups) == 6


def test_train_order_is_a_pure_function_of_seed_and_epoch(module):
    first, again, other = module().train_dataloader(), module().train_dataloader(), module(seed=1).train_dataloader()
    torch.manual_seed(99)  # the global generator has no say
    orders = []
    for epoch in range(3):
        first.batch_sampler.sampler.set_epoch(epoch)
        orders.append(order(first))
    again.batch_sampler.sampler.set_epoch(2)
    assert order(again) == orders[2]
    assert order(other) != orders[0]
    assert orders[0] != orders[1]
    assert all(sorted(i for batch in batches for i in batch) == module().splits["train"] for batches in orders)


def test_evaluation_order_is_the_order_of_the_frames(module):
    data = module(eval_batch_size=1)
    assert order(data.test_dataloader()) == [[i] for i in data.splits["test"]]


@pytest.mark.parametrize(("n_frames", "world_size"), [(16, 2), (17, 2), (3, 4), (1, 4), (19, 4)])
def test_ranks_share_out_the_batches_of_one_process(n_frames, world_size):
    single = list(EpochSampler(n_frames, seed=7))
    ranks = [list(EpochSampler(n_frames, seed=7, rank=r, world_size=world_size)) for r in range(world_size)]
    assert len({len(rank) for rank in ranks}) == 1
    dealt = [i for step in zip(*ranks, strict=True) for i in step]
    assert dealt[:n_frames] == single
    assert dealt[n_frames:] == (single * world_size)[: len(dealt) - n_frames]
    assert len(ranks[0]) == len(EpochSampler(n_frames, seed=7, world_size=world_size))


def test_loader_shards_by_rank_and_keeps_the_whole_batch(module, monkeypatch):
    data = module()
    whole = order(data.train_dataloader())
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    shards = []
    for rank in range(2):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        shards.append(order(data.train_dataloader()))
        assert order(data.test_dataloader()) == [data.splits["test"]]
    for batch, first, second in zip(whole, *shards, strict=True):
        assert sorted(first + second) == sorted(batch)
        assert len(first) == len(second)


def test_batch_that_does_not_divide_among_processes_is_refused(module, monkeypatch):
    data = module()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    with pytest.raises(ConfigError, match="multiple of their number"):
        data.train_dataloader()


class Recorder(pl.LightningModule):
    """Writes down which frames each epoch brings."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list] = {}

    def training_step(self, batch, _):
        self.seen.setdefault(self.current_epoch, []).append(batch.frame.tolist())
        return self.weight**2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_advances_the_epoch_also_after_resuming(module, tmp_path):
    quiet = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "default_root_dir": tmp_path,
    }
    through, before, after = Recorder(), Recorder(), Recorder()
    pl.Trainer(max_epochs=3, enable_checkpointing=False, **quiet).fit(through, datamodule=module())
    trainer = pl.Trainer(max_epochs=2, enable_checkpointing=False, **quiet)
    trainer.fit(before, datamodule=module())
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    resumed = pl.Trainer(max_epochs=3, enable_checkpointing=False, **quiet)
    resumed.fit(after, datamodule=module(), ckpt_path=tmp_path / "two.ckpt", weights_only=False)
    assert len({str(epoch) for epoch in through.seen.values()}) == 3
    assert after.seen == {2: through.seen[2]}


@pytest.mark.parametrize("method", ["isolated_atoms", "least_squares"])
def test_isolated_atoms_set_e0s_and_stay_in_train(write, make_silicon, settings, with_labels, method):
    atom = with_labels(Atoms("Si"), energy=-0.8, forces=[[0.0, 0.0, 0.0]])
    path = write([*make_silicon(9), atom], "with_atom.extxyz")
    for seed in range(4):
        data = AtomicDataModule(settings(path, e0s=method, split_seed=seed), cutoff=5.0, seed=0)
        data.setup()
        assert 9 in data.splits["train"]
        assert data.statistics.e0s == {14: -0.8}
        assert read_split(data.config, 5.0).splits == data.splits
        assert any("without a neighbour" in text for text in data.audit.warnings)
        assert any("1 frames hold one isolated atom (Si; first" in text for text in data.audit.warnings)


def test_where_a_potential_has_its_own_e0s_isolated_atoms_do_not_claim_to_give_them(
    write, make_silicon, settings, with_labels
):
    atom = with_labels(Atoms("Si"), energy=-0.8, forces=[[0.0, 0.0, 0.0]])
    data = AtomicDataModule(settings(write([*make_silicon(9), atom])), cutoff=5.0, seed=0, own_e0s=True)
    data.setup()
    (note,) = [text for text in data.audit.warnings if "hold one isolated atom" in text]
    assert "E0s come from init_from, and no random split" in note


def test_isolated_atoms_of_a_test_file_stay_there(write, make_silicon, settings, with_labels):
    atom = with_labels(Atoms("Si"), energy=-0.8, forces=[[0.0, 0.0, 0.0]])
    frames = make_silicon(14)
    path, test_path = write([*frames[:9], atom], "train.extxyz"), write([atom, *frames[9:]], "test.extxyz")
    data = AtomicDataModule(settings(path, test_path=test_path, e0s="isolated_atoms"), cutoff=5.0, seed=0)
    data.setup()
    assert 9 in data.splits["train"]
    assert 10 in data.splits["test"]


def test_an_element_that_train_has_as_an_isolated_atom_alone_is_in_no_other_frame(
    write, make_silicon, settings, with_labels
):
    """Of an isolated atom nothing is learnt but E0; it may be there for nobody's use."""
    frames, atom = make_silicon(12), with_labels(Atoms("Ge"), energy=-0.7, forces=[[0.0, 0.0, 0.0]])
    train = write([*frames[:9], atom], "train.extxyz")
    data = AtomicDataModule(settings(train, test_path=write([atom, *frames[9:]], "a.extxyz")), cutoff=5.0, seed=0)
    data.setup()
    assert data.species == [14, 32]
    frames[10].numbers[3] = 32
    config = settings(train, test_path=write(frames[9:], "b.extxyz"))
    with pytest.raises(DataError, match=r"b.extxyz, frame 1: Ge occurs in test but in no train frame other than"):
        AtomicDataModule(config, cutoff=5.0, seed=0).setup()
    AtomicDataModule(config, cutoff=5.0, seed=0).setup("test")  # a run that was trained so is evaluated


@pytest.mark.parametrize("over", [None, "test"])
def test_charges_and_a_structure_that_is_periodic_in_part_do_not_go_together_in_any_split(
    write, make_silicon, settings, over
):
    frames = make_silicon(12)
    frames[10].pbc = (True, True, False)
    del frames[10].calc.results["stress"]
    config = settings(write(frames[:9], "a.extxyz"), test_path=write(frames[9:], "slab.extxyz"))
    AtomicDataModule(config, cutoff=4.0, seed=0).setup(over)
    with pytest.raises(
        DataError, match=r"slab.extxyz, frame 1: head.linear.charges need structures .* in none; remove"
    ):
        AtomicDataModule(config, cutoff=4.0, seed=0, charged=True).setup(over)


def test_a_batch_that_no_memory_holds_is_refused(module, monkeypatch):
    monkeypatch.setattr(datamodule, "memory_of_machine", lambda: 1 << 20)
    with pytest.raises(ConfigError, match=r"a batch has up to .* edges, more than .* lower data\.batch_size"):
        module(eval_batch_size=10**9)
    module(eval_batch_size=10**9, max_edges=3000)


def test_suspicious_labels_stop_unless_allowed(write, make_silicon, settings):
    frames = make_silicon(10)
    frames[3].calc.results["energy"] = 0.0
    path = write(frames, "zero.extxyz")
    data = AtomicDataModule(settings(path, on_suspicious="warn"), cutoff=5.0, seed=0)
    data.setup()
    assert len(data.audit.suspicions) == 1


def test_label_that_only_another_split_lacks_is_noted(write, make_silicon, settings):
    frames = make_silicon(10)
    for atoms in frames[8:]:
        atoms.calc.results.pop("stress")
    config = settings(write(frames[:8], "a.extxyz"), test_path=write(frames[8:], "b.extxyz"))
    data = AtomicDataModule(config, cutoff=5.0, seed=0, required={"energy", "forces", "stress"})
    data.setup()
    assert any("no test frame carries it" in text for text in data.audit.warnings)
    assert torch.isnan(next(iter(data.test_dataloader())).stress).all()


def test_a_validation_part_without_any_weighed_label_stops_a_training_and_no_evaluation(write, make_silicon, settings):
    """The validation loss of no labels is 0 in every epoch, so the first one would count as the best."""
    frames = make_silicon(12)
    for atoms in frames[8:]:
        atoms.calc.results = {"stress": atoms.calc.results["stress"]}
    valid = [write(frames[8:9], "v1.extxyz"), write(frames[9:10], "v2.extxyz")]
    config = settings(write(frames[:8], "a.extxyz"), valid_path=valid, test_path=write(frames[10:], "t.extxyz"))
    with pytest.raises(DataError, match=r"v1.extxyz: no validation frame carries .* weighs \(energy, forces\)"):
        AtomicDataModule(config, cutoff=5.0, seed=0).setup()
    AtomicDataModule(config, cutoff=5.0, seed=0).setup("test")
    AtomicDataModule(config, cutoff=5.0, seed=0, required={"energy", "stress"}).setup()


def test_atoms_without_a_force_are_left_out_and_the_rest_of_their_frame_is_used(write, make_silicon, settings):
    """Every frame lacks a force: loss, scale and metrics rest on the others, and each says on how many."""
    frames = make_silicon(6)
    for atoms in frames:
        atoms.calc.results["forces"][:2] = np.nan
    data = AtomicDataModule(settings(write(frames)), cutoff=4.0, seed=0)
    data.setup()
    train = [frames[i].calc.results["forces"] for i in data.splits["train"]]
    assert data.statistics.forces == len(train)
    assert data.statistics.scale == pytest.approx(np.sqrt(np.nanmean(np.square(train))))
    errors = trivial_errors(data.train_graphs, data.test_graphs)
    assert errors["forces_labels"] == 18 * len(data.splits["test"])
    assert errors["forces_mae_meV_A"] == pytest.approx(
        1e3 * np.nanmean(np.abs([frames[i].calc.results["forces"] for i in data.splits["test"]]))
    )
