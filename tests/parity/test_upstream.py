"""Weights of the upstream packages give their energies, forces and stress."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from scalarpath.core.errors import UpstreamError
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import load_potential, to_checkpoint
from scalarpath.upstream import from_upstream
from scalarpath.upstream.mace import export_mace

OWN = Path(__file__).parent / "fixtures"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "parity"  # larger ones, where the checkout has them beside it
FIXTURES = [
    pytest.param(kind, file, id=f"{kind}-{folder.name}-{file.stem}")
    for kind in ("mace", "nequip", "allegro")
    for folder in (OWN, SHARED)
    for file in sorted((folder / kind).glob("*.json"))
]


def load(file: Path) -> tuple[dict[str, np.ndarray], dict]:
    with np.load(file.with_suffix(".npz")) as arrays:
        return dict(arrays), json.loads(file.read_text())


def structures(file: Path) -> list[dict[str, np.ndarray]]:
    return [dict(np.load(path)) for path in sorted(file.parent.glob(f"{file.stem}_s*.npz"))]


def predict(potential, reference: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    pbc = reference["pbc"] if "pbc" in reference else reference["cell"].any()
    atoms = Atoms(reference["numbers"], reference["positions"], cell=reference["cell"], pbc=pbc)
    out = potential(collate([AtomicGraph.from_atoms(atoms, potential.cutoff)]))
    return {key: value.detach().numpy() for key, value in out.items()}


@pytest.mark.parametrize(("kind", "file"), FIXTURES)
def test_energy_forces_and_stress_agree_to_rounding(kind, file):
    potential = from_upstream(kind, *load(file))
    tolerance = 1e-10 if potential.dtype == torch.float64 else 1e-5
    references = structures(file)
    assert len(references) == 3
    for reference in references:
        out = predict(potential, reference)
        np.testing.assert_allclose(out["energy"], reference["energy"].reshape(1), rtol=tolerance)
        np.testing.assert_allclose(out["node_energy"], reference["node_energy"].flatten(), rtol=tolerance)
        largest = np.abs(reference["forces"]).max()
        np.testing.assert_allclose(out["forces"], reference["forces"], atol=tolerance * largest)
        if np.isfinite(out["stress"]).all():
            largest = np.abs(reference["stress"]).max()
            np.testing.assert_allclose(out["stress"][0], reference["stress"].reshape(3, 3), atol=tolerance * largest)


@pytest.mark.parametrize("file", sorted((OWN / "mace").glob("*.json")), ids=lambda file: file.stem)
def test_an_imported_mace_goes_back_with_every_array_and_hyperparameter(file):
    arrays, hyperparameters = load(file)
    given, weights = export_mace(from_upstream("mace", arrays, hyperparameters))
    for name, value in weights.items():
        if name in arrays:  # the tables of couplings are left out
            np.testing.assert_allclose(value.flatten(), arrays[name].flatten(), rtol=1e-14, err_msg=name)
    assert {name for name in hyperparameters["parameter_names"] if arrays[name].size} <= set(weights)
    again = from_upstream("mace", weights, given)
    assert again.config == from_upstream("mace", arrays, hyperparameters).config


CLI_MODEL = OWN / "mace" / "HOSi_cli_MACE.json"


def test_a_saved_import_predicts_the_same(tmp_path):
    potential = from_upstream("mace", *load(CLI_MODEL))
    torch.save(to_checkpoint(potential), tmp_path / "imported.pt")
    loaded = load_potential(tmp_path / "imported.pt")
    for reference in structures(CLI_MODEL):
        before, after = predict(potential, reference), predict(loaded, reference)
        assert np.array_equal(before["forces"], after["forces"])


def test_couplings_of_another_sign_or_reduced_are_taken_over():
    """A state dict whose couplings are linear combinations of ours is the same model with other weights."""
    arrays, hyperparameters = load(CLI_MODEL)
    expected = predict(from_upstream("mace", arrays, hyperparameters), structures(CLI_MODEL)[0])
    rng = np.random.default_rng(0)
    for name in [name for name in arrays if name.endswith("U_matrix_3")]:
        mix = rng.normal(size=[arrays[name].shape[-1]] * 2) + 3 * np.eye(arrays[name].shape[-1])
        weights = name.replace("U_matrix_3", "weights_max")
        arrays[name] = arrays[name] @ mix
        arrays[weights] = np.einsum("kq,sqc->skc", np.linalg.inv(mix), arrays[weights])
    out = predict(from_upstream("mace", arrays, hyperparameters), structures(CLI_MODEL)[0])
    np.testing.assert_allclose(out["forces"], expected["forces"], atol=1e-9)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"interaction_cls": "RealAgnosticAttResidualInteractionBlock"}, "has no native equivalent"),
        ({"hidden_irreps": "8x0e+4x1o"}, "only C x 0e"),
        ({"use_so3": True}, "use_so3"),
        ({"heads": ["pbe", "scan"]}, "2 heads"),
        ({"radial_type": "chebyshev"}, "radial_type chebyshev"),
        ({"gate": "softplus"}, "gate softplus"),
        ({"num_bessel": 5}, "entries where the hyperparameters ask for"),
        ({"pair_repulsion": True}, "has no 'pair_repulsion_fn.c'"),
        ({"hidden_irreps": None}, "'hidden_irreps' is missing"),
    ],
)
def test_what_cannot_be_imported_faithfully_is_refused(change, complaint):
    arrays, hyperparameters = load(CLI_MODEL)
    changed = {key: value for key, value in (hyperparameters | change).items() if value is not None}
    with pytest.raises(UpstreamError, match=complaint):
        from_upstream("mace", arrays, changed)


def test_a_nonlinear_interaction_that_jumps_at_the_cutoff_is_refused():
    arrays, hyperparameters = load(OWN / "mace" / "HOSi_nonlinear.json")
    with pytest.raises(UpstreamError, match=r"apply_cutoff = True .* would jump at the cutoff"):
        from_upstream("mace", arrays, hyperparameters | {"apply_cutoff": True})


def test_missing_arrays_and_unknown_kinds_are_named():
    arrays, hyperparameters = load(CLI_MODEL)
    with pytest.raises(UpstreamError, match="unknown; use one of: mace, nequip, allegro"):
        from_upstream("schnet", arrays, hyperparameters)
    del arrays["interactions.0.linear_up.weight"]
    with pytest.raises(UpstreamError, match=r"has no 'interactions.0.linear_up.weight'"):
        from_upstream("mace", arrays, hyperparameters)


NEQUIP_MODEL, ALLEGRO_MODEL = OWN / "nequip" / "HOSi_1_layer.json", OWN / "allegro" / "HOSi_spline.json"


@pytest.mark.parametrize(
    ("kind", "file", "change", "complaint"),
    [
        ("nequip", NEQUIP_MODEL, {"type_names": ["H", "Oxide", "Si"]}, "type 'Oxide' is no chemical symbol"),
        ("nequip", NEQUIP_MODEL, {"avg_num_neighbors": None}, "'avg_num_neighbors' is missing"),
        ("nequip", NEQUIP_MODEL, {"convnet_nonlinearity_type": "norm"}, "convnet_nonlinearity_type = norm"),
        ("nequip", NEQUIP_MODEL, {"readout_mlp_nonlinearity": "ssp"}, "readout_mlp_nonlinearity ssp is not known"),
        ("nequip", NEQUIP_MODEL, {"num_features": 7}, "entries where the hyperparameters ask for"),
        ("nequip", NEQUIP_MODEL, {"radial_mlp_width": 5}, "where the hyperparameters ask for"),
        ("nequip", NEQUIP_MODEL, {"num_layers": 2}, "where the hyperparameters ask for"),
        ("nequip", OWN / "nequip" / "HSi_l0.json", {"num_layers": 1}, "layer1_convnet.* has no place in a model"),
        ("nequip", OWN / "nequip" / "HSi_l0.json", {"num_layers": 3}, "has no '.*layer2_convnet"),
        ("mace", CLI_MODEL, {"num_interactions": 1}, "has no place in a model|where the hyperparameters"),
        (
            "nequip",
            NEQUIP_MODEL,
            {"pair_potential": {"_target_": "nequip.nn.pair_potential.LennardJones"}},
            "LennardJones",
        ),
        ("allegro", ALLEGRO_MODEL, {"weight_individual_irreps": False}, "weight_individual_irreps = False"),
        ("allegro", ALLEGRO_MODEL, {"radial_chemical_embed": {"_target_": "my.Embed"}}, "radial_chemical_embed Embed"),
        ("allegro", ALLEGRO_MODEL, {"l_max": None}, "'l_max' is missing"),
        ("allegro", ALLEGRO_MODEL, {"num_tensor_features": 9}, "where the hyperparameters ask for"),
    ],
)
def test_what_cannot_be_imported_faithfully_by_its_kind_is_refused(kind, file, change, complaint):
    arrays, hyperparameters = load(file)
    changed = {key: value for key, value in (hyperparameters | change).items() if value is not None}
    with pytest.raises(UpstreamError, match=complaint):
        from_upstream(kind, arrays, changed)


@pytest.mark.parametrize("kind", ["nequip", "allegro"])
def test_a_native_backbone_has_as_many_parameters_as_upstream(kind):
    for file in sorted((OWN / kind).glob("*.json")):
        arrays, hyperparameters = load(file)
        potential = from_upstream(kind, arrays, hyperparameters)
        trained = ("per_type_energy_scales_trainable", "per_type_energy_shifts_trainable")  # buffers here
        references = sum(len(potential.species) for option in trained if hyperparameters.get(option))
        count = sum(parameter.numel() for parameter in potential.parameters())
        assert count + references == hyperparameters["param_count"], file.stem
