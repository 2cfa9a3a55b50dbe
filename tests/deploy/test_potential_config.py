"""What a potential refuses to be built from."""

from __future__ import annotations

import pytest
from samples import SMALL_MACE

from scalarpath.errors import ConfigError
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
        ({"backbone": SMALL_MACE | {"num_channels": 0}}, "num_channels = 0 must be positive"),
        ({"backbone": SMALL_MACE | {"num_channels": "many"}}, "num_channels = many must be positive"),
        ({"backbone": SMALL_MACE | {"correlation": 7}}, "correlation\\[0\\] = 7 is not possible"),
        ({"backbone": SMALL_MACE | {"correlation": [3]}}, "1 entries for 2 interactions"),
        ({"backbone": SMALL_MACE | {"interaction": "attention"}}, "interaction = attention is not possible"),
        ({"backbone": SMALL_MACE | {"distance_transform": "log"}}, "distance_transform = log is not possible"),
        ({"backbone": SMALL_MACE | {"gate": "gelu"}}, "gate = gelu is not possible"),
    ],
)
def test_impossible_settings_are_refused_in_one_sentence(change, complaint):
    with pytest.raises(ConfigError, match=complaint) as error:
        build_potential(GOOD | change)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def test_the_good_one_is_built():
    assert build_potential(GOOD).species == [14]
