"""Allegro, strictly local equivariant edge features (arXiv:2204.05249), in parity with nequip-allegro 0.8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from e3nn import o3
from torch import Tensor, nn

from scalarpath.backbones.edge_weights import split_edge_weights
from scalarpath.backbones.interface import Backbone
from scalarpath.core.errors import ConfigError
from scalarpath.core.options import choice, count
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import from_padded, to_padded
from scalarpath.heads.interface import PathwaySpec, ScalarPathway
from scalarpath.nn.angular import SphericalHarmonics, block, couplings, natural_irreps
from scalarpath.nn.convolution.edge_tensor_product import EdgeTensorProduct
from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.two_body_tensors import kernel_two_body_tensors
from scalarpath.nn.linear import SpeciesGroups
from scalarpath.nn.mlp import ACTIVATIONS, MLP, unit_uniform
from scalarpath.nn.neighbour_sum import neighbour_sum, outer_neighbour_sum
from scalarpath.nn.radial import BesselBasis, CosineSplineBasis, RadialEmbedding

SCALAR = o3.Irrep("0e")
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
        count("backbone", num_bessels=size)
        choice("backbone", (True, False), bessel_trainable=trainable)
        choice("backbone", range(2, 13), polynomial_cutoff_p=exponent)
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
        count("backbone", num_splines=size)
        choice("backbone", range(1, size + 1), spline_span=span)
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
    """Depth, width and activation of one of Allegro's MLPs; raises ConfigError for a value out of range."""

    name: str
    depth: int
    width: int
    act: str | None
    generator: torch.Generator

    def __post_init__(self) -> None:
        count("backbone", **{f"{self.name}_hidden_layers_width": self.width})
        count("backbone", at_least=0, **{f"{self.name}_hidden_layers_depth": self.depth})
        choice("backbone", (None, *ACTIVATIONS), **{f"{self.name}_nonlinearity": self.act})

    def build(self, n_in: int, n_out: int) -> MLP:
        return MLP([n_in, *[self.width] * self.depth, n_out], self.generator, self.act, gain=GAIN, uniform=True)


class Allegro(Backbone):
    """Allegro. Options carry upstream's names and meaning.

    num_layers tensor products with harmonics up to l_max, tracking both parities with ``parity``, else natural parity;
    num_scalar_features and num_tensor_features per edge (tp_path_channel_coupling: product weights per channel and
    path, else per path); MLPs scalar_embed_mlp, allegro_mlp and readout_mlp, each with _hidden_layers_depth,
    _hidden_layers_width and _nonlinearity silu | mish | gelu | tanh | null; two_body bessel (num_bessels functions,
    bessel_trainable frequencies, envelope exponent polynomial_cutoff_p) or spline (num_splines, spline_span of which
    overlap), radial_chemical_embed_dim wide (null: num_scalar_features).

    Every edge quantity vanishes with its edge, so an atom without neighbours has network energy zero, and an atomic
    energy depends on the neighbours within one cutoff only. Raises ConfigError for a value out of range.
    """

    two_body: BesselEmbedding | SplineEmbedding

    def __init__(
        self,
        atomic_numbers: Sequence[int],
        cutoff: float,
        generator: torch.Generator,
        *,
        num_layers: int = 2,
        l_max: int = 2,
        parity: bool = True,
        num_scalar_features: int = 64,
        num_tensor_features: int = 16,
        tp_path_channel_coupling: bool = True,
        scalar_embed_mlp_hidden_layers_depth: int = 1,
        scalar_embed_mlp_hidden_layers_width: int = 64,
        scalar_embed_mlp_nonlinearity: str | None = "silu",
        allegro_mlp_hidden_layers_depth: int = 1,
        allegro_mlp_hidden_layers_width: int = 64,
        allegro_mlp_nonlinearity: str | None = "silu",
        readout_mlp_hidden_layers_depth: int = 1,
        readout_mlp_hidden_layers_width: int = 32,
        readout_mlp_nonlinearity: str | None = "silu",
        two_body: str = "bessel",
        radial_chemical_embed_dim: int | None = None,
        num_bessels: int = 8,
        bessel_trainable: bool = False,
        polynomial_cutoff_p: float = 6,
        num_splines: int = 16,
        spline_span: int = 12,
    ):
        super().__init__()
        s, c = num_scalar_features, num_tensor_features
        count("backbone", num_layers=num_layers, num_scalar_features=s, num_tensor_features=c)
        choice("backbone", range(5), l_max=l_max)
        choice("backbone", (True, False), parity=parity, tp_path_channel_coupling=tp_path_channel_coupling)
        choice("backbone", ("bessel", "spline"), two_body=two_body)
        self.n_species = len(atomic_numbers)
        self.register_buffer("mean_degree", torch.ones(self.n_species, dtype=torch.float64))
        # widths of what an edge projection makes: scalars, environment weights of every degree (l = 0 first)
        self.widths = [s, *[c] * (l_max + 1)]

        embedded = s if radial_chemical_embed_dim is None else radial_chemical_embed_dim
        count("backbone", radial_chemical_embed_dim=embedded)
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
        irreps = _irreps_of_tensors(l_max, parity, num_layers)
        coupled = c if tp_path_channel_coupling else 1
        self.products = nn.ModuleList(
            EdgeTensorProduct(irreps[t], l_max, irreps[t + 1], coupled, generator) for t in range(num_layers)
        )
        self.latents = nn.ModuleList(
            latent.build(s * (t + 1) + c, sum(self.widths) if t < num_layers - 1 else s) for t in range(num_layers)
        )
        self.readout = readout.build(s * (num_layers + 1), 1)
        pooled = self.readout.weights[-1].shape[0]
        self.pathway = PathwaySpec(
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
            # 3. scalars and environment weights; the head has its say on those of l = 0     [E, S], per l [E, C]
            (new, *weights), gate = split_edge_weights(hidden, matrix, self.widths, 2, head, t, context)
            scalars.append(new)
            # 4. environment of every atom, whose scalars the head pools          [C, N, (l_max + 1)^2]
            environment = self._environment(t, weights, harmonics, gate, norm, geometry, head, context)
            # 5. tensor product of every edge with the environment of its centre  [C, N, K, dim]
            tensors = product(tensors, environment)
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

    def _environment(
        self,
        layer: int,
        weights: Sequence[Tensor],
        harmonics: Tensor,
        gate: Tensor | None,
        norm: Tensor,
        geometry: EdgeGeometry,
        head: ScalarPathway,
        context: dict[str, Any],
    ) -> Tensor:
        """Gamma_i = sum_j w_ij Y_ij / sqrt(mean degree), weights per l [E, C], norm [N, 1] -> [C, N, (l_max + 1)^2].

        The gate [N, K, 1] is a factor on the l = 0 part of the sum.
        """
        parts = [harmonics[:, :, block(degree)] for degree in range(len(weights))]
        if gate is not None:
            parts[0] = parts[0] * gate
        per_degree = [
            outer_neighbour_sum(y, w, geometry) * norm[:, :, None] for y, w in zip(parts, weights, strict=True)
        ]
        per_degree[0] = head.pool(layer, per_degree[0].squeeze(1), context).unsqueeze(1)
        return torch.cat(per_degree, dim=1).permute(2, 0, 1)


def _irreps_of_tensors(l_max: int, parity: bool, num_layers: int) -> list[list[o3.Irrep]]:
    """Irreps that the edge tensors carry before the first and after every product, 0e first.

    All up to l_max that can be reached, and from which a scalar can still be reached; after the last product, scalars.
    """
    natural = [ir for _, ir in natural_irreps(l_max)]
    tracked = [o3.Irrep(l, p) for l in range(l_max + 1) for p in (1, -1)] if parity else natural  # noqa: E741

    def reaches(source: o3.Irrep, targets: Sequence[o3.Irrep]) -> bool:
        return bool(couplings(o3.Irreps([(1, source)]), l_max, targets))

    irreps = [natural]
    for t in range(num_layers):
        allowed = [SCALAR] if t == num_layers - 1 else tracked
        irreps.append([ir for ir in allowed if any(reaches(source, [ir]) for source in irreps[-1])])
    for t in range(num_layers - 1, -1, -1):
        irreps[t] = [ir for ir in irreps[t] if reaches(ir, irreps[t + 1])]
    return irreps
