"""A potential that starts from another one has its energies: for some of its elements, under any head."""

from __future__ import annotations

import pytest
import torch
from samples import CUTOFF, SAMPLES, batch_of, head_config, make_potential, quartz_like, silanol

from scalarpath.core.errors import ConfigError
from scalarpath.potential import build_potential
from scalarpath.potential.starting import start_from

NETWORKS = {
    **{kind: {} for kind in SAMPLES},
    "mace soft": {"distance_transform": "soft"},
    "mace nonlinear": {"interaction_first": "nonlinear", "interaction": "nonlinear", "envelope_on": "weights"},
    "allegro spline": {"two_body": "spline"},
}


def potential_of(
    network: str, species: list[int], *, head: str = "baseline", seed: int = 1, repulsion: str | None = None, **changes
):
    kind = network.split()[0]
    return build_potential(
        {
            "species": species,
            "cutoff": CUTOFF,
            "dtype": "float64",
            "backbone": SAMPLES[kind] | NETWORKS[network] | changes,
            "head": head_config(head),
            "repulsion": repulsion,
        },
        seed=seed,
    ).eval()


def trained(network: str, species: list[int], **options):
    """A source in which nothing has its first value."""
    source = potential_of(network, species, **options)
    generator = torch.Generator().manual_seed(5)
    source.set_statistics(dict.fromkeys(species, -1.0), scale=1.0, shift=0.0, avg_num_neighbors=7.0)
    for buffer in (source.e0, source.scale, source.shift):
        buffer.copy_(1.0 + torch.rand(len(species), generator=generator, dtype=torch.float64))
    return source


@pytest.mark.parametrize("head", ["baseline", "panpgs"])
@pytest.mark.parametrize("species", [[1, 8, 9, 14, 47], [8, 14]], ids=["cut down", "same elements"])
@pytest.mark.parametrize("network", NETWORKS)
def test_energies_forces_and_stress_are_those_of_the_source(network, species, head):
    source, potential = trained(network, species), potential_of(network, [8, 14], head=head, seed=2)
    batch = batch_of(quartz_like(), silanol())
    potential.calibrate([batch])
    start_from(potential, source, "it")
    ours, theirs = potential(batch), source(batch)
    for key, values in theirs.items():
        torch.testing.assert_close(ours[key], values, rtol=1e-11, atol=1e-11, equal_nan=True)
    assert theirs["forces"].abs().max() > 1e-3


def test_a_repulsion_is_cut_down_too():
    source, potential = (trained("mace", z, repulsion="zbl") for z in ([1, 8, 14], [8, 14]))
    start_from(potential, source, "it")
    batch = batch_of(quartz_like())
    torch.testing.assert_close(potential(batch)["forces"], source(batch)["forces"], rtol=1e-11, atol=1e-11)


def test_the_same_head_brings_its_weights_along():
    source, potential = make_potential("panpgs"), make_potential("panpgs", seed=3, awake=False)
    start_from(potential, source, "it")
    batch = batch_of(quartz_like(), silanol())
    assert torch.equal(potential(batch)["forces"], source(batch)["forces"])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"network": "nequip"}, r"it has backbone.kind=mace \(here: nequip\); set the same"),
        ({"max_ell": 1}, r"it has backbone.max_ell=2 \(here: 1\); set the same"),
        ({"head": "density"}, r"it has backbone.interaction=residual \(here: density_residual\)"),
        ({"repulsion": "zbl"}, r"it has repulsion=None \(here: zbl\)"),
        ({"species": [8, 15]}, "it knows no P; start from a potential of all elements"),
    ],
)
def test_another_network_is_refused_in_one_sentence(changes, complaint):
    potential = potential_of(**({"network": "mace", "species": [8, 14]} | changes))
    before = {name: values.clone() for name, values in potential.state_dict().items()}
    with pytest.raises(ConfigError, match=complaint):
        start_from(potential, trained("mace", [1, 8, 14]), "it")
    assert all(torch.equal(values, before[name]) for name, values in potential.state_dict().items())


def test_a_backbone_of_others_that_cannot_be_cut_down_is_refused():
    potential, source = potential_of("nequip", [8, 14]), trained("nequip", [1, 8, 14])
    for each in (potential, source):
        each.backbone.register_buffer("odd", torch.zeros(7, len(each.species)))
    with pytest.raises(ConfigError, match=r"'backbone\.odd' cannot be cut down to the elements of the data"):
        start_from(potential, source, "it")


@pytest.mark.parametrize("side", ["potential", "source"])
def test_a_linear_potential_is_not_carried_over(side):
    potential, source = potential_of("mace", [8, 14]), trained("mace", [8, 14])
    {"potential": potential, "source": source}[side].config["head"]["linear"] = {"size": 8}
    with pytest.raises(ConfigError, match="a linear potential is fitted to its own data"):
        start_from(potential, source, "it")


def test_a_head_with_weights_stays_on():
    with pytest.raises(ConfigError, match="it has the head panpgs with weights of its own; take the same head"):
        start_from(potential_of("mace", [8, 14]), make_potential("panpgs"), "it")
