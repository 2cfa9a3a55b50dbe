"""Predictions for files of structures: right, whole, with their errors, and in bounded memory."""

from __future__ import annotations

import json
import weakref
from pathlib import Path

import ase.io
import ase.stress
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from command_line import script
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from samples import CUTOFF, make_potential, quartz_like, silanol

from scalarpath.core.errors import ConfigError, DataError, ScalarPathError
from scalarpath.core.resources import CONF_DIR
from scalarpath.data.paths import sources
from scalarpath.data.reading import Frame
from scalarpath.deploy import Committee, ScalarPathCalculator, spread
from scalarpath.graph import AtomicGraph, collate
from scalarpath.models.predict import run
from scalarpath.models.prediction import predicted
from scalarpath.models.selection import Selection
from scalarpath.models.settings import PredictSettings
from scalarpath.potential import load_potential, write_model
from scalarpath.training.evaluation import evaluate
from scalarpath.training.parity import POINTS, ParitySample


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder in which a command is started, with a model and nothing else."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model.sp", make_potential("panpgs"), {})
    return tmp_path


def frames() -> list[Atoms]:
    """Crystals and molecules of two elements; labels are missing here and there, of single atoms too."""
    random, found = np.random.default_rng(0), []
    for k in range(7):
        atoms = quartz_like() if k % 2 else silanol()
        atoms.rattle(0.05, seed=k)
        forces = random.normal(size=(len(atoms), 3))
        if k == 2:
            forces[1] = np.nan
        results = {"energy": -10.0 - random.random(), "forces": forces}
        if k == 3:
            results["stress"] = random.normal(scale=0.01, size=6)
        if k != 4:
            atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info |= {"config_type": ("cold", "hot")[k % 2], "number": k, "strain": np.arange(9.0).reshape(3, 3)}
        atoms.arrays["charges_of_mine"] = random.normal(size=len(atoms)).round(3)
        found.append(atoms)
    return found


def settings(*overrides: str) -> PredictSettings:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        given = ["model=model.sp", "path=frames.extxyz", "output=predicted.extxyz", *overrides]
        return PredictSettings.from_hydra(compose("predict", given))


@pytest.mark.parametrize("size", ["batch_size=1", "batch_size=100", "max_edges=250"])
def test_predictions_are_those_of_the_calculator_and_all_else_stays(folder, size):
    ase.io.write("frames.extxyz", frames())
    before = ase.io.read("frames.extxyz", ":")
    assert run(settings(size))["frames"] == len(before)
    calculator = ScalarPathCalculator("model.sp")
    for old, new in zip(before, ase.io.read("predicted.extxyz", ":"), strict=True):
        assert new.info.pop("scalarpath_energy") == pytest.approx(calculator.get_potential_energy(old), rel=1e-10)
        np.testing.assert_allclose(new.arrays.pop("scalarpath_forces"), calculator.get_forces(old), atol=1e-8)
        if old.pbc.all():
            stress = ase.stress.voigt_6_to_full_3x3_stress(calculator.get_stress(old))
            np.testing.assert_allclose(new.info.pop("scalarpath_stress"), stress.ravel(), atol=1e-10)
        assert new.info.keys() == old.info.keys()
        np.testing.assert_array_equal(new.info["strain"], old.info["strain"])
        assert new.arrays.keys() == old.arrays.keys()
        np.testing.assert_array_equal(new.arrays["charges_of_mine"], old.arrays["charges_of_mine"])
        for name, value in getattr(old.calc, "results", {}).items():
            np.testing.assert_array_equal(new.calc.results[name], value)


def test_errors_are_those_of_an_evaluation_in_all_and_in_groups(folder, capsys):
    ase.io.write("frames.extxyz", frames())
    errors = run(settings("batch_size=3"))["errors"]
    assert errors == json.loads(Path("predicted_errors.json").read_text())["errors"]
    potential, read = make_potential("panpgs"), ase.io.read("frames.extxyz", ":")
    graphs = []
    for atoms in read:
        found = getattr(atoms.calc, "results", {})
        stress = None if "stress" not in found else ase.stress.voigt_6_to_full_3x3_stress(found["stress"])
        labels = {"energy": found.get("energy"), "forces": found.get("forces"), "stress": stress}
        graphs.append(AtomicGraph.from_atoms(atoms, CUTOFF, **labels))
    assert errors["all"] == pytest.approx(evaluate(potential, [collate(graphs)]))
    assert errors["all"]["energy_labels"] == 6
    assert errors["all"]["forces_labels"] == 3 * (sum(len(atoms) for atoms in read) - len(read[4]) - 1)
    for name, parity in (("cold", 0), ("hot", 1)):
        assert errors["config_type"][name] == pytest.approx(evaluate(potential, [collate(graphs[parity::2])]))
    wrong = {8: [], 14: []}
    for atoms, graph in zip(read, graphs, strict=True):
        difference = potential(collate([graph]))["forces"].detach().numpy() - graph.forces.numpy()
        for z in wrong:
            wrong[z] += difference[atoms.numbers == z].ravel().tolist()
    for z, name in ((8, "O"), (14, "Si")):
        assert errors["element"][name].keys() == {"forces_mae_meV_A", "forces_rmse_meV_A", "forces_labels"}
        assert errors["element"][name]["forces_mae_meV_A"] == pytest.approx(1e3 * np.nanmean(np.abs(wrong[z])))
    table = capsys.readouterr().out
    assert all(name in table for name in ("all", "element O", "element Si", "config_type cold", "meV/atom"))
    names = {"predicted.extxyz", "predicted_errors.json", "predicted_parity.svg", "predicted_parity.png"}
    assert names == {path.name for path in folder.iterdir()} - {"model.sp", "frames.extxyz"}


def test_without_labels_there_are_no_errors(folder, capsys):
    ase.io.write("frames.extxyz", [silanol(), quartz_like()])
    assert run(settings())["errors"] == {}
    assert "predicted.extxyz (2 frames); no labels, so no errors" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {"model.sp", "frames.extxyz", "predicted.extxyz"}


def test_labels_under_other_names_and_units_and_none_at_all(folder):
    atoms = quartz_like()
    energy = ScalarPathCalculator("model.sp").get_potential_energy(atoms)
    atoms.info |= {"E_mine": 1e3 * energy, "energy": 5.0, "REF_energy": 7.0}
    ase.io.write("frames.extxyz", atoms)
    with pytest.raises(DataError, match=r"several keys could be the energy label .*set data.energy_key to one"):
        run(settings())
    given = run(settings("data.energy_key=E_mine", "data.energy_unit=meV"))["errors"]
    assert given["all"]["energy_mae_meV_atom"] == pytest.approx(0.0, abs=1e-6)
    assert run(settings("errors=false", "output=other.extxyz"))["errors"] == {}


@pytest.fixture
def members(folder) -> list[str]:
    """Three models that do not agree."""
    names = ["a.sp", "b.sp", "c.sp"]
    for seed, name in enumerate(names):
        write_model(folder / name, make_potential("baseline", seed=seed), {})
    return names


@pytest.mark.parametrize("select", [2, 100])
def test_frames_on_which_the_models_disagree_most_come_first_with_mean_and_spread(folder, members, select, capsys):
    """Against a computation of all frames at once with the calculators of the members."""
    ase.io.write("one.extxyz", frames()[:4])
    ase.io.write("two.traj", frames()[4:])
    three = f"model=[{','.join(members)}]"
    content = run(settings(three, "path=[one.extxyz,two.traj@1:]", "batch_size=2", f"select={select}"))
    pool = [("one.extxyz", k, atoms) for k, atoms in enumerate(frames()[:4])]
    pool += [("two.traj", k, atoms) for k, atoms in enumerate(frames()[4:]) if k > 0]
    found = spread(Committee(members), [atoms for *_, atoms in pool])
    order = sorted(range(len(pool)), key=lambda k: -found.forces[k].max())[:select]
    chosen = ase.io.read("predicted.extxyz", ":")
    assert len(chosen) == len(order)
    assert order != sorted(order)
    for k, atoms in zip(order, chosen, strict=True):
        file, number, old = pool[k]
        assert (atoms.info["scalarpath_file"], atoms.info["scalarpath_frame"]) == (file, number)
        assert atoms.info["number"] == old.info["number"]
        energies = [ScalarPathCalculator(name).get_potential_energy(old) for name in members]
        assert atoms.info["scalarpath_energy"] == pytest.approx(np.mean(energies), rel=1e-10)
        assert atoms.info["scalarpath_energy_per_atom_std"] == pytest.approx(np.std(energies, ddof=1) / len(old))
        np.testing.assert_allclose(atoms.arrays["scalarpath_forces_std"], found.forces[k], atol=1e-8)
    assert (content["frames"], content["errors"]["all"]["energy_labels"]) == (6, 6)
    assert f"of 6 frames, the {len(order)} with the largest spread" in capsys.readouterr().out


def test_several_models_without_a_choice_write_every_frame_in_order(folder, members, monkeypatch):
    trusted = []

    def load(path, trust=()):
        trusted.append((path, trust))
        return load_potential(path, trust=trust)

    monkeypatch.setattr("scalarpath.deploy.calculator.load_potential", load)
    ase.io.write("frames.extxyz", frames())
    run(settings("model=[a.sp,b.sp]", "trust=[theirs]"))
    assert trusted == [("a.sp", ["theirs"]), ("b.sp", ["theirs"])]
    written = ase.io.read("predicted.extxyz", ":")
    assert [atoms.info["number"] for atoms in written] == list(range(7))
    assert all("scalarpath_forces_std" in atoms.arrays and "scalarpath_frame" not in atoms.info for atoms in written)


def test_a_selection_is_that_of_a_sorted_list_and_makes_few_texts():
    random = np.random.default_rng(0)
    spreads = random.integers(0, 50, 1000).tolist()
    selection, made = Selection(20), []
    for k, each in enumerate(spreads):
        selection.offer(each, lambda k=k: made.append(k) or str(k))
        assert len(selection._kept) <= 20
    assert selection.texts() == [str(k) for k in sorted(range(1000), key=lambda k: (-spreads[k], k))[:20]]
    assert len(made) < 200


@pytest.mark.parametrize("name", ["frames.traj", "frames.db", "frames.extxyz.gz", "POSCAR"])
def test_any_file_that_ase_reads(folder, name):
    if "POSCAR" in name:
        ase.io.write(name, quartz_like(), format="vasp")
    else:
        ase.io.write(name, frames()[1::2])
    run(settings(f"path={name}"))
    old, new = ase.io.read(name, ":"), ase.io.read("predicted.extxyz", ":")
    for one, other in zip(old, new, strict=True):
        energy = ScalarPathCalculator("model.sp").get_potential_energy(one)
        assert other.info["scalarpath_energy"] == pytest.approx(energy, abs=1e-6)


def test_a_folder_of_structures_needs_no_labels(folder, capsys):
    Path("pool").mkdir()
    for number in (2, 10):
        ase.io.write(f"pool/c{number}.cif", quartz_like().repeat((1, 1, number // 2)))
    ase.io.write("pool/POSCAR", quartz_like(), format="vasp")
    Path("pool/README.md").write_text("Made by hand.")
    run(settings("path=pool"))
    assert [len(atoms) for atoms in ase.io.read("predicted.extxyz", ":")] == [7, 7, 35]
    said = "3 files (POSCAR, c2.cif, c10.cif) read; not read: 1 file (README.md)"
    assert said in " ".join(capsys.readouterr().out.split())
    with pytest.raises(DataError, match="none of the 4 files in this folder is known to carry labelled frames"):
        sources("pool", [], "data.path")


COMMITTEE = ["model=[model.sp,other.sp]", "select=1"]
UNREADABLE = "2\nProperties=species:S:1:pos:R:3\nSi 0 0 0\n"


@pytest.mark.parametrize(
    ("last", "overrides", "message"),
    [
        (Atoms("Au", [[0, 0, 0]]), [], r"frames.extxyz, frame 2: this potential does not know Au; remove such frames"),
        (Atoms("Si", pbc=True), [], r"frames.extxyz, frame 2: periodic along .* but the cell has no extent there; set"),
        (Atoms("Si2", [[0, 0, 0], [0, 0, 0.01]]), [], r"frame 2: atoms 0 and 1 are 0.01 Å apart"),
        (UNREADABLE, [], r"frames.extxyz, frame 2: cut short .*repair or remove this frame"),
        ("nonsense\n", [], r"frame 1: cut short or malformed .*; repair or remove this frame"),
        (
            None,
            ["data.energy_key=E"],
            r"frames.extxyz: no frame has the key 'E' given as data.energy_key; the keys are",
        ),
        (None, ["path=empty.extxyz"], r"empty.extxyz: the file is empty; write the frames again"),
        (None, ["path='no*.extxyz'"], r"no\*.extxyz: no file matches this pattern"),
        (None, ["model=frames.extxyz"], r"frames.extxyz is damaged or no checkpoint of scalarpath .*or give a"),
        (None, ["model=nothing"], r"nothing does not exist; give a checkpoint, a run directory"),
        (None, ["prefix=my"], r"frame 0: 'my_energy' is there already; choose other names .* prefix="),
        (None, ["output=frames.extxyz"], r"output=frames.extxyz is there already; choose another name"),
        (
            None,
            ["output=predicted.traj"],
            r"output=predicted.traj is written as extended XYZ; call it predicted.extxyz",
        ),
        (None, ["select=2"], r"^select= goes by the spread of two or more models; give them as model=\[A,B,C\].$"),
        (None, ["select=2", "model=[model.sp]"], r"^select= goes by the spread of two or more models; give them"),
        (None, ["model=[model.sp]"], r"a committee needs two or more potentials, in a list"),
        (None, ["model=[model.sp,./model.sp]"], r"model.sp is twice in the committee"),
        (None, ["select=0", "model=[model.sp,other.sp]"], r"select must be at least 1, not 0"),
        (Atoms("Au", [[0, 0, 0]]), COMMITTEE, r"frames.extxyz, frame 2: this potential does not know Au; remove such"),
        (None, [*COMMITTEE, "prefix=my"], r"frame 0: 'my_energy' is there already; choose other names .* prefix="),
        (None, ["dtype=float16"], r"dtype must be"),
        (None, ["group_key=element"], r"group_key=element: these errors are there always; name a key of info, or null"),
        (None, ["prefix='a b'"], r"prefix must be a name"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(folder, last, overrides, message):
    ase.io.write("frames.extxyz", frames()[:2])
    if "prefix=my" in overrides:
        ase.io.write("frames.extxyz", Atoms("Si", info={"my_energy": 1.0}))
    with Path("frames.extxyz").open("a") as stream:
        if isinstance(last, Atoms):
            ase.io.write(stream, last, format="extxyz")
        elif last:
            stream.write(last)
    Path("empty.extxyz").touch()
    write_model(folder / "other.sp", make_potential("baseline", seed=1), {})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ScalarPathError, match=message) as caught:
        run(settings("batch_size=1", *overrides))
    assert "\n" not in str(caught.value)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("missing", ["model", "path", "output"])
def test_what_is_not_given_is_asked_for(missing):
    with pytest.raises(ConfigError, match=rf"give {missing}=<"):
        settings(f"{missing}=null")


def test_a_prediction_that_is_not_finite_is_not_written(folder):
    potential = make_potential("baseline")
    with torch.no_grad():
        potential.e0[0] = torch.inf
    write_model(Path("broken.sp"), potential, {})
    ase.io.write("frames.extxyz", [Atoms("Si"), Atoms("O")])
    with pytest.raises(DataError, match=r"frames.extxyz, frame 1: the prediction is not finite"):
        run(settings("model=broken.sp"))
    assert not Path("predicted.extxyz").exists()


def test_a_frame_that_charges_cannot_be_in_is_named_with_one_model_and_several(folder, members):
    write_model(Path("ionic.sp"), make_potential("ionic"), {})
    slab = quartz_like()
    slab.pbc = (True, True, False)
    ase.io.write("frames.extxyz", [quartz_like(), slab])
    for model in ("ionic.sp", f"[{members[0]},ionic.sp]"):
        with pytest.raises(DataError, match=r"frames.extxyz, frame 1: head.linear.charges need structures that are"):
            run(settings(f"model={model}"))


def test_only_one_batch_is_in_memory():
    alive: list[weakref.ref[Atoms]] = []
    most = 0

    def stream():
        nonlocal most
        for number in range(32):
            atoms = silanol()
            alive.append(weakref.ref(atoms))
            yield Frame(atoms, "stream", number)
            del atoms
            most = max(most, sum(each() is not None for each in alive))

    batches = predicted(make_potential("baseline"), stream(), None, max_edges=None, batch_size=4)
    assert sum(len(batch.frames) for batch in batches) == 32
    assert most <= 3 * 4


def test_the_sample_of_a_parity_plot_is_bounded_and_fair(monkeypatch):
    monkeypatch.setattr("scalarpath.training.parity.POINTS", 100)
    sample, graph = ParitySample(), AtomicGraph.from_atoms(Atoms("Si"), CUTOFF, energy=0.0)
    for k in range(1000):
        graph.energy = torch.tensor([float(k)])
        batch = collate([graph])
        sample.update({"energy": batch.energy + 1.0, "forces": batch.forces, "stress": batch.stress}, batch)
    pairs = sample.pairs("energy")
    assert (len(pairs), sample.seen["energy"], sample.seen["forces"]) == (100, 1000, 0)
    np.testing.assert_allclose(pairs[:, 1] - pairs[:, 0], 1.0)
    assert 350 < pairs[:, 0].mean() < 650
    assert POINTS > 1000


@pytest.mark.slow
def test_the_command(folder):
    ase.io.write("frames.extxyz", frames())
    result = script("predict.py", "model=model.sp", "path=frames.extxyz", "output=new/p.extxyz", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert len(ase.io.read("new/p.extxyz", ":")) == 7


def test_a_missing_file_is_said_at_once(folder):
    result = script("predict.py", "model=model.sp", "path=nowhere.extxyz", "output=p.extxyz", cwd=folder)
    message = "error: path=nowhere.extxyz: no such file or folder; check the path.\n"
    assert (result.returncode, result.stderr) == (2, message)
