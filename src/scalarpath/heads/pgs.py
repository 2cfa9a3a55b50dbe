"""PGS, physics-guided spectral mixers: a finer radial band on the scalar edge weights, a spectral readout."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations_with_replacement
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from scalarpath.core.settings import Positive, Range, Width
from scalarpath.graph.geometry import EdgeDistances, EdgeGeometry
from scalarpath.heads.descriptors import ENVELOPE_EXPONENT
from scalarpath.heads.interface import Descriptors, PathwayInputs, PathwayPart, PathwayShape, Shown
from scalarpath.heads.panels import Curve, Panel
from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.edge_band import kernel_edge_band
from scalarpath.nn.cpu.embedding_energy import kernel_embedding_energy
from scalarpath.nn.radial import polynomial_cutoff, semicircle_taper

SHOWN_RANGE, GRID_POINTS = (0.01, 0.99), 40  # of the descriptors of the atoms in a figure


def sine_band(geometry: EdgeDistances, frequencies: Tensor) -> Tensor:
    """sin(k_m s) / s times the envelope, s the stretched distances: [M, E]."""
    s = geometry.stretched_distances.T
    envelope = polynomial_cutoff(geometry.scaled_distances.T, ENVELOPE_EXPONENT)
    return torch.sin(frequencies[:, None] * s) * (envelope / s)


@with_cpu_kernel(kernel_edge_band)
def band_features(
    geometry: EdgeDistances, frequencies: Tensor, mix: Tensor, amplitudes: Tensor, kind: Tensor | None
) -> Tensor:
    """a_q sum_m sin(k_m s) u / s A_mq, k_m neighbouring multiples of pi / cutoff: [E, rank].

    frequencies k [M]; mix A [M, rank]; amplitudes a [kinds, rank], of which every edge reads the row ``kind`` [E], or
    all the only one where it is None.
    """
    factors = amplitudes if kind is None else amplitudes.index_select(0, kind)
    return (sine_band(geometry, frequencies).T @ mix) * factors


class EdgeBand(PathwayPart):
    """W_ij <- W_ij + ((phi(r_ij) B) * A_{ZiZj}) V: a Fourier-Bessel band on the paths with scalar output only.

    phi_m = taper_m sqrt(2/rc) sin(n_m pi r / rc) / r * u(r / rc), n_m = first + m, m = 1..size: it continues the
    backbone's Bessel functions to shorter wavelengths (at rc = 6 Å from 0.75 to 0.38 Å half-waves), damped by the
    exponential of a semicircle. The low-rank map starts at zero. Linear in phi, so the envelope takes it to zero at
    the cutoff. A depends on the unordered pair of elements, so the band is computed once for both directions of a pair.
    """

    pair_index: Tensor

    frequencies: Tensor
    taper: Tensor
    rms: Tensor

    def __init__(
        self,
        pathway: PathwayShape,
        generator: torch.Generator,
        size: Width = 8,
        first: Annotated[int, Range(at_least=0, at_most=10_000)] = 8,
        rank: Width = 8,
        beta: Positive = 4.0,
    ):
        super().__init__()
        self.n_species = pathway.n_species
        orders = torch.arange(first + 1, first + size + 1, dtype=torch.float64)
        self.register_buffer("frequencies", orders * math.pi / pathway.cutoff)
        self.register_buffer("taper", semicircle_taper(size, beta))
        self.register_buffer("rms", torch.ones(size, dtype=torch.float64))
        self.mix = nn.Parameter(torch.randn(size, rank, generator=generator, dtype=torch.float64) / math.sqrt(size))
        index = torch.zeros(pathway.n_species, pathway.n_species, dtype=torch.long)
        lower = torch.tril_indices(*index.shape)
        index[lower[0], lower[1]] = index[lower[1], lower[0]] = torch.arange(lower.shape[1])
        self.register_buffer("pair_index", index.flatten(), persistent=False)  # of ordered pairs of species
        self.pair = nn.Parameter(torch.ones(lower.shape[1], rank, dtype=torch.float64))
        self.out = nn.ParameterList(
            nn.Parameter(torch.zeros(rank, channels, dtype=torch.float64)) for channels in pathway.edge_channels
        )
        self._squares: list[Tensor] = []

    def prepare(self, inputs: PathwayInputs) -> Tensor:
        """Low-rank features [R, rank]."""
        geometry = inputs.geometry.one_way
        kind = None
        if self.n_species > 1:
            kind = self.pair_index.index_select(0, geometry.species_pairs(self.n_species))
        values = band_features(geometry, self.frequencies, self._scaled_mix(), self.pair, kind)
        return inputs.pairs_to_radial_layout(values)

    def _scaled_mix(self) -> Tensor:
        """B with taper, normalisation and 1 / sqrt(rank), the fan-in of V: [M, rank]."""
        scale = self.taper / (self.rms * math.sqrt(self.mix.shape[1]))
        return self.mix * scale[:, None]

    def edge_term(self, layer: int, prepared: Any) -> tuple[Tensor, Tensor]:
        """Features [R, rank] and their map V [rank, edge_channels]."""
        return prepared, self.out[layer]

    def panels(self, shown: Shown) -> list[Panel]:
        """Of every layer: how large the share of every sine n is, beside the backbone's own weights."""
        return [
            Panel(
                f"layer {layer + 1}, by sine",
                "n of sin(n π r / cutoff)",
                "share / backbone's weights",
                list(self._used(shown, layer)),
                "root mean square, over edges and channels, of what each sine adds to the scalar edge weights, "
                "divided by that of the backbone's own",
                identity=0.0,
            )
            for layer in range(len(self.out))
        ]

    def _used(self, shown: Shown, layer: int) -> Iterator[Curve]:
        """One curve per pair of elements that has edges."""
        geometry = shown.inputs.geometry
        pairs = self.pair_index.index_select(0, geometry.species_pairs(self.n_species))
        sines = sine_band(geometry, self.frequencies)
        orders = (self.frequencies * geometry.cutoff / math.pi).tolist()
        for colour, (i, j) in enumerate(combinations_with_replacement(range(self.n_species), 2)):
            number = int(self.pair_index[i * self.n_species + j])
            here = pairs == number
            if here.any():
                weights = (self._scaled_mix() * self.pair[number]) @ self.out[layer]  # [M, edge_channels]
                share = (sines[:, here].square().mean(1) * weights.square().mean(1)).sqrt()
                own = shown.plain_weights[layer][here].mean().sqrt()
                label = f"{shown.elements[i]}-{shown.elements[j]}"
                yield Curve(label, orders, (share / own).tolist(), colour=colour)

    def observe(self, geometry: EdgeDistances) -> None:
        """Collect the mean square of the band over the training edges."""
        if len(geometry.distances):
            self._squares.append(sine_band(geometry, self.frequencies).double().square())

    def finish_observation(self) -> None:
        """Scale every band function to unit mean square on the training edges (before the taper)."""
        if self._squares:
            self.rms.copy_(torch.cat(self._squares, dim=1).mean(1).sqrt().clamp(min=1e-6))
        self._squares = []


class SpectralExpansion(nn.Module):
    """psi(t) = sum_c sum_k taper_k / omega_k [a_ck sin(omega_k t_c) + b_ck (cos(omega_k t_c) - 1)], omega_k = k pi / 2.

    psi(0) = 0. The factors 1/omega_k and 1/sqrt(number of coefficients) give every coefficient the same leverage on the
    forces as a weight of a linear readout; without them Adam's equal steps on all coefficients disturb training.
    """

    frequency: Tensor
    phase: Tensor
    at_zero: Tensor
    weight: Tensor

    def __init__(self, channels: int, orders: int, beta: float):
        super().__init__()
        omega = torch.arange(1, orders + 1, dtype=torch.float64) * math.pi / 2.0
        weight = semicircle_taper(orders, beta) / omega / math.sqrt(2 * channels * orders)
        # a cosine is a sine shifted by a quarter: sines and cosines are one array
        self.register_buffer("frequency", omega.repeat(2), persistent=False)
        self.register_buffer(
            "phase", torch.tensor([0.0, math.pi / 2.0], dtype=torch.float64).repeat_interleave(orders), persistent=False
        )
        self.register_buffer("at_zero", torch.sin(self.phase), persistent=False)
        self.register_buffer("weight", weight.repeat(2), persistent=False)

    def forward(self, t: Tensor, coefficients: Tensor) -> Tensor:
        """t [N, C] within (-2, 2), coefficients (a, b) [C, 2 orders] or a set per atom [N, C, 2 orders] -> [N]."""
        return self._terms(t, coefficients).sum((1, 2))

    def by_channel(self, t: Tensor, coefficients: Tensor) -> Tensor:
        """The same before the sum over c: [N, C]."""
        return self._terms(t, coefficients).sum(2)

    def _terms(self, t: Tensor, coefficients: Tensor) -> Tensor:
        functions = torch.sin(torch.addcmul(self.phase, t[:, :, None], self.frequency)) - self.at_zero
        return functions * (coefficients * self.weight)


@with_cpu_kernel(kernel_embedding_energy)
def embedding_energy(
    geometry: EdgeGeometry, descriptors: Tensor, coefficients: Tensor, expansion: SpectralExpansion, origin: Tensor
) -> Tensor:
    """psi_Zi(t_i), t = tanh(d / 2) - t0_Zi: descriptors d [N, C], coefficients [S, C, 2 orders], t0 [S, C] -> [N]."""
    t = torch.tanh(0.5 * descriptors) - origin.index_select(0, geometry.species)
    return expansion(t, coefficients.index_select(0, geometry.species))


class EmbeddingReadout(PathwayPart):
    """E_i <- E_i + psi_Zi(t_i - t_isolated), t = tanh(d / 2) of the local descriptors, once, with the last layer.

    A tapered spectral expansion of an embedding energy, in the sense of the embedded-atom method. Zero for an isolated
    atom; its coefficients, one set per species, start at zero.
    """

    def __init__(
        self,
        pathway: PathwayShape,
        descriptors: Descriptors,
        generator: torch.Generator,
        orders: Width = 4,
        beta: Positive = 4.0,
    ):
        super().__init__()
        self.layer = len(pathway.readout_channels) - 1
        self.expansion = SpectralExpansion(descriptors.size, orders, beta)
        shape = (pathway.n_species, descriptors.size, 2 * orders)
        self.coefficients = nn.Parameter(torch.zeros(shape, dtype=torch.float64))

    def prepare(self, inputs: PathwayInputs) -> Tensor:
        """Embedding energies [N]."""
        local = inputs.descriptors
        origin = torch.tanh(0.5 * local.isolated)
        return embedding_energy(inputs.geometry, local.values, self.coefficients, self.expansion, origin)

    def readout(self, layer: int, features: Tensor, prepared: Any) -> Tensor | None:
        """The embedding energies, with the last layer's readout."""
        return prepared if layer == self.layer else None

    def panels(self, shown: Shown) -> list[Panel]:
        """Of every element: the energy against each descriptor, of which the embedding energy is the sum."""
        local, species = shown.inputs.descriptors, shown.inputs.geometry.species
        panels = []
        for s, element in enumerate(shown.elements):
            values = local.values[species == s]
            if not len(values):
                continue
            low, high = (values.quantile(share, dim=0) for share in SHOWN_RANGE)
            grid = torch.lerp(low, high, torch.linspace(0.0, 1.0, GRID_POINTS).to(low)[:, None])  # [points, C]
            origin, unit = torch.tanh(0.5 * local.isolated[s]), 1000.0 * shown.energy_unit[s]
            curve, usual = (
                self.expansion.by_channel(torch.tanh(0.5 * d) - origin, self.coefficients[s]) * unit
                for d in (grid, values)
            )
            curves = [
                Curve(label, grid[:, c].tolist(), (curve[:, c] - usual[:, c].mean()).tolist(), colour=c)
                for c, label in enumerate(shown.labels)
            ]
            shows = "energy against each descriptor, relative to its mean over the atoms; 98 % of them lie in the range"
            panels.append(
                Panel(
                    f"{element} by descriptor", "standardised descriptor", "energy (meV)", curves, shows, identity=0.0
                )
            )
        return panels


class SpectralReadout(PathwayPart):
    """E_i <- E_i + psi(tanh(P h_i)) with every layer, P a random projection of its scalars h to a few channels.

    Zero for an atom without neighbours, whose scalars are zero; the coefficients start at zero.
    """

    def __init__(
        self,
        pathway: PathwayShape,
        generator: torch.Generator,
        channels: Width = 16,
        orders: Width = 4,
        beta: Positive = 4.0,
    ):
        super().__init__()
        self.expansion = SpectralExpansion(channels, orders, beta)
        self.projections = nn.ParameterList(
            nn.Parameter(torch.randn(width, channels, generator=generator, dtype=torch.float64) / math.sqrt(width))
            for width in pathway.readout_channels
        )
        self.coefficients = nn.ParameterList(
            nn.Parameter(torch.zeros(channels, 2 * orders, dtype=torch.float64)) for _ in pathway.readout_channels
        )

    def readout(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """[N, readout_channels] -> [N]."""
        t = torch.tanh(features @ self.projections[layer])
        return self.expansion(t, self.coefficients[layer])
