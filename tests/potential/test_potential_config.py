"""What a potential refuses to be built from."""

from __future__ import annotations

import pytest
from samples import SMALL_ALLEGRO, SMALL_MACE, SMALL_NEQUIP

from scalarpath.core.errors import ConfigError
from scalarpath.potential import build_potential

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
        ({"cutoff": 0.0}, "cutoff = 0.0 must be positive"),
        ({"cutoff": -3}, "cutoff = -3 must be positive"),
        ({"species": []}, "species = \\[\\] must be distinct"),
        ({"species": [14, 14]}, "must be distinct"),
        ({"species": [0]}, "must be distinct atomic numbers"),
        ({"dtype": "float16"}, "dtype = float16 is not possible"),
        ({"repulsion": "born"}, "repulsion = born is not possible"),
        ({"colour": "red"}, "'colour' is unknown"),
        ({"backbone": SMALL_MACE | {"kind": "schnet"}}, "backbone 'schnet' is unknown"),
        ({"backbone": SMALL_MACE | {"kind": "json:loads"}}, "is not a subclass"),
        ({"backbone": SMALL_MACE | {"kind": "no_module:X"}}, "cannot be imported"),
        ({"backbone": SMALL_MACE | {"layers": 3}}, "option 'layers' is unknown; the options are: correlation"),
        ({"backbone": SMALL_MACE | {"num_channels": 0}}, "num_channels = 0 must be a whole number"),
        ({"backbone": SMALL_MACE | {"num_channels": "many"}}, "num_channels = many must be a whole number"),
        ({"backbone": SMALL_MACE | {"num_interactions": 1.5}}, "num_interactions = 1.5 must be a whole number"),
        ({"backbone": SMALL_NEQUIP | {"num_features": [4, 3, 2]}}, "3 entries for degrees 0..1"),
        ({"backbone": SMALL_NEQUIP | {"parity": "odd"}}, "parity = odd is not possible"),
        ({"backbone": SMALL_NEQUIP | {"l_max": 9}}, "l_max = 9 is not possible"),
        ({"backbone": SMALL_NEQUIP | {"readout_mlp_nonlinearity": "relu"}}, "relu is not possible"),
        ({"backbone": SMALL_ALLEGRO | {"two_body": "gaussian"}}, "two_body = gaussian is not possible"),
        ({"backbone": SMALL_ALLEGRO | {"num_scalar_features": 5}}, "radial_chemical_embed_dim = 5 must be even"),
        ({"backbone": SMALL_ALLEGRO | {"two_body": "spline", "spline_span": 17}}, "spline_span = 17 is not possible"),
        ({"backbone": SMALL_ALLEGRO | {"allegro_mlp_hidden_layers_depth": -1}}, "whole number of at least 0"),
        ({"pair_cutoffs": {"Au": 3.0}}, "'Au' is none of the elements Si"),
        ({"pair_cutoffs": {"Si": {"Si": 9.0}}}, "pair_cutoffs.Si.Si = 9.0 must lie in"),
        ({"backbone": SMALL_MACE | {"correlation": 7}}, "correlation\\[0\\] = 7 is not possible"),
        ({"backbone": SMALL_MACE | {"correlation": [3]}}, "1 entries for 2 interactions"),
        ({"backbone": SMALL_MACE | {"interaction": "attention"}}, "interaction = attention is not possible"),
        ({"backbone": SMALL_MACE | {"distance_transform": "log"}}, "distance_transform = log is not possible"),
        ({"backbone": SMALL_MACE | {"gate": "relu"}}, "gate = relu is not possible"),
    ],
)
def test_impossible_settings_are_refused_in_one_sentence(change, complaint):
    with pytest.raises(ConfigError, match=complaint) as error:
        build_potential(GOOD | change)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def test_the_good_one_is_built():
    assert build_potential(GOOD).species == [14]
