"""The equivariant building blocks against e3nn's own operations and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from e3nn import o3
from e3nn.math import normalize2mom
from samples import batch_of, quartz_like, silanol

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import to_padded, with_zero_row
from scalarpath.nn.angular import SphericalHarmonics, couplings, natural_irreps
from scalarpath.nn.contraction.couplings import coupling_tensor, symmetric_basis, symmetrised
from scalarpath.nn.contraction.symmetric import SymmetricContraction
from scalarpath.nn.convolution.channelwise import ChannelwiseConvolution
from scalarpath.nn.convolution.edge_tensor_product import EdgeTensorProduct
from scalarpath.nn.linear import AttributeLinear, DegreeLinear, SpeciesGroups, SpeciesLinear
from scalarpath.nn.mlp import ACTIVATIONS, MLP


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
    return EdgeGeometry.from_vectors(vectors, batch, species, 4.0, torch.full((2, 2), 4.0, dtype=torch.float64))


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


@pytest.mark.parametrize(
    ("irreps_in", "l_edge", "targets"),
    [
        ("3x0e", 3, "0e+1o+2e+3o"),
        ("3x0e+3x1o", 3, "0e+1o+2e+3o"),
        ("5x0e+3x1o+2x2e", 2, "0e+1o+2e"),
        ("4x0e+2x0o+3x1o+1x1e", 2, "0e+0o+1e+1o+2o"),
    ],
)
def test_convolution_equals_e3nn_tensor_product_and_scatter(
    irreps_in, l_edge, targets, geometry, generator, e3nn_in_double
):
    irreps_in, targets = o3.Irreps(irreps_in), [ir for _, ir in o3.Irreps(targets)]
    convolution = ChannelwiseConvolution(irreps_in, l_edge, targets)
    out = o3.Irreps([(irreps_in[source].mul, targets[target]) for source, _, target in convolution.paths])
    product = o3.TensorProduct(
        irreps_in, irreps(l_edge, 1), out, shared_weights=False, internal_weights=False,
        instructions=[(source, l2, k, "uvu", True) for k, (source, l2, _) in enumerate(convolution.paths)],
    )  # fmt: skip
    features = [
        torch.randn(geometry.n_atoms, ir.dim, channels, generator=generator, dtype=torch.float64)
        for channels, ir in irreps_in
    ]
    weights = torch.randn(len(geometry.centre), convolution.weight_numel, generator=generator, dtype=torch.float64)
    harmonics = SphericalHarmonics(l_edge)(geometry.units)
    blocks = with_zero_row(convolution.by_group(weights), geometry).tensor_split([convolution.scalar_width], dim=1)
    ours = convolution(features, blocks, to_padded(harmonics, geometry), geometry)

    messages = product(flat(features)[geometry.neighbour], harmonics, weights)
    theirs = torch.zeros(geometry.n_atoms, out.dim, dtype=torch.float64).index_add(0, geometry.centre, messages)
    for index, values in enumerate(ours):
        blocks = [
            theirs[:, where].unflatten(1, (channels, -1)).transpose(1, 2)
            for where, (channels, _), path in zip(out.slices(), out, convolution.paths, strict=True)
            if path.target == index
        ]
        torch.testing.assert_close(values, torch.cat(blocks, dim=2), rtol=1e-12, atol=1e-12)


def test_paths_put_scalar_outputs_first_and_conserve_parity():
    paths = couplings(natural_irreps(1), 3, [ir for _, ir in natural_irreps(3)])
    assert paths[:2] == [(0, 0, 0), (1, 1, 0)]
    assert [path.target for path in paths] == sorted(path.target for path in paths)
    assert len(paths) == 10
    assert not couplings(o3.Irreps("0o"), 2, [o3.Irrep("0e"), o3.Irrep("1o")])


@pytest.mark.parametrize("coupled", [True, False])
def test_edge_tensor_product_equals_the_couplings_written_out(coupled, geometry, generator):
    irreps_in, irreps_out = ([ir for _, ir in o3.Irreps(x)] for x in ("0e+1o+1e+2e", "0e+0o+1o+2e"))
    c, l_edge, size_in = 3, 2, 12
    product = EdgeTensorProduct(irreps_in, l_edge, irreps_out, c if coupled else 1, generator)
    values = torch.randn(c, 2, 4, size_in, generator=generator, dtype=torch.float64)
    environment = torch.randn(c, 2, (l_edge + 1) ** 2, generator=generator, dtype=torch.float64)
    single_in, single_out = (o3.Irreps([(1, ir) for ir in irreps]) for irreps in (irreps_in, irreps_out))
    expected = torch.zeros(c, 2, 4, single_out.dim, dtype=torch.float64)
    for p, (source, l2, target) in enumerate(couplings(single_in, l_edge, irreps_out)):
        w3j = o3.wigner_3j(irreps_in[source].l, l2, irreps_out[target].l, dtype=torch.float64)
        weight = product.weights[:, p].expand(c) * irreps_out[target].dim ** 0.5
        left, right = values[..., single_in.slices()[source]], environment[..., l2**2 : (l2 + 1) ** 2]
        expected[..., single_out.slices()[target]] += torch.einsum("c,ijk,cnei,cnj->cnek", weight, w3j, left, right)
    torch.testing.assert_close(product(values, environment), expected, rtol=1e-12, atol=1e-12)


def test_attribute_linear_equals_e3nn_fully_connected_tensor_product(generator, e3nn_in_double):
    module = AttributeLinear(4, [3, 2], [5, 6], generator)
    product = o3.FullyConnectedTensorProduct("3x0e+2x1o", "4x0e", "5x0e+6x1o", shared_weights=True)
    with torch.no_grad():
        product.weight.copy_(torch.cat([weight.flatten() for weight in module.weights]))
    attributes = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    features = [
        torch.randn(5, 2 * degree + 1, c, generator=generator, dtype=torch.float64) for degree, c in enumerate((3, 2))
    ]
    species = torch.tensor([1, 0, 0, 1, 1])
    ours = module(features, attributes, SpeciesGroups.from_species(species, 2))
    torch.testing.assert_close(flat(ours), product(flat(features), attributes[species]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("correlation", [1, 2, 3, 4])
def test_symmetric_contraction_equals_the_contraction_written_out(correlation, generator):
    l_in, l_out, channels = (3, 2, 2) if correlation < 4 else (1, 1, 2)
    module = SymmetricContraction(l_in, l_out, correlation, 3, channels, generator)
    basis = torch.randn(7, (l_in + 1) ** 2, channels, generator=generator, dtype=torch.float64)
    species = torch.tensor([2, 0, 0, 2, 1, 0, 2])
    per_l = basis.split([2 * degree + 1 for degree in range(l_in + 1)], dim=1)
    ours = module(per_l, SpeciesGroups.from_species(species, 3))
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
def test_activations_have_unit_second_moment(name):
    function, scale = ACTIVATIONS[name]
    x = torch.linspace(-12.0, 12.0, 200_001, dtype=torch.float64)
    density = torch.exp(-0.5 * x.square()) / (2.0 * torch.pi) ** 0.5
    moment = torch.trapezoid((scale * function(x)).square() * density, x)
    torch.testing.assert_close(moment.item(), 1.0, rtol=5e-3, atol=0.0)


@pytest.mark.parametrize("name", ["silu", "tanh", "abs"])
def test_activations_of_upstream_mace_carry_the_digits_of_e3nn(name):
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
