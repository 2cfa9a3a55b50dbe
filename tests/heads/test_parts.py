"""The parts of PAN and PGS one by one: derivatives, limits, and what their formulas promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from samples import CUTOFF, batch_of, head_config, make_potential, quartz_like, silanol
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.core.errors import ConfigError
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import from_padded, to_padded, with_zero_row
from scalarpath.heads import PARTS, PathwayShape, build_head
from scalarpath.heads.controls import ShuffledDescriptors
from scalarpath.heads.descriptors import NeighbourhoodDescriptors
from scalarpath.heads.pgs import sine_band
from scalarpath.nn.angular import SphericalHarmonics

PATHWAY = PathwayShape(
    CUTOFF, n_species=2, n_radial=3, edge_channels=(4, 6), pool_channels=(4, 4), readout_channels=(4, 4)
)


def geometry_of(*frames: Atoms, vectors: torch.Tensor | None = None) -> EdgeGeometry:
    batch = batch_of(*frames)
    centre, neighbour = batch.edge_index
    shift = torch.einsum("ek,ekl->el", batch.edge_shift, batch.cell[batch.batch[centre]])
    own = batch.pos[neighbour] - batch.pos[centre] + shift
    species, cutoffs = (batch.z == 14).long(), torch.full((2, 2), CUTOFF, dtype=torch.float64)
    return EdgeGeometry.from_vectors(own if vectors is None else vectors, batch, species, CUTOFF, cutoffs)


def awake(parts: dict[str, dict], **config: dict) -> torch.nn.Module:
    """The head of ``parts``, calibrated, with weights that are not zero."""
    head = build_head({"name": "test", "parts": parts} | config, PATHWAY, seed=1)
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
        moved = geometry_of(cluster, vectors=vectors)
        context = head.prepare(moved, radial)
        (weights,), gate = head.edge_weights(1, features, matrix, 6, context)
        outputs = [weights, gate, head.pool(1, scalars, context), head.readout(1, scalars, context)]
        return tuple(values for values in outputs if values is not None)

    assert gradcheck(hooks, inputs)
    assert gradgradcheck(hooks, inputs)


def test_edge_hooks_equal_their_formula_in_weight_space():
    """g (F M + b V), with b of the pair and g of its direction."""
    head, batch = awake({"edge_gate": {}, "edge_band": {}}), batch_of(quartz_like())
    pairs = {key: batch[key] for key in ("edge_pair", "pair_edge", "edge_reverse")}
    geometry = replace(geometry_of(quartz_like()), **pairs)
    n_edges = len(geometry.centre)
    generator = torch.Generator().manual_seed(0)
    radial, features, matrix = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((n_edges, 3), (n_edges, 5), (5, 6))
    )
    context = head.prepare(geometry, radial)
    gate = from_padded(head.edge_gate(1, context), geometry)
    left, right = head.parts["edge_band"].edge_term(1, context["edge_band"])
    assert torch.equal(left[batch.pair_edge][batch.edge_pair], left), "the same for both directions"
    assert 0.5 < gate.min() < gate.max() < 2.0
    (weights,), offered = head.edge_weights(1, features, matrix, 6, context)
    torch.testing.assert_close(weights, features @ matrix + left @ right)
    assert torch.equal(offered, head.edge_gate(1, context))


def test_edge_gate_equals_its_formula_edge_by_edge():
    """exp(ln 2 tanh(c_0 + c R_ij)) with (c_0, c) of the centre's descriptors, one set per species of neighbour."""
    head, geometry = awake({"edge_gate": {}}), geometry_of(quartz_like(), silanol())
    radial = torch.randn(len(geometry.centre), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    context = head.prepare(geometry, radial)
    part, d = head.parts["edge_gate"], head.descriptors(geometry).values
    for layer in range(2):
        gates = from_padded(head.edge_gate(layer, context), geometry).squeeze(1)
        own = slice(16 * layer, 16 * (layer + 1))
        units = torch.nn.functional.silu(d @ part.w1[:, own] + part.embedding[geometry.species][:, own])
        outputs = (units @ part.w2[layer] / 4.0).view(geometry.n_atoms, 2, 4)  # [N, S, 1 + B]
        c = torch.stack([
            outputs[i, geometry.species[j]]
            for i, j in zip(geometry.centre.tolist(), geometry.neighbour.tolist(), strict=True)
        ])  # fmt: skip
        expected = torch.exp(math.log(2.0) * torch.tanh(c[:, 0] + (c[:, 1:] * radial).sum(1)))
        torch.testing.assert_close(gates, expected)


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
    # every edge has weights of its own here, and the harmonic of degree 0 is the constant 1
    weights = torch.randn(len(geometry.centre), convolution.weight_numel, generator=generator, dtype=torch.float64)
    harmonics = to_padded(SphericalHarmonics(2)(geometry.units), geometry)
    gate = torch.rand(len(geometry.centre), 1, generator=generator, dtype=torch.float64)
    blocks = with_zero_row(weights, geometry).tensor_split([convolution.scalar_width], dim=1)
    scaled = [with_zero_row(blocks[0][: len(gate)] * gate, geometry), blocks[1]]
    plain, expected = (convolution(features, w, harmonics, geometry) for w in (blocks, scaled))
    gated = convolution(features, blocks, harmonics, geometry, to_padded(gate, geometry))
    torch.testing.assert_close(gated[0], expected[0])
    for unchanged, values in zip(plain[1:], gated[1:], strict=True):
        assert torch.equal(unchanged, values)
    open_gate = convolution(features, blocks, harmonics, geometry, to_padded(torch.ones_like(gate), geometry))
    assert all(torch.equal(values, same) for values, same in zip(open_gate, plain, strict=True))


def test_in_allegro_the_gate_scales_the_scalar_part_of_the_environment_alone():
    """Gating the sum's harmonic of degree 0 is gating the l = 0 weights; the other degrees stay as they are."""
    potential, geometry = make_potential("pan_edge", kind="allegro"), geometry_of(quartz_like())
    backbone, generator = potential.backbone, torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    degrees, channels = len(backbone.widths) - 1, backbone.widths[1]
    weights = [draw(len(geometry.centre), channels) for _ in range(degrees)]
    harmonics = to_padded(backbone.harmonics(geometry.units), geometry)
    gate, norm = draw(geometry.n_atoms, geometry.max_degree, 1), draw(geometry.n_atoms, 1)

    def environment(weights, gate):
        return backbone._environment(weights, harmonics, gate, norm, geometry)

    plain = environment(weights, None)
    gated, expected = environment(weights, gate), environment([from_padded(gate, geometry) * weights[0]], None)
    torch.testing.assert_close(gated[0], expected[0])
    assert not torch.allclose(gated[0], plain[0])
    assert all(torch.equal(one, other) for one, other in zip(gated[1:], plain[1:], strict=True))


def test_coordination_deviation_goes_from_nothing_through_the_usual_to_crowding():
    """zeta = (n - nbar) / (n + nbar + 1): -nbar / (nbar + 1), 0, towards 1; for large n tanh(ln(n / nbar) / 2)."""
    descriptors = NeighbourhoodDescriptors(CUTOFF, 1)
    descriptors.mean_coordination.fill_(500.0)
    sums = torch.zeros(4, 5, 5 + descriptors.shells, dtype=torch.float64)
    n = torch.tensor([0.0, 500.0, 1000.0, 1e6], dtype=torch.float64)
    sums[:, 0, 5:] = n[:, None]
    zeta = descriptors._raw(sums, torch.zeros(4, dtype=torch.long))[:, 0]
    np.testing.assert_allclose(zeta, [-500 / 501, 0.0, 500 / 1501, 1.0], rtol=2e-3)
    np.testing.assert_allclose(zeta[1:], np.tanh(0.5 * np.log(n[1:] / 500)), atol=1e-3)


def calibrate(descriptors: NeighbourhoodDescriptors, *frames: Atoms) -> None:
    descriptors.observe(geometry_of(*frames))
    descriptors.finish_observation()


def raw(descriptors: NeighbourhoodDescriptors, atoms: Atoms) -> torch.Tensor:
    geometry = geometry_of(atoms)
    return descriptors._raw(descriptors._sums(geometry), geometry.species).detach()


def test_descriptors_tell_a_vacancy_from_the_bulk_and_vanish_in_a_symmetric_site():
    descriptors = NeighbourhoodDescriptors(CUTOFF, 2)
    crystal = bulk("Si", a=5.43, cubic=True)
    calibrate(descriptors, crystal)
    perfect = raw(descriptors, crystal)
    torch.testing.assert_close(perfect[:, -2:], torch.zeros(8, 2, dtype=torch.float64), atol=1e-12, rtol=0)
    vacancy = crystal[1:]
    first_shell = descriptors._sums(geometry_of(vacancy))[:, 0, 5].detach()
    assert (first_shell.max() / first_shell.min()).item() == pytest.approx(4 / 3, rel=0.01)
    assert raw(descriptors, vacancy)[:, -2].max() > 1e-3


def test_moments_of_a_neighbourhood_equal_their_definition_by_pairs_of_neighbours():
    """spread = sum_jk w_j w_k (x_j - x_k)^2 / 2 M, polarity = sum_jk w_j w_k cos_jk / M, quadrupole = sum_jk w_j w_k
    (cos_jk^2 - 1/3) / M with M = (W + nbar + 1)^2."""
    descriptors, atoms = NeighbourhoodDescriptors(CUTOFF, 2), silanol()
    calibrate(descriptors, atoms)
    geometry = geometry_of(atoms)
    here = geometry.centre == 0
    widths = descriptors.min_width + torch.nn.functional.softplus(descriptors.raw_widths)[-1]
    x, units = geometry.distances[here] / CUTOFF, geometry.units[here]
    envelope = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    w = torch.sigmoid((descriptors.radii[-1] - geometry.distances[here]) / widths) * envelope
    pairs, cosine = w * w.T, units @ units.T
    norm = (w.sum() + descriptors.mean_coordination[geometry.species[0], -1] + 1.0) ** 2
    wanted = [(pairs * term).sum() / norm for term in (0.5 * (x - x.T) ** 2, cosine, cosine**2 - 1 / 3)]
    torch.testing.assert_close(raw(descriptors, atoms)[0, -3:], torch.stack(wanted))


def test_a_last_neighbour_leaves_without_a_step():
    """Standardised on a crystal, where the moments hardly vary, the descriptors of a pair still change gently."""
    descriptors = NeighbourhoodDescriptors(CUTOFF, 2)
    crystal = bulk("Si", a=5.43, cubic=True)
    frames = [crystal.copy() for _ in range(4)]
    for seed, frame in enumerate(frames):
        frame.rattle(0.05, seed=seed)
    calibrate(descriptors, *frames)
    distances = torch.linspace(0.4 * CUTOFF, CUTOFF, 400, dtype=torch.float64)
    pairs = [Atoms("Si2", [[0, 0, 0], [0, 0, r]]) for r in distances.tolist()[:-1]]
    values = torch.stack([descriptors(geometry_of(pair)).values[0].detach() for pair in pairs])
    slope = (values[1:] - values[:-1]) / (distances[1] - distances[0])
    assert slope.abs().max() < 5.0, "per Å"


def test_standardised_descriptors_have_zero_mean_at_most_unit_spread_and_bounded_tails():
    """Unit spread, except where atoms differ by less than a quarter of what one neighbour changes."""
    descriptors = NeighbourhoodDescriptors(CUTOFF, 2)
    geometry = geometry_of(quartz_like(), silanol())
    descriptors.observe(geometry)
    descriptors.finish_observation()
    z = torch.sinh(descriptors(geometry).values).detach()
    for species in (0, 1):
        here = z[geometry.species == species]
        np.testing.assert_allclose(here.mean(0), 0.0, atol=1e-10)
        one_neighbour = 1.0 / (descriptors.mean_coordination[species] + 1.0)
        least = 0.25 * torch.cat([one_neighbour, one_neighbour[-1:].square().repeat(3)])
        raw_spread = descriptors._raw(descriptors._sums(geometry), geometry.species)[geometry.species == species].std(
            0, correction=0
        )
        np.testing.assert_allclose(here.std(0, correction=0), (raw_spread / raw_spread.clamp(min=least)).detach())
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
    head = build_head({"name": "test", "parts": {"edge_band": {"size": 3, "first": 8}}}, PATHWAY, seed=0)
    band = head.parts["edge_band"]
    np.testing.assert_allclose(band.frequencies, np.array([9, 10, 11]) * math.pi / CUTOFF)
    near = sine_band(geometry_of(Atoms("SiO", [[0, 0, 0], [0, 0, CUTOFF - 1e-3]])), band.frequencies)
    assert near.abs().max() < 1e-9


def test_a_calibrated_band_has_unit_mean_square():
    head, geometry = awake({"edge_band": {}}), geometry_of(quartz_like(), silanol())
    band = head.parts["edge_band"]
    np.testing.assert_allclose(
        (sine_band(geometry, band.frequencies) / band.rms[:, None]).square().mean(1), 1.0, rtol=1e-10
    )


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
    pathway = PathwayShape(CUTOFF, 1, 3, (64,), (64,), (64,))
    readout = build_head({"name": "test", "parts": {"spectral_readout": {}}}, pathway, seed=0).parts["spectral_readout"]
    h = torch.randn(500, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coefficients = [readout.coefficients[0]]
    linear = h.abs().sum(1) / math.sqrt(64)  # |d E / d w| summed over weights: the largest change per unit of step
    spectral = torch.stack([
        sum(g.abs().sum() for g in torch.autograd.grad(readout.readout(0, row[None], None).sum(), coefficients))
        for row in h[:50]
    ])  # fmt: skip
    assert spectral.mean() < linear.mean()


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"parts": {"node_gat": {}}}, r"part 'node_gat' is unknown \(did you mean 'node_gate'\?\); use edge_band"),
        (
            {"parts": {"node_gate": {"width": 4}}},
            "node_gate has no setting 'width'; known settings: hidden, strength",
        ),
        ({"parts": {}, "depth": 3}, "head has no setting 'depth'"),
        ({"parts": {"node_gate": {"hidden": 0}}}, "hidden must be at least 1, not 0"),
        ({"parts": {"edge_band": {"size": -1}}}, "size must be at least 1, not -1"),
        ({"parts": {"edge_band": {"first": -1}}}, "first must be at least 0, not -1"),
        (
            {"parts": {"node_gate": {}}, "descriptors": {"kind": "local"}},
            "'local' is unknown; use neighbourhood, constant, shuffled",
        ),
        ({"parts": {"node_gate": {}}, "descriptors": {"shells": 0}}, "shells must be at least 1, not 0"),
        ({"parts": {"node_gate": {"hidden": 2.0}}}, "hidden must be a whole number, not 2.0"),
        ({"parts": {"node_gate": 16}}, "head.parts.node_gate must be a group of settings, not 16"),
        ({"parts": {"not a name": {"kind": "node_gate"}}}, "'not a name' cannot be the name of a part"),
        ({"parts": {"keys": {"kind": "node_gate"}}}, "'keys' cannot be the name of a part"),
        ({"parts": {"node_gate": {"kind": "json:dumps"}}}, "'json:dumps' is not a subclass of scalarpath.heads"),
        ({"descriptors": {"shels": 2}}, "head.descriptors has no setting 'shels'"),
    ],
)
def test_unknown_or_impossible_settings_are_refused(config, complaint):
    with pytest.raises(ConfigError, match=complaint):
        build_head({"name": "test"} | config, PATHWAY, seed=0)


def test_control_without_physics_reads_nothing_of_the_neighbourhood():
    """Its gates see the species and the distance of an edge, its readout the backbone's scalars."""
    head = awake({"edge_gate": {}, "node_gate": {}, "mlp_readout": {}}, descriptors={"kind": "constant"})
    scalars = torch.ones(7, 4, dtype=torch.float64)
    pooled, energies = [], []
    for scale in (1.0, 0.9):
        atoms = quartz_like()
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
        geometry = geometry_of(atoms)
        context = head.prepare(geometry, torch.zeros(len(geometry.centre), 3, dtype=torch.float64))
        pooled.append(head.pool(1, scalars, context))
        energies.append(head.readout(1, scalars, context))
    assert torch.equal(*pooled)
    assert torch.equal(*energies)
    assert energies[0].abs().max() > 1e-3


def test_control_has_the_parameters_of_panpgs():
    counts = [
        sum(p.numel() for p in build_head(head_config(name), PATHWAY, seed=0).parameters())
        for name in ("panpgs", "ctrl_mlp", "panpgs_shuffle")
    ]
    assert len(set(counts)) == 1, counts


def test_shuffled_descriptors_are_those_of_other_atoms_of_the_species_in_training_only():
    true, shuffled = NeighbourhoodDescriptors(CUTOFF, 2), ShuffledDescriptors(CUTOFF, 2)
    geometry = geometry_of(quartz_like(), silanol())
    wanted, first, second = true(geometry).values, shuffled(geometry).values, shuffled(geometry).values
    assert not torch.equal(first, wanted)
    assert not torch.equal(first, second), "another draw for every batch"
    for species in (0, 1):
        here = geometry.species == species
        rows = [sorted(map(tuple, values[here].tolist())) for values in (wanted, first, second)]
        assert rows[0] == rows[1] == rows[2]
    assert torch.equal(shuffled.eval()(geometry).values, wanted)


def test_shuffles_go_on_where_a_checkpoint_was_made():
    once, again = ShuffledDescriptors(CUTOFF, 2), ShuffledDescriptors(CUTOFF, 2)
    geometry = geometry_of(quartz_like())
    once(geometry)
    again.load_state_dict(once.state_dict())
    assert torch.equal(once(geometry).values, again(geometry).values)
