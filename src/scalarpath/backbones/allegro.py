"""Allegro, strictly local equivariant edge features (arXiv:2204.05249), in parity with nequip-allegro 0.8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

from scalarpath.backbones.interface import Backbone, Degree, Exponent, Nonlinearity
from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import Depth, Layers, Width
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import from_padded, to_padded
from scalarpath.heads.interface import PathwayShape, ScalarPathway
from scalarpath.nn.angular import SphericalHarmonics, block, couplings, natural_irreps
from scalarpath.nn.convolution.edge_tensor_product import EdgeTensorProduct
from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.two_body_tensors import kernel_two_body_tensors
from scalarpath.nn.irreps import irrep, irreps
from scalarpath.nn.linear import SpeciesGroups
from scalarpath.nn.mlp import MLP, unit_uniform
from scalarpath.nn.neighbour_sum import neighbour_sum, outer_neighbour_sum
from scalarpath.nn.radial import BesselBasis, CosineSplineBasis, RadialEmbedding

if TYPE_CHECKING:
    from e3nn import o3

GAIN = 2.0**0.5  # of the activations in MLPs


@with_cpu_kernel(kernel_two_body_tensors)
def two_body_tensors(weights: Tensor, harmonics: Tensor, geometry: EdgeGeometry) -> Tensor:
    """V_ij = w_ij^l Y_ij^l: weights [E, (L + 1) C], harmonics [N, K, (L + 1)^2] (padded) -> [C, N, K, (L + 1)^2].

    The weights of one degree lie together; zero in empty slots.
    """
    degrees = math.isqrt(harmonics.shape[2])
    w = to_padded(weights, geometry).unflatten(2, (degrees, -1)).permute(3, 0, 1, 2)  # [C, N, K, L + 1]
    return torch.cat([w[..., l : l + 1] * harmonics[..., block(l)] for l in range(degrees)], dim=3)  # noqa: E741


class BesselEmbedding(nn.Module):
    """Two-body scalars (c_{Zi}, n_{Zj}) * (R(r_ij) u(r_ij) W): embeddings of both species times a radial map."""

    def __init__(
        self,
        n_species: int,
        cutoff: float,
        size: int,
        trainable: bool,
        exponent: float,
        width: int,
        generator: torch.Generator,
    ):
        super().__init__()
        if width % 2:
            raise ConfigError(
                f"backbone.radial_chemical_embed_dim = {width} must be even: half of it for each of the two species."
            )
        self.size = size
        basis = BesselBasis(size, cutoff, cutoff / math.pi, trainable)
        self.radial = RadialEmbedding(basis, exponent)
        self.centre = nn.Parameter(torch.randn(n_species, width // 2, generator=generator, dtype=torch.float64))
        self.neighbour = nn.Parameter(torch.randn(n_species, width // 2, generator=generator, dtype=torch.float64))
        self.linear = MLP([size, width], generator, uniform=True)

    def forward(self, geometry: EdgeGeometry) -> tuple[Tensor, Tensor]:
        """Radial features [E, size], two-body scalars [E, width]."""
        basis, envelope = self.radial(geometry)
        radial = basis * envelope
        species = [
            self.centre.index_select(0, geometry.centre_species),
            self.neighbour.index_select(0, geometry.neighbour_species),
        ]
        return radial, torch.cat(species, dim=1) * self.linear(radial)


class SplineEmbedding(nn.Module):
    """Two-body scalars B(r_ij) W_{Zi,Zj}: splines of the distance with coefficients for every pair of species."""

    def __init__(self, n_species: int, cutoff: float, size: int, span: int, width: int, generator: torch.Generator):
        super().__init__()
        if span > size:
            raise ConfigError(f"backbone.spline_span = {span} must be at most backbone.num_splines = {size}.")
        self.size, self.n_species = size, n_species
        self.basis = CosineSplineBasis(size, cutoff, span)
        coefficients = unit_uniform(n_species**2, size, width, generator=generator) / math.sqrt(span)
        self.coefficients = nn.Parameter(coefficients)

    def forward(self, geometry: EdgeGeometry) -> tuple[Tensor, Tensor]:
        """Radial features [E, size], two-body scalars [E, width]."""
        radial = self.basis(geometry.stretched_distances)
        pairs = SpeciesGroups.from_species(geometry.species_pairs(self.n_species), self.n_species**2)
        return radial, pairs.join([b @ w for b, w in zip(pairs.split(radial), self.coefficients, strict=True)])


@dataclass(frozen=True)
class _Network:
    """Depth, width and activation of one of Allegro's MLPs."""

    name: str
    depth: int
    width: int
    act: str | None
    generator: torch.Generator

    def build(self, n_in: int, n_out: int) -> MLP:
        return MLP([n_in, *[self.width] * self.depth, n_out], self.generator, self.act, gain=GAIN, uniform=True)


class Allegro(Backbone):
    """Allegro. Options carry upstream's names and meaning; conf/backbone/allegro.yaml explains each.

    Every edge quantity vanishes with its edge, so an atom without neighbours has network energy zero, and an atomic
    energy depends on the neighbours within one cutoff only. Raises ConfigError for options that do not
    fit one another.
    """

    reach = 1
    two_body: BesselEmbedding | SplineEmbedding

    def __init__(
        self,
        atomic_numbers: Sequence[int],
        cutoff: float,
        generator: torch.Generator,
        *,
        num_layers: Layers,
        l_max: Degree,
        parity: bool,
        num_scalar_features: Width,
        num_tensor_features: Width,
        tp_path_channel_coupling: bool,
        scalar_embed_mlp_hidden_layers_depth: Depth,
        scalar_embed_mlp_hidden_layers_width: Width,
        scalar_embed_mlp_nonlinearity: Nonlinearity,
        allegro_mlp_hidden_layers_depth: Depth,
        allegro_mlp_hidden_layers_width: Width,
        allegro_mlp_nonlinearity: Nonlinearity,
        readout_mlp_hidden_layers_depth: Depth,
        readout_mlp_hidden_layers_width: Width,
        readout_mlp_nonlinearity: Nonlinearity,
        two_body: Literal["bessel", "spline"],
        radial_chemical_embed_dim: Width | None,
        num_bessels: Width,
        bessel_trainable: bool,
        polynomial_cutoff_p: Exponent,
        num_splines: Width,
        spline_span: Width,
    ):
        super().__init__()
        s, c = num_scalar_features, num_tensor_features
        self.n_species = len(atomic_numbers)
        self.register_buffer("mean_degree", torch.ones(self.n_species, dtype=torch.float64))
        # widths of what an edge projection makes: scalars, environment weights of every degree (l = 0 first)
        self.widths = [s, *[c] * (l_max + 1)]

        embedded = s if radial_chemical_embed_dim is None else radial_chemical_embed_dim
        self.two_body = (
            BesselEmbedding(
                self.n_species, cutoff, num_bessels, bessel_trainable, polynomial_cutoff_p, embedded, generator
            )
            if two_body == "bessel"
            else SplineEmbedding(self.n_species, cutoff, num_splines, spline_span, embedded, generator)
        )
        embed, latent, readout = (
            _Network("scalar_embed_mlp", scalar_embed_mlp_hidden_layers_depth, scalar_embed_mlp_hidden_layers_width,
                     scalar_embed_mlp_nonlinearity, generator),
            _Network("allegro_mlp", allegro_mlp_hidden_layers_depth, allegro_mlp_hidden_layers_width,
                     allegro_mlp_nonlinearity, generator),
            _Network("readout_mlp", readout_mlp_hidden_layers_depth, readout_mlp_hidden_layers_width,
                     readout_mlp_nonlinearity, generator),
        )  # fmt: skip
        networks = (embed, latent, readout)
        self.hidden_widths = {f"{net.name}_hidden_layers_width": net.width for net in networks if net.depth}
        self.scalar_embedding = embed.build(embedded, s)
        self.harmonics = SphericalHarmonics(l_max)
        self.tensor_embedding = MLP([s, c * (l_max + 1)], generator, uniform=True)
        self.projection = MLP([s, sum(self.widths)], generator, uniform=True)
        tracked = _irreps_of_tensors(l_max, parity, num_layers)
        coupled = c if tp_path_channel_coupling else 1
        self.products = nn.ModuleList(
            EdgeTensorProduct(tracked[t], l_max, tracked[t + 1], coupled, generator) for t in range(num_layers)
        )
        self.latents = nn.ModuleList(
            latent.build(s * (t + 1) + c, sum(self.widths) if t < num_layers - 1 else s) for t in range(num_layers)
        )
        self.readout = readout.build(s * (num_layers + 1), 1)
        pooled = self.readout.weights[-1].shape[0]
        self.pathway = PathwayShape(
            cutoff=cutoff,
            n_species=self.n_species,
            n_radial=self.two_body.size,
            edge_channels=(s + c,) * num_layers,
            pool_channels=(c,) * num_layers + (pooled,),
            readout_channels=(pooled,),
        )

    def forward(self, geometry: EdgeGeometry, head: ScalarPathway) -> Tensor:
        """Atomic energies [N] before scale, shift and E0. C tensor channels, S scalar features per edge."""
        norm = self.mean_degree.rsqrt().index_select(0, geometry.species)[:, None]
        # 1. two-body scalars x_ij of every edge, harmonics centre -> neighbour    [E, S], padded [N, K, (l_max + 1)^2]
        radial, pair = self.two_body(geometry)
        hidden, matrix = self.scalar_embedding(pair), self.projection.last()
        harmonics = to_padded(self.harmonics(geometry.units), geometry)
        context = head.prepare(geometry, radial)
        # 2. two-body tensors V_ij                                                 [C, N, K, (l_max + 1)^2]
        tensors = two_body_tensors(self.tensor_embedding(hidden), harmonics, geometry)
        scalars: list[Tensor] = []
        for t, (product, latent) in enumerate(zip(self.products, cast(Sequence[MLP], self.latents), strict=True)):
            # 3. scalars and environment weights; the head changes those of l = 0            [E, S], per l [E, C]
            blocks, gate = head.edge_weights(t, hidden, matrix, sum(self.widths[:2]), context)
            new, *weights = self._columns(blocks)
            scalars.append(new)
            # 4. environment of every atom, whose scalars the head pools          per l [N, 2l + 1, C]
            environment = self._environment(weights, harmonics, gate, norm, geometry)
            environment[0] = head.pool(t, environment[0].squeeze(1), context).unsqueeze(1)
            # 5. tensor product of every edge with the environment of its centre  [C, N, K, dim]
            tensors = product(tensors, torch.cat(environment, dim=1).permute(2, 0, 1))
            # 6. latent network on all scalars so far and the invariants of the product       [E, H]
            invariants = from_padded(tensors[..., 0].permute(1, 2, 0), geometry)  # [E, C]
            hidden, matrix = latent.hidden(torch.cat([*scalars, invariants], dim=1)), latent.last()
        scalars.append(hidden @ matrix)
        # 7. readout: hidden units of the edges, pooled on atoms, then one linear map         [N, H], [N]
        pooled = neighbour_sum(self.readout.hidden(torch.cat(scalars, dim=1)), geometry) * (norm / math.sqrt(2.0))
        pooled = head.pool(len(self.products), pooled, context)
        energy = (pooled @ self.readout.last()).squeeze(1)
        extra = head.readout(0, pooled, context)
        return energy if extra is None else energy + extra

    def _columns(self, blocks: Sequence[Tensor]) -> list[Tensor]:
        """Scalars [E, S] and environment weights per l [E, C] from the blocks of the edge weights."""
        cuts = (self.widths[:2], self.widths[2:])
        return [part for values, cut in zip(blocks, cuts, strict=False) for part in values.split(cut, dim=1)]

    @staticmethod
    def _environment(
        weights: Sequence[Tensor], harmonics: Tensor, gate: Tensor | None, norm: Tensor, geometry: EdgeGeometry
    ) -> list[Tensor]:
        """sum_j w_ij Y_ij / sqrt(mean degree), weights per l [E, C], norm [N, 1] -> per l [N, 2l + 1, C].

        The gate [N, K, 1] is a factor on the l = 0 part of the sum.
        """
        parts = [harmonics[:, :, block(degree)] for degree in range(len(weights))]
        if gate is not None:
            parts[0] = parts[0] * gate
        return [outer_neighbour_sum(y, w, geometry) * norm[:, :, None] for y, w in zip(parts, weights, strict=True)]


def _irreps_of_tensors(l_max: int, parity: bool, num_layers: int) -> list[list[o3.Irrep]]:
    """Irreps that the edge tensors carry before the first and after every product, 0e first.

    All up to l_max that can be reached, and from which a scalar can still be reached; after the last product, scalars.
    """
    natural = [ir for _, ir in natural_irreps(l_max)]
    tracked = [irrep(l, p) for l in range(l_max + 1) for p in (1, -1)] if parity else natural  # noqa: E741

    def reaches(source: o3.Irrep, targets: Sequence[o3.Irrep]) -> bool:
        return bool(couplings(irreps([(1, source)]), l_max, targets))

    carried = [natural]
    for t in range(num_layers):
        allowed = [irrep(0, 1)] if t == num_layers - 1 else tracked
        carried.append([ir for ir in allowed if any(reaches(source, [ir]) for source in carried[-1])])
    for t in range(num_layers - 1, -1, -1):
        carried[t] = [ir for ir in carried[t] if reaches(ir, carried[t + 1])]
    return carried
