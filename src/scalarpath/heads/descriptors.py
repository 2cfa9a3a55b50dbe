"""Invariant descriptors of an atom's neighbourhood: coordination, density, geometric distortion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scalarpath.core.settings import Width
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import to_padded_features_first
from scalarpath.heads.interface import Descriptors, LocalDescriptors
from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.descriptors import kernel_descriptors
from scalarpath.nn.radial import polynomial_cutoff

# Smallest standard deviation used, as a share of what one neighbour changes: in a crystal, where a descriptor hardly
# varies, its standardised value must not jump as soon as an atom comes or leaves.
LEAST_SPREAD = 0.25
ENVELOPE_EXPONENT = 6


class NeighbourhoodDescriptors(Descriptors):
    """d_i = [zeta^1..zeta^K, spread, polarity, quadrupole], standardised per species on the training set: [N, K + 3].

    Soft shells F_k(r) = sigmoid((R_k - r) / s_k), envelope u, neighbour weights q_{k,Z} > 0:

    * coordination n^k = sum_j q_{k,Zj} F_k(r_ij) u_ij and zeta^k = (n^k - nbar^k_Z) / (n^k + nbar^k_Z + 1);
    * with w = F_K u, W = sum_j w, M = (W + nbar^K_Z + 1)^2: spread (W sum w x^2 - (sum w x)^2) / M of x = r / cutoff,
      polarity |sum w r|^2 / M, quadrupole |sum w (r r^T - I/3)|_F^2 / M (unit vectors r).

    The moments are measured against the usual coordination, like zeta, so that a last neighbour who leaves takes them
    to zero over the whole width of his weight; divided by W alone they would fall from one to zero just before the
    cutoff. All are C2 across the cutoff, intensive, invariant, and see only the neighbours of atom i. The standardised
    value z is passed through asinh: linear within the training spread, logarithmic outside, so that an unseen
    neighbourhood stays within the range of what was learnt. This project's design (PAN conditions on "local
    coordination, density, or geometric distortion", arXiv:2606.15892).
    """

    mean_coordination: Tensor
    mean: Tensor
    spread: Tensor
    quadratic: Tensor
    mixed: Tensor

    def __init__(self, cutoff: float, n_species: int, shells: Width = 4):
        super().__init__()
        self.shells = shells
        self.size = shells + 3
        self.radii = nn.Parameter(torch.linspace(0.35, 0.80, shells, dtype=torch.float64) * cutoff)
        width = torch.full((shells,), 0.04 * cutoff, dtype=torch.float64)
        self.min_width = 0.02 * cutoff
        self.raw_widths = nn.Parameter(torch.log(torch.expm1(width)))
        one = torch.ones(shells, n_species, dtype=torch.float64)
        self.raw_weights = nn.Parameter(torch.log(torch.expm1(one)))
        self.register_buffer("mean_coordination", torch.ones(n_species, shells, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(n_species, self.size, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(n_species, self.size, dtype=torch.float64))
        # spread, polarity and quadrupole in squares of the sums S of w v (x) v, and in S_00 S_11: |S - W I/3|^2 of the
        # block of r (x) r is |S|^2 - W^2/3, since its trace is W = S_00
        quadratic = torch.zeros(5, 5 + shells, 3, dtype=torch.float64)
        quadratic[0, 1, 0], quadratic[0, 2:5, 1], quadratic[2:, 2:5, 2], quadratic[0, 0, 2] = -1.0, 1.0, 1.0, -1.0 / 3.0
        self.register_buffer("quadratic", quadratic.flatten(0, 1), persistent=False)
        self.register_buffer("mixed", torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), persistent=False)
        self._observed: list[tuple[Tensor, Tensor]] = []

    @property
    def labels(self) -> list[str]:
        """Soft coordinations by the radius R_k of their shell, and the three moments."""
        radii = [f"neighbours within {radius:.1f} Å" for radius in self.radii.tolist()]
        return [*radii, "spread", "polarity", "quadrupole"]

    def forward(self, geometry: EdgeGeometry) -> LocalDescriptors:
        """Standardised descriptors of every atom, D = K + 3."""
        # without neighbours all sums are zero
        alone = nn.functional.pad(-self.mean_coordination / (self.mean_coordination + 1.0), (0, 3))
        isolated = torch.asinh((alone - self.mean) / self.spread)
        return LocalDescriptors(self._standardised(geometry), isolated)

    @property
    def inverse_widths(self) -> Tensor:
        """1 / s_k [K]."""
        return (self.min_width + nn.functional.softplus(self.raw_widths)).reciprocal()

    @property
    def weights(self) -> Tensor:
        """q_{k,Z} [K, S]."""
        return nn.functional.softplus(self.raw_weights)

    @with_cpu_kernel(kernel_descriptors)
    def _standardised(self, geometry: EdgeGeometry) -> Tensor:
        raw = self._raw(self._sums(geometry), geometry.species)
        mean, spread = (values.index_select(0, geometry.species) for values in (self.mean, self.spread))
        return torch.asinh((raw - mean) / spread)

    def _sums(self, geometry: EdgeGeometry) -> Tensor:
        """Sums over neighbours of v (x) (w v, q F_k u) with v = (1, x, r): [N, 5, 5 + K].

        On the padded layout with features first, [.., N, K], which vectorises where [E, few] does not.
        """
        r, x = geometry.distances, geometry.scaled_distances
        edges = [r, polynomial_cutoff(x, ENVELOPE_EXPONENT), torch.ones_like(r), x, geometry.units]
        padded = to_padded_features_first(torch.cat(edges, dim=1), geometry)
        distance, envelope, v = padded.split([1, 1, 5])  # zero in empty slots
        inverse = self.inverse_widths[:, None, None]
        radial = torch.addcmul(inverse * self.radii[:, None, None], distance, inverse, value=-1.0)
        shells = torch.sigmoid(radial) * envelope
        weights, n_species = self.weights, self.mean.shape[0]
        if n_species > 1:  # of every neighbour that of its species
            weights = (weights @ geometry.neighbour_indicator(n_species)).view_as(shells)
        else:
            weights = weights[:, :, None]
        values = torch.cat([shells[-1:] * v, weights * shells])
        return torch.bmm(v.transpose(0, 1), values.permute(1, 2, 0))

    def _raw(self, sums: Tensor, species: Tensor) -> Tensor:
        """[zeta^1..zeta^K, spread, polarity, quadrupole] from the sums: [N, K + 3]."""
        mean = self.mean_coordination.index_select(0, species)
        total, coordination = sums[:, 0, :1], sums[:, 0, 5:]
        squares = sums.square().flatten(1) @ self.quadratic
        distortion = torch.addcmul(squares, total * sums[:, 1, 1:2], self.mixed)
        norm = (total + (mean[:, -1:] + 1.0)).square()
        numerator = torch.cat([coordination - mean, distortion], dim=1)
        return numerator / torch.cat([coordination + (mean + 1.0), norm.expand(-1, 3)], dim=1)

    def observe(self, geometry: EdgeGeometry) -> None:
        """Collect one training batch."""
        self._observed.append((self._sums(geometry), geometry.species))

    def finish_observation(self) -> None:
        """Set the training-set means and spreads, per species; a species never seen keeps mean 0 and spread 1."""
        sums, species = (torch.cat(column) for column in zip(*self._observed, strict=True))
        self._observed = []
        for s in species.unique().tolist():
            here = species == s
            mean = sums[here, 0, 5:].double().mean(0)
            self.mean_coordination[s] = mean
            raw = self._raw(sums[here], species[here]).double()
            self.mean[s] = raw.mean(0)
            one_neighbour = 1.0 / (mean + 1.0)
            least = torch.cat([one_neighbour, one_neighbour[-1:].square().expand(3)])
            self.spread[s] = raw.std(0, correction=0).clamp(min=LEAST_SPREAD * least)
