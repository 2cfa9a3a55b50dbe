"""The parts of PAN and PGS one by one: derivatives, limits, and what their formulas promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from samples import CUTOFF, batch_of, make_potential, quartz_like, silanol
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.errors import ConfigError
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads import PARTS, PathwaySpec, build_head
from scalarpath.heads.descriptors import NeighbourhoodDescriptors

SPEC = PathwaySpec(CUTOFF, n_species=2, n_radial=3, edge_channels=(4, 6), pool_channels=(4, 4), readout_channels=(4, 4))


def geometry_of(*frames: Atoms, vectors: torch.Tensor | None = None) -> EdgeGeometry:
    batch = batch_of(*frames)
    centre, neighbour = batch.edge_index
    shift = torch.einsum("ek,ekl->el", batch.edge_shift, batch.cell[batch.batch[centre]])
    own = batch.pos[neighbour] - batch.pos[centre] + shift
    return EdgeGeometry.from_vectors(
        own if vectors is None else vectors,
        centre,
        neighbour,
        batch.edge_slot,
        (batch.z == 14).long(),
        batch.max_degree,
        CUTOFF,
    )


def awake(parts: dict[str, dict]) -> torch.nn.Module:
    """The head of ``parts``, calibrated, with weights that are not zero."""
    head = build_head({"name": "test", "parts": parts}, SPEC, seed=1)
    head.calibrate([geometry_of(quartz_like(), silanol())])
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape, generator=noise, dtype=torch.float64))
    return head


@pytest.mark.parametrize("name", PARTS)
def test_first_and_second_derivatives(name):
    cluster = Atoms("SiOSi", [[0, 0, 0], [1.6, 0, 0.2], [0.3, 2.4, 0.1]])
    head, geometry = awake({name: {}}), geometry_of(cluster)
    generator = torch.Generator().manual_seed(0)
    n_edges = len(geometry.centre)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()  # noqa: E731
    inputs = (
        geometry.vectors.detach().clone().requires_grad_(),
        draw(n_edges, 3),
        draw(n_edges, 5),
        draw(5, 6),
        draw(3, 4),
    )

    def hooks(vectors, radial, features, matrix, scalars):
        context = head.prepare(geometry_of(cluster, vectors=vectors), radial)
        outputs = [head.edge_weights(1, features, matrix, context), head.pool(1, scalars, context)]
        extra = head.readout(1, scalars, context)
        return tuple(outputs if extra is None else [*outputs, extra])

    assert gradcheck(hooks, inputs)
    assert gradgradcheck(hooks, inputs)


def test_edge_hooks_equal_their_formula_in_weight_space():
    """g (F M + b V), although the gate is applied to the features F."""
    head, geometry = awake({"edge_gate": {}, "edge_band": {}}), geometry_of(quartz_like())
    n_edges = len(geometry.centre)
    generator = torch.Generator().manual_seed(0)
    radial, features, matrix = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((n_edges, 3), (n_edges, 5), (5, 6))
    )
    context = head.prepare(geometry, radial)
    gate = head.parts["edge_gate"].edge_gate(1, context["edge_gate"])
    left, right = head.parts["edge_band"].edge_term(1, context["edge_band"])
    assert 0.5 < gate.min() < gate.max() < 2.0
    torch.testing.assert_close(
        head.edge_weights(1, features, matrix, context), gate * (features @ matrix + left @ right)
    )


def test_gating_weights_is_gating_messages():
    """A gate on the scalar edge weights scales the scalar message of that edge and no other channel."""
    potential = make_potential("pan_edge")
    convolution = potential.backbone.layers[1].convolution
    geometry = geometry_of(quartz_like())
    generator = torch.Generator().manual_seed(0)
    channels = 4
    features = [
        torch.randn(geometry.n_atoms, 2 * degree + 1, channels, generator=generator, dtype=torch.float64)
        for degree in range(2)
    ]
    shape = geometry.n_atoms * geometry.max_degree, convolution.weight_numel
    weights = torch.randn(shape, generator=generator, dtype=torch.float64).split(convolution.group_widths, dim=1)
    harmonics = torch.randn(geometry.n_atoms, geometry.max_degree, 9, generator=generator, dtype=torch.float64)
    gate = torch.rand(geometry.n_atoms, 1, generator=generator, dtype=torch.float64)
    per_edge = gate.repeat_interleave(geometry.max_degree, dim=0)
    gated = [w * per_edge if k < convolution.n_scalar_groups else w for k, w in enumerate(weights)]
    plain, changed = (convolution(features, w, harmonics, geometry) for w in (weights, gated))
    torch.testing.assert_close(changed[0], plain[0] * gate[:, :, None])
    for before, after in zip(plain[1:], changed[1:], strict=True):
        assert torch.equal(before, after)


def test_coordination_deviation_is_half_a_logarithm_turned_by_tanh():
    """zeta = (n - nbar) / (n + nbar) = tanh(ln(n / nbar) / 2)."""
    descriptors = NeighbourhoodDescriptors(CUTOFF, 2)
    geometry = geometry_of(quartz_like())
    coordination, shape = descriptors._moments(geometry)
    zeta = descriptors._raw(coordination, shape, geometry.species)[:, : descriptors.shells]
    torch.testing.assert_close(zeta, torch.tanh(0.5 * torch.log(coordination)))  # nbar is 1 before calibration


def test_descriptors_tell_a_vacancy_from_the_bulk_and_vanish_in_a_symmetric_site():
    descriptors = NeighbourhoodDescriptors(CUTOFF, 2)
    crystal = bulk("Si", a=5.43, cubic=True)
    perfect = descriptors._moments(geometry_of(crystal))[1]
    torch.testing.assert_close(perfect[:, 1:], torch.zeros(8, 2, dtype=torch.float64), atol=1e-12, rtol=0)
    vacancy = crystal[1:]
    coordination, shape = descriptors._moments(geometry_of(vacancy))
    first_shell = coordination[:, 0].detach()
    assert (first_shell.max() / first_shell.min()).item() == pytest.approx(4 / 3, rel=0.01)
    assert shape[:, 1].max() > 1e-3


def test_standardised_descriptors_have_zero_mean_and_bounded_tails():
    descriptors = NeighbourhoodDescriptors(CUTOFF, 2)
    geometry = geometry_of(quartz_like(), silanol())
    descriptors.observe(geometry)
    descriptors.finish_observation()
    z = torch.sinh(descriptors(geometry).values).detach()
    for species in (0, 1):
        np.testing.assert_allclose(z[geometry.species == species].mean(0), 0.0, atol=1e-10)
        np.testing.assert_allclose(z[geometry.species == species].std(0, correction=0), 1.0, rtol=1e-8)
    compressed = silanol()
    compressed.positions *= 0.6
    assert descriptors(geometry_of(compressed)).values.abs().max() < 12.0


def test_calibration_is_the_same_in_one_batch_and_in_many():
    frames = [quartz_like(), silanol()]
    together, apart = (NeighbourhoodDescriptors(CUTOFF, 2) for _ in range(2))
    together.observe(geometry_of(*frames))
    for frame in frames:
        apart.observe(geometry_of(frame))
    for descriptors in (together, apart):
        descriptors.finish_observation()
    for name in ("mean_coordination", "mean", "spread"):
        torch.testing.assert_close(getattr(together, name), getattr(apart, name))


def test_edge_band_continues_the_bessel_functions_and_dies_at_the_cutoff():
    head = build_head({"name": "test", "parts": {"edge_band": {"size": 3, "first": 8}}}, SPEC, seed=0)
    band = head.parts["edge_band"]
    np.testing.assert_allclose(band.frequencies, np.array([9, 10, 11]) * math.pi / CUTOFF)
    near = band._band(geometry_of(Atoms("SiO", [[0, 0, 0], [0, 0, CUTOFF - 1e-3]])))
    assert near.abs().max() < 1e-9


def test_a_calibrated_band_has_unit_mean_square():
    head, geometry = awake({"edge_band": {}}), geometry_of(quartz_like(), silanol())
    band = head.parts["edge_band"]
    np.testing.assert_allclose((band._band(geometry) / band.rms).square().mean(0), 1.0, rtol=1e-10)


def test_embedding_energy_grows_from_zero_as_a_neighbour_comes_near():
    head = awake({"embedding_readout": {}})

    def energy(distance: float) -> float:
        geometry = geometry_of(Atoms("SiO", [[0, 0, 0], [0, 0, distance]]))
        context = head.prepare(geometry, torch.zeros(2, 3, dtype=torch.float64))
        assert head.readout(0, torch.zeros(2, 4, dtype=torch.float64), context) is None, "once, not with every layer"
        return head.readout(1, torch.zeros(2, 4, dtype=torch.float64), context).abs().sum().item()

    assert energy(CUTOFF - 1e-4) == pytest.approx(0.0, abs=1e-9)
    assert energy(1.6) > 1e-3


def test_spectral_readout_of_nothing_is_nothing():
    head = awake({"spectral_readout": {}})
    assert not head.readout(0, torch.zeros(3, 4, dtype=torch.float64), {"spectral_readout": None}).any()


def test_spectral_readout_steps_no_further_than_the_linear_readout():
    """A step of the same size on every coefficient, as Adam takes it, must not move the energy more than it moves
    with the backbone's linear readout of the same scalars."""
    spec = PathwaySpec(CUTOFF, 1, 3, (64,), (64,), (64,))
    readout = build_head({"name": "test", "parts": {"spectral_readout": {}}}, spec, seed=0).parts["spectral_readout"]
    h = torch.randn(500, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coefficients = [readout.sine[0], readout.cosine[0]]
    linear = h.abs().sum(1) / math.sqrt(64)  # |d E / d w| summed over weights: the largest change per unit of step
    spectral = torch.stack([
        sum(g.abs().sum() for g in torch.autograd.grad(readout.readout(0, row[None], None).sum(), coefficients))
        for row in h[:50]
    ])  # fmt: skip
    assert spectral.mean() < linear.mean()


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"parts": {"node_gat": {}}}, "'node_gat' is unknown; the parts are"),
        ({"parts": {"node_gate": {"width": 4}}}, "option 'width' is unknown; the options are: hidden, strength"),
        ({"parts": {}, "depth": 3}, "key 'depth' is unknown"),
        ({"parts": {"node_gate": {"hidden": 0}}}, "hidden = 0 must be positive"),
        ({"parts": {"edge_band": {"size": -1}}}, "size = -1 must be positive"),
        ({"parts": {"node_gate": {}}, "descriptors": {"shells": 0}}, "shells = 0 must be positive"),
        ({"parts": {"node_gate": {}}, "descriptors": {"shels": 2}}, "descriptors: option 'shels' is unknown"),
    ],
)
def test_unknown_or_impossible_settings_are_refused(config, complaint):
    with pytest.raises(ConfigError, match=complaint):
        build_head({"name": "test"} | config, SPEC, seed=0)
