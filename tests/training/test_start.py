"""Training from the weights in a file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from composed_jobs import SMOKE, job, run
from samples import make_potential, quartz_like, silanol

from scalarpath.core.errors import CheckpointError, ConfigError
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import build_potential, load_potential, potential_config, to_checkpoint
from scalarpath.runs.job import Job
from scalarpath.training import run as training
from scalarpath.training.start import fit_e0s

SMALL = (*SMOKE, "backbone.num_channels=8", "trainer.max_epochs=1", "evaluate_train_frames=0", "dtype=float64")


def test_constants_per_element_are_found_and_frames_without_energy_left_out():
    potential = make_potential("baseline")
    before, batches = potential.e0.clone(), []
    for number, atoms in enumerate([quartz_like(), silanol(), quartz_like(), silanol()]):
        batch = collate([AtomicGraph.from_atoms(atoms, potential.cutoff)])
        shift = torch.tensor([0.3, -1.2], dtype=torch.float64)[potential.species_of(batch.z)].sum()
        energy = potential(batch, forces=False, stress=False)["energy"].detach() + shift
        batch.energy = torch.full_like(energy, torch.nan) if number == 2 else energy
        batches.append(batch)
    changes = fit_e0s(potential, batches)
    assert changes == pytest.approx({8: 0.3, 14: -1.2}, abs=1e-9)
    torch.testing.assert_close(potential.e0 - before, torch.tensor([0.3, -1.2], dtype=torch.float64))
    batch = batches[2]
    assert fit_e0s(potential, [batch]) == {8: 0.0, 14: 0.0}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A potential of three elements, as another training would have left it."""
    settings = Job.from_hydra(job(*SMALL))
    potential = build_potential(potential_config([3, 9, 14], settings.backbone, settings.head, "float64"), seed=9)
    potential.set_statistics({3: 1.0, 9: 2.0, 14: -3.0}, scale=2.0, shift=0.5, avg_num_neighbors=20.0)
    torch.save(to_checkpoint(potential), tmp_path / "other.ckpt")
    return tmp_path / "other.ckpt"


def test_a_run_starts_from_the_energies_of_the_file(file: Path, tmp_path: Path, capsys) -> None:
    frozen = ("optimizer=adamw", "optimizer.lr=1e-12", "head=panpgs", f"init_from={file}", "init_e0s=keep")
    run(job(*SMALL, *frozen, f"output_dir={tmp_path / 'run'}"))
    source, result = load_potential(file), load_potential(tmp_path / "run")
    assert result.species == [14]
    batch = collate([AtomicGraph.from_atoms(atoms, source.cutoff) for atoms in (quartz_like(),)])
    batch.z.fill_(14)
    ours, theirs = result(batch), source(batch)
    torch.testing.assert_close(ours["energy"], theirs["energy"], rtol=1e-8, atol=0.0)
    torch.testing.assert_close(ours["forces"], theirs["forces"], rtol=1e-6, atol=1e-7)
    record = json.loads((tmp_path / "run" / "provenance.json").read_text())["init_from"]
    assert record == {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "elements_of_file": 3,
        "elements": ["Si"],
        "e0_changes_eV": {},
    }
    assert "3 elements cut down to Si; scale, shift and mean degree as there; E0s as there." in capsys.readouterr().out


def test_e0s_are_fitted_and_a_run_that_goes_on_needs_no_file(file: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "run"
    first = run(job(*SMALL, "optimizer=adamw", f"init_from={file}", f"output_dir={path}"))
    assert "E0s fitted to the train energies: Si " in " ".join(capsys.readouterr().out.split())
    changes = json.loads((path / "provenance.json").read_text())["init_from"]["e0_changes_eV"]
    assert changes.keys() == {"Si"}
    assert load_potential(path).e0.tolist() == [pytest.approx(changes["Si"] - 3.0)]
    file.unlink()
    second = training.run(Job.from_hydra(job(f"resume={path}"), {"trainer.max_epochs": 2}), resume=path)
    assert (first["epochs"], second["epochs"]) == (1, 2)
    assert "Starts from" not in capsys.readouterr().out


def test_frames_of_one_composition_need_no_e0s_where_the_file_has_them(file: Path, tmp_path: Path) -> None:
    run(job(*SMALL, "data=lif", "data.e0s=least_squares", f"init_from={file}", f"output_dir={tmp_path / 'run'}"))
    assert load_potential(tmp_path / "run").species == [3, 9]


@pytest.mark.parametrize(("wanted", "kept"), [("all", [3, 9, 14]), ("[F]", [9, 14])])
def test_elements_that_the_data_lack_are_kept_where_asked_for(wanted, kept, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    still = ("optimizer=adamw", "optimizer.lr=1e-12", f"init_from={file}", f"init_elements={wanted}")
    run(job(*SMALL, *still, "head=panpgs", f"output_dir={path}"))
    source, result = load_potential(file), load_potential(path)
    assert result.species == kept
    atoms = quartz_like()
    atoms.numbers[::2], atoms.numbers[1::2] = kept[0], kept[-1]
    batch = collate([AtomicGraph.from_atoms(atoms, source.cutoff)])
    torch.testing.assert_close(result(batch)["forces"], source(batch)["forces"], rtol=1e-6, atol=1e-7)
    moved = result.e0 - torch.stack([source.e0[source.species.index(z)] for z in kept])
    assert moved[:-1].abs().max() < 1e-6 < moved[-1].abs(), "E0s of elements without frames stay"
    file.unlink()
    training.run(Job.from_hydra(job(f"resume={path}"), {"trainer.max_epochs": 2}), resume=path)
    assert load_potential(path).species == kept


@pytest.mark.parametrize("optimizer", ["soap", "adamw"])
def test_frozen_parts_stay_as_they_are_and_others_learn_at_their_rates(optimizer, tmp_path: Path) -> None:
    path = tmp_path / "run"
    slow = (f"optimizer={optimizer}", "frozen=[embedding,layer_1]", "depth_factor=0.5")
    run(job(*SMALL, *slow, "head=panpgs", "callbacks.ema.decay=0.9", f"output_dir={path}"))
    fresh = Job.of_run(path)
    start = build_potential(potential_config([14], fresh.backbone, fresh.head, "float64"), seed=fresh.seed)
    changed = {
        name: [not torch.equal(a, b) for a, b in zip(start.parts()[name], part, strict=True)]
        for name, part in load_potential(path).parts().items()
    }
    assert not any(changed["embedding"] + changed["layer_1"])
    assert all(changed["layer_2"] + changed["readout"])
    assert any(changed["head"])
    content = torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)
    rates = {(group["name"], group["initial_lr"]) for group in content["optimizer_states"][0]["param_groups"]}
    lr = fresh.optimizer.lr
    assert rates == {("backbone", lr), ("backbone", 0.5 * lr), ("head", lr)}
    summary = training.run(Job.from_hydra(job(f"resume={path}"), {"trainer.max_epochs": 2}), resume=path)
    assert summary["epochs"] == 2
    assert summary["parameters/frozen"] == sum(p.numel() for n in ("embedding", "layer_1") for p in start.parts()[n])
    ours, theirs = (potential.parts()["layer_1"] for potential in (load_potential(path), start))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("overrides", "error", "complaint"),
    [
        (["frozen=[layer_9]"], ConfigError, "frozen must be one of embedding"),
        (["init_from=none.ckpt"], CheckpointError, "none.ckpt does not exist"),
        (["init_from={file}", "backbone.max_ell=1"], ConfigError, r"has backbone.max_ell=3 \(here: 1\)"),
        (["init_from={file}", "data=ag"], ConfigError, "knows no Ag"),
        (["init_from={file}", "init_elements=[F,Cl]"], ConfigError, "knows no Cl; leave it out"),
        (["init_elements=all"], ConfigError, "name a file with init_from="),
        (["init_from={file}", "shift=mean"], ConfigError, "leave shift=mean out"),
        (["init_from={file}", "data.e0s=isolated_atoms"], ConfigError, "takes the E0s of the file.*leave data.e0s out"),
        (["init_from={file}", "data.e0s={{Si:-0.8}}"], ConfigError, "takes the E0s of the file.*leave data.e0s out"),
    ],
)
def test_what_cannot_start_leaves_nothing(overrides, error, complaint, file, tmp_path):
    with pytest.raises(error, match=complaint):
        run(job(*SMALL, *(text.format(file=file) for text in overrides), f"output_dir={tmp_path / 'run'}"))
    assert [path.name for path in tmp_path.iterdir()] == ["other.ckpt"]
