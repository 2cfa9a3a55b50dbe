"""The parts of a potential: every parameter belongs to one; some may be frozen, and deep ones learn more slowly."""

from __future__ import annotations

import pytest
from samples import make_potential

from scalarpath.core.errors import ConfigError
from scalarpath.potential.parts import freeze, rate_factors

PARTS = {
    "mace": ["embedding", "layer_1", "layer_2", "readout", "head"],
    "nequip": ["embedding", "layer_1", "layer_2", "readout", "head"],
    "allegro": ["embedding", "layer_1", "layer_2", "readout", "head"],
}


@pytest.mark.parametrize("kind", PARTS)
def test_every_parameter_belongs_to_one_part(kind):
    potential = make_potential("panpgs", kind=kind)
    parts = potential.parts()
    assert list(parts) == PARTS[kind]
    found = [id(parameter) for part in parts.values() for parameter in part]
    assert sorted(found) == sorted(id(parameter) for parameter in potential.parameters())


@pytest.mark.parametrize("part", ["mixing", "layer_x", "layer", None])
def test_a_backbone_that_names_a_part_of_its_own_is_told_which_there_are(part, monkeypatch):
    potential = make_potential("baseline")
    monkeypatch.setattr(type(potential.backbone), "part_of", lambda *_: part)
    with pytest.raises(ConfigError, match=r"mace:MACE.part_of\('\S+'\) must be .*, not ") as caught:
        potential.parts()
    assert "\n" not in str(caught.value)


def test_a_part_that_is_none_is_refused_with_those_that_there_are():
    parts = make_potential("baseline").parts()
    with pytest.raises(ConfigError, match="one of embedding, layer_1, layer_2, readout, not 'layer_3'"):
        freeze(parts, ["embedding", "layer_3"])
    assert all(parameter.requires_grad for part in parts.values() for parameter in part), "nothing is half-done"
    with pytest.raises(ConfigError, match="nothing is left to train"):
        freeze(parts, list(parts))


def test_the_rate_falls_with_the_distance_from_the_output_and_the_head_has_it_whole():
    parts = make_potential("panpgs").parts()
    factors = rate_factors(parts, 0.5)
    assert {name: {factors[p] for p in part} for name, part in parts.items()} == {
        "embedding": {0.125}, "layer_1": {0.25}, "layer_2": {0.5}, "readout": {1.0}, "head": {1.0},
    }  # fmt: skip
