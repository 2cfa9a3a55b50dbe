"""The linear potential: what it can represent it finds by itself, and its Coulomb energy is that of point charges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list
from samples import SMALL_MACE, batch_of, head_config, make_potential, quartz_like, silanol
from scipy.special import erfc

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.graph import AtomicGraph, collate
from scalarpath.heads import linear_fit
from scalarpath.heads.coulomb import COULOMB, WIDTH, FixedCharges
from scalarpath.nn.cpu import reciprocal_sum
from scalarpath.nn.cpu.choice import in_torch_operations
from scalarpath.potential import build_potential, load_potential
from scalarpath.potential.checkpoint import to_checkpoint
from scalarpath.potential.potential import check_settings

CUTOFF = 5.0


def rattled(count: int) -> list[Atoms]:
    """Strained and rattled cells of copper and gold, labelled by EMT, an embedded-atom potential."""
    draw, frames = np.random.default_rng(0), []
    for k in range(count):
        atoms = bulk("Cu", a=3.7, cubic=True)
        atoms.numbers[draw.integers(4, size=2)] = 79
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.03 * draw.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.15, seed=k)
        atoms.calc = EMT()
        frames.append(atoms)
    return frames


def graph(atoms: Atoms, **labels):
    """One structure as a batch, labelled by its calculator if no labels are given."""
    if not labels:
        labels = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(voigt=False),
        }
    return collate([AtomicGraph.from_atoms(atoms, CUTOFF, **labels)])


def linear_potential(species: list[int], repulsion: str | None = None, **linear):
    potential = build_potential(
        {"species": species, "cutoff": CUTOFF, "dtype": "float64", "backbone": SMALL_MACE,
         "head": {"name": "linear", "linear": linear}, "repulsion": repulsion}
    )  # fmt: skip
    potential.set_statistics(dict.fromkeys(species, 0.0), scale=1.0, shift=0.0, avg_num_neighbors=20.0)
    return potential


def of_the_network(potential, batch) -> torch.Tensor:
    """Atomic energies without those of the linear potential; E0s are zero here."""
    return potential(batch)["node_energy"] - potential.linear(potential.geometry(batch))


def compressed(atoms: Atoms, factor: float = 0.8) -> Atoms:
    atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
    return atoms


@pytest.mark.parametrize("repulsion", [None, "zbl"])
def test_a_potential_of_its_own_kind_is_found_again_beside_a_repulsion_too(repulsion):
    teacher, pupil = (linear_potential([29, 79], repulsion, pair=5, radial=2) for _ in range(2))
    teacher.linear.coefficients.normal_(0.0, 0.05, generator=torch.Generator().manual_seed(1))
    teacher.scale.zero_()
    frames = []
    for atoms in map(compressed, rattled(20)):
        out = teacher(graph(atoms))
        values = {key: out[key].detach().numpy() for key in ("energy", "forces", "stress")}
        frames.append(graph(atoms, energy=values["energy"][0], forces=values["forces"], stress=values["stress"][0]))
    fit = pupil.fit_linear(frames)
    assert fit.cross_validated["forces"] < 1e-4 * frames[0].forces.std()
    assert fit.left["energy"] < 1e-5
    assert pupil.scale.max() == pytest.approx(1e-3), "the network keeps a scale"


def test_an_embedded_atom_potential_is_represented_well():
    frames = [graph(atoms) for atoms in rattled(30)]
    fit = linear_potential([29, 79], radial=0).fit_linear(frames)
    assert fit.left["forces"] < 0.02 * torch.cat([frame.forces for frame in frames]).std()


def test_the_largest_ridge_is_chosen_whose_error_is_hardly_larger(monkeypatch):
    frames = [graph(atoms) for atoms in rattled(30)]

    def fitted(factor: float):
        monkeypatch.setattr(linear_fit, "HARDLY_LARGER", factor)
        return linear_potential([29, 79], radial=0).fit_linear(frames)

    most_accurate, smooth, smoother = (fitted(factor) for factor in (1.0, 1.1, 4.0))
    assert most_accurate.ridge < smooth.ridge < smoother.ridge
    assert most_accurate.left["forces"] < smooth.left["forces"] < smoother.left["forces"]


def test_the_network_beside_a_fitted_potential_is_bounded_and_hardly_changed_where_it_is_small():
    frames = [graph(atoms) for atoms in rattled(20)]
    bounded, free = (linear_potential([29, 79], radial=0, bound=bound) for bound in (10.0, None))
    before = [potential(frames[0])["energy"].item() for potential in (bounded, free)]
    assert before[0] == before[1], "no bound before the fit"
    for potential in (bounded, free):
        potential.fit_linear(frames)
    limit = 10.0 * bounded.scale.max()
    small = [of_the_network(potential, frames[0]) for potential in (bounded, free)]
    assert small[1].abs().max() < 0.2 * limit
    torch.testing.assert_close(small[0], small[1], rtol=0.02, atol=0.0)
    squeezed = graph(Atoms("CuAu", [[0, 0, 0], [0.8, 0, 0]], cell=[9, 9, 9], pbc=True), energy=0.0)
    with torch.no_grad():
        for parameter in bounded.backbone.parameters():
            parameter *= 20.0
    assert 0.99 * limit < of_the_network(bounded, squeezed).abs().max() <= limit + 1e-9  # rounding of the difference


def squeezed_dimer(distance: float):
    """A gold atom pushed into one of copper, in a crystal that is as usual otherwise."""
    atoms = bulk("Cu", a=3.7, cubic=True)
    atoms.numbers[0] = 79
    atoms.positions[0] = atoms.positions[1] - [0, distance / np.sqrt(2), distance / np.sqrt(2)]
    return atoms


def fading(frames):
    """A fitted potential whose bound fades above these frames, evaluated."""
    potential = linear_potential([29, 79], radial=0, bound=10.0, fade=1.0)
    potential.fit_linear(frames)
    potential.observe_linear(frames)
    return potential.eval()


def test_the_bound_fades_above_the_train_frames_for_an_atom_and_its_neighbours():
    frames = [graph(atoms) for atoms in rattled(20)]
    faded, steady = (linear_potential([29, 79], radial=0, bound=10.0, fade=fade) for fade in (1.0, None))
    for potential in (faded, steady):
        potential.fit_linear(frames)
        potential.observe_linear(frames)
        potential.eval()
        with torch.no_grad():
            for parameter in potential.backbone.parameters():
                parameter *= 3.0
    for frame in frames:
        for key, value in steady(frame).items():
            torch.testing.assert_close(faded(frame)[key], value, rtol=1e-9, atol=1e-12)
    limit, pushed = 10.0 * steady.scale.max(), graph(squeezed_dimer(1.2), energy=0.0)
    assert of_the_network(steady, pushed).abs().min() > 0.5 * limit
    assert of_the_network(faded, pushed).abs().max() < 0.01 * limit, "the atom's neighbours too"


def test_the_bound_is_half_as_large_as_far_above_the_train_frames_as_their_highest_is_above_their_mean():
    potential, frames = linear_potential([29, 79], radial=0, bound=10.0, fade=1.0), [graph(a) for a in rattled(20)]
    potential.fit_linear(frames)
    potential.eval()
    alone = potential.geometry(graph(Atoms("Cu", cell=[30.0] * 3, pbc=True), energy=0.0))
    network, high = torch.tensor([1e9], dtype=torch.float64), torch.tensor([1e9], dtype=torch.float64)
    assert potential.linear.bounded(network, high, alone).item() == pytest.approx(10.0), "it has seen nothing yet"
    potential.observe_linear(frames)
    copper = torch.cat([potential.linear(potential.geometry(frame))[frame.z == 29] for frame in frames])
    highest, mean = copper.max(), copper.mean()
    for above, expected in ((-1.0, 10.0), (0.0, 10.0), (highest - mean, 5.0)):
        found = potential.linear.bounded(network, (highest + above)[None], alone).item()
        assert found == pytest.approx(expected, rel=1e-6)


def test_forces_are_those_of_the_energy_where_the_bound_fades():
    potential = fading([graph(atoms) for atoms in rattled(20)])
    atoms, step = squeezed_dimer(1.75), 1e-4
    out = potential(graph(atoms, energy=0.0))
    own = potential.linear(potential.geometry(graph(atoms, energy=0.0)))
    species = potential.species_of(graph(atoms, energy=0.0).z)
    above = (own - potential.linear.highest[species]) / potential.linear.reach[species]
    assert 0.3 < above.max() < 3.0, "the fade is on its way"
    for k, axis in ((0, 1), (1, 2), (2, 0)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[k, axis] += sign * step
            energies.append(potential(graph(moved, energy=0.0))["energy"].item())
        assert out["forces"][k, axis].item() == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-5)


def test_the_shortcut_within_the_train_frames_changes_nothing():
    frames = [graph(atoms) for atoms in rattled(20)]
    potential = fading(frames)
    for batch in (frames[0], graph(squeezed_dimer(1.75), energy=0.0)):
        with in_torch_operations():
            expected = potential(batch)
        for key, value in potential(batch).items():
            torch.testing.assert_close(value, expected[key], rtol=1e-10, atol=1e-10)


def test_a_potential_without_some_of_its_terms_does_not_fade():
    potential = fading([graph(atoms) for atoms in rattled(20)])
    assert potential.linear.highest.isfinite().all()
    assert potential.without(["pair functions Cu-Cu"]).linear.highest.isinf().all()


def test_missing_labels_are_left_out_and_none_at_all_is_an_error():
    potential, frames = linear_potential([29, 79], radial=0), [graph(atoms) for atoms in rattled(12)]
    whole = potential.fit_linear(frames).left["energy"]
    for frame in frames:
        frame.forces[:] = torch.nan
    fit = potential.fit_linear(frames)
    assert set(fit.left) == {"energy", "stress"}
    assert fit.left["energy"] < 2.0 * whole + 1e-3
    for frame in frames:
        frame.energy[:], frame.stress[:] = torch.nan, torch.nan
    with pytest.raises(DataError, match="no train frame has one"):
        potential.fit_linear(frames)


def test_labels_that_the_loss_does_not_weigh_are_not_fitted():
    good, wrong = [graph(atoms) for atoms in rattled(6)], [graph(atoms) for atoms in rattled(6)]
    for frame in wrong:
        frame.stress.mul_(-160.0)
    one, other = linear_potential([29, 79], radial=0), linear_potential([29, 79], radial=0)
    assert set(one.fit_linear(good, {"energy", "forces"}).left) == {"energy", "forces"}
    other.fit_linear(wrong, {"energy", "forces"})
    assert torch.equal(one.linear.coefficients, other.linear.coefficients)


@pytest.mark.parametrize("head", ["linear", "ionic"])
def test_training_and_evaluation_predict_the_same(head):
    potential, batch = make_potential(head), batch_of(quartz_like(), silanol())
    evaluated, trained = potential(batch), potential.train()(batch)
    for key, value in evaluated.items():
        torch.testing.assert_close(trained[key], value, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_the_control_has_the_same_terms_from_zero_and_trains_them():
    frames = [graph(atoms) for atoms in rattled(3)]
    control, plain = (linear_potential([29, 79], pair=3, radial=2, trained=trained) for trained in (True, False))
    assert control.fit_linear(frames) is None, "nothing is fitted"
    before = plain(frames[0])["energy"]
    assert torch.equal(control(frames[0])["energy"], before), "it starts as the network alone"
    (weights,) = control.linear.parameters()
    assert any(weights is parameter for parameter in control.head_parameters())
    control.train()(frames[0])["forces"].square().sum().backward()
    assert weights.grad.abs().sum() > 0, "the loss on the forces reaches them"
    with torch.no_grad():
        weights.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(0))
    plain.linear.coefficients.copy_(weights * control.linear.coefficients)
    for key, value in plain(frames[0]).items():
        torch.testing.assert_close(control(frames[0])[key], value)
    assert (plain(frames[0])["energy"] - before).abs() > 0.1


def test_a_fitted_potential_survives_a_checkpoint(tmp_path):
    potential = make_potential("ionic")
    torch.save(to_checkpoint(potential), tmp_path / "it.ckpt")
    batch = batch_of(quartz_like())
    loaded = load_potential(tmp_path / "it.ckpt").eval()(batch)
    assert torch.equal(loaded["forces"], potential(batch)["forces"])


# energy per pair of ions times distance over e^2, textbook values
MADELUNG = {("rocksalt", 2): 1.747565, ("cesiumchloride", 1): 1.762675}


@pytest.mark.parametrize(("structure", "units"), MADELUNG)
def test_smeared_charges_and_what_smearing_takes_away_are_point_charges(structure, units):
    crystal = bulk("NaCl", structure, a=4.0, cubic=True)
    crystal.rattle(1e-6, seed=0)  # no sum is zero by symmetry
    near = crystal.get_distances(0, [k for k in range(len(crystal)) if k], mic=True).min()
    charges = np.where(crystal.numbers == 11, 1.0, -1.0)
    batch = collate([AtomicGraph.from_atoms(crystal, 3.0)])
    smeared = FixedCharges(torch.tensor([1.0, -1.0]))(batch, (batch.z == 17).long()).node_energy.sum().item()
    i, j, r = neighbor_list("ijd", crystal, 10.0)
    short = 0.5 * COULOMB * (charges[i] * charges[j] * erfc(r / (np.sqrt(2.0) * WIDTH)) / r).sum()
    pairs = len(crystal) / 2
    assert (smeared + short) / pairs * near / COULOMB == pytest.approx(-MADELUNG[structure, units], abs=2e-5)


def test_a_molecule_in_a_large_box_is_like_one_without():
    molecule = Atoms("NaClClNa", [[0, 0, 0], [2.4, 0, 0], [0, 2.3, 0.4], [2.2, 2.4, 0]])
    boxed = molecule.copy()
    boxed.set_cell([60.0] * 3)
    boxed.pbc = True
    batch = collate([AtomicGraph.from_atoms(atoms, 3.0) for atoms in (molecule, boxed)])
    field = FixedCharges(torch.tensor([1.0, -1.0]))(batch, (batch.z == 17).long())
    torch.testing.assert_close(field.forces[:4], field.forces[4:], rtol=0, atol=2e-4)
    torch.testing.assert_close(field.node_energy[:4].sum(), field.node_energy[4:].sum(), rtol=0, atol=2e-3)


def test_charges_need_a_structure_that_is_periodic_altogether():
    slab = quartz_like()
    slab.pbc = [True, True, False]
    with pytest.raises(DataError, match="periodic in all directions or in none"):
        make_potential("ionic")(batch_of(slab))


@pytest.mark.parametrize(
    ("linear", "sentence"),
    [
        ({"charges": {"O": -2}}, "no charge for Si"),
        ({"charges": {"O": -2, "Si": 40}}, "charges"),
        ({"radial": 40, "pair": 60}, "terms for 2 elements"),
        ({"raidal": 4}, "raidal"),
    ],
)
def test_impossible_settings_are_refused(linear, sentence):
    config = {"species": [8, 14], "cutoff": CUTOFF, "backbone": SMALL_MACE, "head": {"name": "l", "linear": linear}}
    with pytest.raises(ConfigError, match=sentence):
        build_potential(config)


def test_an_unknown_element_among_charges_is_refused_before_any_data_are_read():
    head = head_config("ionic")
    head["linear"]["charges"]["Xx"] = 1
    with pytest.raises(ConfigError, match="'Xx' is no chemical symbol"):
        check_settings({"species": [1], "cutoff": CUTOFF, "backbone": SMALL_MACE, "head": head})


@pytest.mark.parametrize("threads", [1, 3])
def test_the_kernel_of_the_reciprocal_sum_does_what_torch_operations_do(threads, monkeypatch):
    monkeypatch.setattr(reciprocal_sum, "WORK_PER_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    skewed = bulk("NaCl", "rocksalt", a=5.6) * (2, 1, 3)
    skewed.rattle(0.2, seed=1)
    skewed.set_cell(skewed.cell.array @ (np.eye(3) + 0.1 * np.arange(9).reshape(3, 3) / 8), scale_atoms=True)
    batch = collate([AtomicGraph.from_atoms(skewed, 3.0)])
    charges = FixedCharges(torch.tensor([1.0, -0.7]))
    ours = charges(batch, (batch.z == 17).long())
    with in_torch_operations():
        theirs = charges(batch, (batch.z == 17).long())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12 * float(b.abs().max()))
