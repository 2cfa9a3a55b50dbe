"""What a potential refuses to be built from."""

from __future__ import annotations

import inspect

import pytest
import torch
from samples import SMALL, SMALL_ALLEGRO, SMALL_MACE, SMALL_NEQUIP, group

from scalarpath.backbones.interface import OF_THE_POTENTIAL, backbone_class
from scalarpath.core.errors import ConfigError
from scalarpath.potential import build_potential, check_settings, configuration
from scalarpath.potential.configuration import potential_config

GOOD = {
    "species": [14],
    "cutoff": 4.0,
    "dtype": "float32",
    "backbone": SMALL_MACE,
    "head": {"name": "baseline", "parts": {}},
    "repulsion": None,
}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"cutoff": 0.0}, "cutoff must be at least 0.1, not 0.0"),
        ({"cutoff": -3}, "cutoff must be at least 0.1, not -3"),
        ({"cutoff": "wide"}, "cutoff must be a number, not 'wide'"),
        ({"species": []}, "species = \\[\\] must be distinct"),
        ({"species": [14, 14]}, "must be distinct"),
        ({"species": [0]}, "species must be at least 1"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64"),
        ({"repulsion": "born"}, "repulsion must be zbl or null, not 'born'"),
        ({"colour": "red"}, "has no setting 'colour'"),
        ({"backbone": 3}, "backbone must be a group of settings, not 3"),
        ({"backbone": SMALL_MACE | {"kind": "schnet"}}, "backbone 'schnet' is unknown; use mace, nequip, allegro or"),
        ({"backbone": SMALL_MACE | {"kind": 5}}, "backbone '5' is unknown"),
        ({"backbone": SMALL_MACE | {"kind": "json:loads"}}, "is not a subclass"),
        ({"backbone": SMALL_MACE | {"kind": "no_module:X"}}, "cannot be imported"),
        ({"backbone": SMALL_MACE | {"layers": 3}}, "backbone has no setting 'layers'; known settings: correlation"),
        ({"backbone": SMALL_MACE | {"num_channels": 0}}, "backbone.num_channels must be at least 1, not 0"),
        ({"backbone": SMALL_MACE | {"num_channels": "many"}}, "num_channels must be a whole number, not 'many'"),
        ({"backbone": SMALL_MACE | {"num_interactions": 1.5}}, "num_interactions must be a whole number, not 1.5"),
        ({"backbone": SMALL_MACE | {"max_L": 1.0}}, "backbone.max_L must be a whole number, not 1.0"),
        ({"backbone": SMALL_MACE | {"radial_mlp": 8}}, "backbone.radial_mlp must be a list, not 8"),
        (
            {"backbone": SMALL_MACE | {"radial_type": "gaussian", "num_bessel": 1}},
            "num_bessel must be at least 2 with backbone.radial_type=gaussian",
        ),
        ({"backbone": SMALL_NEQUIP | {"num_features": [4, 3, 2]}}, "3 entries for 2 degrees"),
        ({"backbone": SMALL_NEQUIP | {"parity": "odd"}}, "parity must be true or false, not 'odd'"),
        ({"backbone": SMALL_NEQUIP | {"l_max": 9}}, "l_max must be at most 4, not 9"),
        ({"backbone": SMALL_NEQUIP | {"polynomial_cutoff_p": 1}}, "polynomial_cutoff_p must be at least 2, not 1"),
        (
            {"backbone": SMALL_NEQUIP | {"readout_mlp_nonlinearity": "selu"}},
            r"must be one of .*, not 'selu' \(did you mean 'silu'\?\)",
        ),
        ({"backbone": SMALL_ALLEGRO | {"two_body": "gaussian"}}, "two_body must be one of bessel, spline"),
        ({"backbone": SMALL_ALLEGRO | {"num_scalar_features": 5}}, "radial_chemical_embed_dim = 5 must be even"),
        (
            {"backbone": SMALL_ALLEGRO | {"two_body": "spline", "spline_span": 17}},
            "spline_span = 17 must be at most backbone.num_splines = 16",
        ),
        ({"backbone": SMALL_ALLEGRO | {"allegro_mlp_hidden_layers_depth": -1}}, "depth must be at least 0, not -1"),
        ({"pair_cutoffs": {"Au": 3.0}}, "'Au' is none of the elements Si"),
        ({"pair_cutoffs": {"Si": {"Si": 9.0}}}, "pair_cutoffs.Si.Si = 9.0 must lie in"),
        ({"pair_cutoffs": {"Si": "short"}}, "pair_cutoffs.Si must be a number"),
        ({"head": {"name": "x", "parts": {}, "backbone": 3}}, "head.backbone must be a group of settings, not 3"),
        ({"head": {"name": "x", "parts": {1: {}}}}, "the name '1' in head.parts must be text, not 1"),
        ({"pair_cutoffs": 3.0}, "pair_cutoffs must be a group of settings"),
        ({"backbone": SMALL_MACE | {"correlation": 7}}, "backbone.correlation must be at most 4, not 7"),
        ({"backbone": SMALL_MACE | {"correlation": [3, 9]}}, "backbone.correlation must be at most 4, not 9"),
        ({"backbone": SMALL_MACE | {"correlation": [3]}}, "1 entries for 2 interactions"),
        ({"backbone": SMALL_MACE | {"interaction": "attention"}}, "interaction must be one of plain, residual"),
        ({"backbone": SMALL_MACE | {"distance_transform": "log"}}, "distance_transform must be one of agnesi, soft"),
        ({"backbone": SMALL_MACE | {"gate": "relu"}}, "gate must be one of"),
    ],
)
def test_impossible_settings_are_refused_in_one_sentence(change, complaint):
    with pytest.raises(ConfigError, match=complaint) as error:
        build_potential(GOOD | change)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
    if "species" not in change and change != {"pair_cutoffs": {"Au": 3.0}}:  # which only the data can tell
        with pytest.raises(ConfigError, match=complaint):
            check_settings(GOOD | change | {"species": []})


@pytest.mark.parametrize(
    "huge",
    [
        SMALL_MACE | {"num_channels": 10_000},
        SMALL_NEQUIP | {"num_features": 10_000},
        SMALL_ALLEGRO | {"num_scalar_features": 10_000, "allegro_mlp_hidden_layers_depth": 100},
    ],
)
def test_networks_beyond_the_memory_are_refused_before_they_are_drawn(huge, monkeypatch):
    monkeypatch.setattr(configuration, "memory_of_machine", lambda: 1 << 30)
    with pytest.raises(ConfigError, match=r"would have more than 4\.5e\+07 parameters.* lower their widths"):
        check_settings({**GOOD, "backbone": huge})


def test_the_good_one_is_built():
    assert build_potential(GOOD).species == [14]


@pytest.mark.parametrize("kind", SMALL)
def test_an_option_that_is_left_out_has_the_value_of_the_yaml_file(kind):
    """Checkpoints from before an option was there, and callers from Python, leave some out."""
    spelled = {key: value for key, value in group("backbone", kind).items() if key not in OF_THE_POTENTIAL}
    full, bare = (build_potential(GOOD | {"backbone": backbone}) for backbone in (spelled, {"kind": kind}))
    assert bare.config["backbone"] == {"kind": kind}
    assert full.state_dict().keys() == bare.state_dict().keys()
    assert all(torch.equal(value, bare.state_dict()[key]) for key, value in full.state_dict().items())


def test_no_constructor_of_a_backbone_has_a_default():
    for kind in SMALL:
        parameters = inspect.signature(backbone_class(kind)).parameters.values()
        assert all(parameter.default is parameter.empty for parameter in parameters), kind


def test_the_number_of_neighbours_of_the_configuration_goes_before_that_of_the_data():
    backbone = {"kind": "mace", "cutoff": 4.0, "avg_num_neighbors": None}
    for own, used in ((None, 42.0), (1.0, 1.0)):
        config = potential_config([47], {**backbone, "avg_num_neighbors": own}, {"name": "baseline", "parts": {}})
        potential = build_potential(config)
        potential.set_statistics({47: 0.0}, scale=1.0, shift=0.0, avg_num_neighbors=42.0)
        assert potential.backbone.mean_degree == used


def test_a_stored_configuration_without_a_number_of_neighbours_divides_by_that_of_its_data():
    config = potential_config([47], {"kind": "mace", "cutoff": 4.0}, {"name": "baseline", "parts": {}})
    del config["avg_num_neighbors"]
    potential = build_potential(config)
    potential.set_statistics({47: 0.0}, scale=1.0, shift=0.0, avg_num_neighbors=42.0)
    assert potential.backbone.mean_degree == 42.0
