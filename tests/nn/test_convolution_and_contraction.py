"""The equivariant building blocks against e3nn's own operations and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from e3nn import o3
from e3nn.math import normalize2mom
from samples import batch_of, quartz_like, silanol

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.angular import SphericalHarmonics, natural_parity_paths
from scalarpath.nn.channelwise_convolution import ChannelwiseConvolution
from scalarpath.nn.linear import DegreeLinear, SpeciesGroups, SpeciesLinear
from scalarpath.nn.mlp import ACTIVATIONS, MLP
from scalarpath.nn.neighbour_sum import to_slots
from scalarpath.nn.symmetric_contraction import SymmetricContraction, coupling_tensor, symmetric_basis, symmetrised


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def geometry() -> EdgeGeometry:
    batch = batch_of(quartz_like(), silanol())
    centre, neighbour = batch.edge_index
    shift = torch.einsum("ek,ekl->el", batch.edge_shift, batch.cell[batch.batch[centre]])
    vectors = batch.pos[neighbour] - batch.pos[centre] + shift
    species = (batch.z == 14).long()
    return EdgeGeometry.from_vectors(vectors, centre, neighbour, batch.edge_slot, species, batch.max_degree, 4.0)


@pytest.fixture
def e3nn_in_double():
    """e3nn takes the precision of its constants from torch's default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def irreps(l_max: int, channels: int) -> o3.Irreps:
    return o3.Irreps([(channels, (degree, (-1) ** degree)) for degree in range(l_max + 1)])


def flat(per_degree: list[torch.Tensor]) -> torch.Tensor:
    """Per degree [N, 2l + 1, C] -> e3nn's layout [N, sum C (2l + 1)], channels outside."""
    return torch.cat([x.transpose(1, 2).flatten(1) for x in per_degree], dim=1)


@pytest.mark.parametrize(("l_in", "l_edge", "l_out"), [(0, 3, 3), (1, 3, 3), (2, 2, 3), (2, 1, 1)])
def test_convolution_equals_e3nn_tensor_product_and_scatter(l_in, l_edge, l_out, geometry, generator, e3nn_in_double):
    channels = 3
    convolution = ChannelwiseConvolution(l_in, l_edge, l_out, channels)
    paths = natural_parity_paths(l_in, l_edge, l_out)
    out = o3.Irreps([(channels, (l3, (-1) ** l3)) for _, _, l3 in paths])
    product = o3.TensorProduct(
        irreps(l_in, channels), irreps(l_edge, 1), out, shared_weights=False, internal_weights=False,
        instructions=[(l1, l2, k, "uvu", True) for k, (l1, l2, _) in enumerate(paths)],
    )  # fmt: skip
    n_edges = len(geometry.centre)
    features = torch.randn(geometry.n_atoms, (l_in + 1) ** 2, channels, generator=generator, dtype=torch.float64)
    weights = torch.randn(n_edges, len(paths), channels, generator=generator, dtype=torch.float64)
    harmonics = SphericalHarmonics(l_edge)(geometry.units)
    ours = convolution(features, list(weights.unbind(1)), to_slots(harmonics, geometry), geometry)

    blocks = [features[:, degree**2 : (degree + 1) ** 2] for degree in range(l_in + 1)]
    messages = product(flat(blocks)[geometry.neighbour], harmonics, weights.flatten(1))
    theirs = torch.zeros(geometry.n_atoms, out.dim, dtype=torch.float64).index_add(0, geometry.centre, messages)
    for l3 in range(l_out + 1):
        columns = [theirs[:, s] for s, (_, _, path_l3) in zip(out.slices(), paths, strict=True) if path_l3 == l3]
        expected = torch.cat([x.unflatten(1, (channels, -1)).transpose(1, 2) for x in columns], dim=2)
        torch.testing.assert_close(ours[l3], expected, rtol=1e-12, atol=1e-12)


def test_paths_put_scalar_outputs_first():
    paths = natural_parity_paths(1, 3, 3)
    assert paths[:2] == [(0, 0, 0), (1, 1, 0)]
    assert [l3 for _, _, l3 in paths] == sorted(l3 for _, _, l3 in paths)
    assert len(paths) == 10


@pytest.mark.parametrize("correlation", [1, 2, 3, 4])
def test_symmetric_contraction_equals_the_contraction_written_out(correlation, generator):
    l_in, l_out, channels = (3, 2, 2) if correlation < 4 else (1, 1, 2)
    module = SymmetricContraction(l_in, l_out, correlation, 3, channels, generator)
    basis = torch.randn(7, (l_in + 1) ** 2, channels, generator=generator, dtype=torch.float64)
    species = torch.tensor([2, 0, 0, 2, 1, 0, 2])
    ours = module(basis, SpeciesGroups.from_species(species, 3))
    for degree in range(l_out + 1):
        expected = 0
        for nu in range(1, correlation + 1):
            weights = module.weights[f"{degree}_{nu}"][species]
            term = torch.einsum("m...k,nkc->nmc...", coupling_tensor(l_in, degree, nu), weights)
            for _ in range(nu):
                term = torch.einsum("nmc...a,nac->nmc...", term, basis)
            expected = expected + term
        torch.testing.assert_close(ours[degree], expected, rtol=1e-12, atol=1e-12)


def test_symmetric_basis_is_orthonormal_complete_and_small():
    basis, mixing = symmetric_basis(3, 0, 3)
    assert mixing.shape == (8, 23)
    matrix = basis.flatten(0, -2)
    torch.testing.assert_close(matrix.T @ matrix, torch.eye(8, dtype=torch.float64))
    torch.testing.assert_close(matrix @ mixing, symmetrised(coupling_tensor(3, 0, 3)))


@pytest.mark.parametrize(("degree", "nu"), [(0, 2), (1, 2), (0, 3), (2, 3)])
def test_couplings_rotate_as_their_degree(degree, nu, e3nn_in_double):
    coupling = coupling_tensor(2, degree, nu)
    rotation = o3.rand_matrix(dtype=torch.float64)
    inner = torch.block_diag(*[o3.Irrep(k, (-1) ** k).D_from_matrix(rotation) for k in range(3)]).double()
    outer = o3.Irrep(degree, (-1) ** degree).D_from_matrix(rotation).double()
    rotated = coupling
    for axis in range(1, nu + 1):
        rotated = torch.tensordot(rotated, inner, dims=([axis], [0])).movedim(-1, axis)
    torch.testing.assert_close(rotated, torch.einsum("mn,n...->m...", outer, coupling), rtol=1e-9, atol=1e-9)


def test_degree_linear_equals_e3nn_linear(generator):
    linear = DegreeLinear([6, 3], [4, 5], generator)
    reference = o3.Linear("6x0e+3x1o", "4x0e+5x1o").double()
    reference.weight.data = torch.cat([w.flatten() for w in linear.weights]).data
    x = [torch.randn(5, 2 * d + 1, n, generator=generator, dtype=torch.float64) for d, n in ((0, 6), (1, 3))]
    torch.testing.assert_close(flat(linear(x)), reference(flat(x)))


def test_species_linear_equals_e3nn_product_with_one_hot(generator):
    linear = SpeciesLinear(3, [4, 4], [4, 4], generator)
    reference = o3.FullyConnectedTensorProduct("4x0e+4x1o", "3x0e", "4x0e+4x1o").double()
    reference.weight.data = torch.cat([w.transpose(0, 1).flatten() for w in linear.weights]).data
    species = torch.tensor([1, 0, 2, 1, 1])
    x = [torch.randn(5, 2 * d + 1, 4, generator=generator, dtype=torch.float64) for d in (0, 1)]
    one_hot = torch.nn.functional.one_hot(species, 3).double()
    ours = linear(x, SpeciesGroups.from_species(species, 3))
    torch.testing.assert_close(flat(ours), reference(flat(x), one_hot))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_carry_the_digits_of_e3nn(name):
    function, scale = ACTIVATIONS[name]
    x = torch.linspace(-3, 3, 20, dtype=torch.float64)
    torch.testing.assert_close(scale * function(x), normalize2mom(function)(x), rtol=1e-14, atol=0.0)


def test_mlp_without_input_gives_no_output(generator):
    assert not MLP([3, 8, 2], generator)(torch.zeros(4, 3, dtype=torch.float64)).any()


def test_harmonics_have_unit_component_variance(generator):
    vectors = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    harmonics = SphericalHarmonics(3)(vectors / vectors.norm(dim=1, keepdim=True))
    for degree in range(4):
        norms = harmonics[:, degree**2 : (degree + 1) ** 2].square().sum(1)
        np.testing.assert_allclose(norms, 2 * degree + 1, rtol=1e-12)
