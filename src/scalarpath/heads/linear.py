"""A linear potential beside the network: pair functions, embedding functions and products of densities, summed.

E_i = sum_t w_t B_t(i), with coefficients w that least squares find before training (``linear_fit``). The network then
learns what the linear potential leaves over. Its terms are those of classical potentials, all of them invariants of
the neighbours of an atom:

========  ============================================================================  ===========================
block     B                                                                             source
========  ============================================================================  ===========================
pair      1/2 sum_j phi_m(r_ij), for every unordered pair of elements                   any pair potential
embedded  sqrt(rho + e) - sqrt(e), rho^2, rho^3 of rho = sum_j exp(-a (r_ij - 2 Å)) u   embedded atoms (Daw, Baskes,
                                                                                        PRB 29, 6443), Finnis-Sinclair
product   A_kl . A_k'l, A_klm = sum_j phi_k(r_ij) Y_lm(r_ij), for l = 0 ... l_max       atomic cluster expansion of
                                                                                        body order 3 (Drautz, PRB 99,
                                                                                        014104), MEAM
========  ============================================================================  ===========================

phi_m = sin(m pi r / rc) / r u(r), u the polynomial envelope. Densities are those of one element of the neighbours, and
coefficients belong to the element of the centre. All terms vanish for an atom without neighbours.

Where no frame was, the linear potential goes on as a classical one does, and a network anyhow: products of features
grow fast. So what the network may add to an atomic energy is bounded, far above what it adds on train frames, and fades
where the linear potential puts an atom or its neighbours above all train frames: a bounded network still changes its
sign within a thousandth of an Å there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import Positive, Range, Whole, Width
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import pairs_to_edges, to_padded
from scalarpath.nn.angular import SphericalHarmonics, block
from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.linear_energy import kernel_linear_energy
from scalarpath.nn.neighbour_sum import neighbour_sum, outer_neighbour_sum
from scalarpath.nn.radial import BesselBasis, polynomial_cutoff

PAIR, OF_CHARGES = "pair functions", "Coulomb energy"
BLOCKS = (PAIR, "embedding functions", "products of densities", OF_CHARGES)  # of the coefficients, in their order
EXPONENT = 6  # of the envelope
MOST_TERMS = 5000  # least squares take their number squared in memory, cubed in time


def one_below(linear: LinearPotential, energy: Tensor, geometry: EdgeGeometry) -> Tensor | None:
    """One, without a slope, where no atom is above the train frames; there is nothing to compute then."""
    below = energy.detach() <= linear.highest.index_select(0, geometry.species)
    return torch.ones_like(linear.limit) if bool(below.all()) else None


class LinearPotential(nn.Module):
    """Atomic energies that are linear in ``coefficients`` [T], in float64; zero until they are fitted.

    charged: whether a Coulomb energy (``coulomb``) is one more term, which the caller adds with ``coulomb_share``;
    trained: whether they are not fitted, but trained with the network from zero: then the coefficients are ``weights``
    [T], which are parameters, times ``coefficients``, which the fit sets to the sizes that fit the labels;
    pair: sines of the pair functions; radial: those of the products at most (0: none), l_max: their highest degree;
    exponents: 1/Å, of the densities of the embedding functions; bound: of the network beside it, in units of its scale
    and from the fit on, null: none; fade: the bound is half of that where an atom is above the ``highest`` [S] linear
    energy of its element on train frames by so many times what that is above their mean, null: the same everywhere.
    ``roughness`` [T]: square of the wave number of a term, in pi / cutoff; ``highest_sine`` [T]: that of a product,
    zero for others. Raises ConfigError for too many.
    """

    origin = 2.0  # Å, where the densities of the embedding are one
    smooth_root = 0.01  # e: the root of a density has a slope where there is no neighbour
    coefficients: Tensor
    limit: Tensor
    highest: Tensor
    reach: Tensor
    pair_rows: Tensor
    product_terms: Tensor
    exponents: Tensor

    def __init__(
        self,
        n_species: int,
        cutoff: float,
        charged: bool = False,
        *,
        pair: Width = 14,
        radial: Whole = 6,
        l_max: Annotated[int, Range(at_least=0, at_most=4)] = 3,
        exponents: Sequence[Positive] = (0.5, 1.0, 2.0),
        trained: bool = False,
        bound: Positive | None = None,
        fade: Positive | None = None,
    ):
        super().__init__()
        self.bound, self.fade = bound, None if bound is None or trained else fade
        if self.bound is not None:
            self.register_buffer("limit", torch.tensor(torch.inf, dtype=torch.float64))
        if self.fade is not None:
            self.register_buffer("highest", torch.full((n_species,), torch.inf, dtype=torch.float64))
            self.register_buffer("reach", torch.ones(n_species, dtype=torch.float64))
        self.n_species, self.radial, self.l_max = n_species, min(radial, pair), l_max
        pairs = list(itertools.combinations_with_replacement(range(n_species), 2))
        densities, features = n_species * len(exponents), n_species * self.radial
        products = features * (features + 1) // 2
        self.sizes = [len(pairs) * pair, n_species * densities * 3, n_species * (l_max + 1) * products, int(charged)]
        if sum(self.sizes) > MOST_TERMS:
            raise ConfigError(
                f"head.linear has {sum(self.sizes)} terms for {n_species} elements, more than {MOST_TERMS}; lower "
                "head.linear.radial or head.linear.pair."
            )
        self.register_buffer("coefficients", torch.zeros(sum(self.sizes), dtype=torch.float64))
        self.weights = nn.Parameter(torch.zeros_like(self.coefficients)) if trained else None
        # row of the table of pair coefficients that belongs to an ordered pair of elements
        rows = torch.zeros(n_species, n_species, dtype=torch.int64)
        for row, (a, b) in enumerate(pairs):
            rows[a, b] = rows[b, a] = row
        self.register_buffer("pair_rows", rows.flatten(), persistent=False)
        # term of the product of two features: the same for both orders
        upper = torch.triu_indices(features, features)
        terms = torch.zeros(features, features, dtype=torch.int64)
        terms[upper[0], upper[1]] = terms[upper[1], upper[0]] = torch.arange(products)
        self.register_buffer("product_terms", terms.flatten(), persistent=False)
        # how fast the terms vary: sines of each of their factors, and degree
        sines = torch.arange(features) % max(self.radial, 1) + 1
        first, second = sines[upper[0]], sines[upper[1]]
        squares = [first**2 + second**2 + degree**2 for degree in range(l_max + 1)] * n_species
        self.roughness = torch.cat(
            [
                torch.arange(1, pair + 1).square().repeat(len(pairs)),
                torch.ones(self.sizes[1]),
                *squares,
                torch.ones(self.sizes[3]),
            ]
        ).double()
        self.highest_sine = torch.cat(
            [
                torch.zeros(sum(self.sizes[:2])),
                torch.maximum(first, second).repeat(n_species * (l_max + 1)),
                torch.zeros(self.sizes[3]),
            ]
        )
        self.register_buffer("exponents", torch.tensor(exponents, dtype=torch.float64), persistent=False)
        self.basis = BesselBasis(pair, cutoff, prefactor=1.0)
        self.harmonics = SphericalHarmonics(l_max)

    def forward(self, geometry: EdgeGeometry, coefficients: Tensor | None = None) -> Tensor:
        """Atomic energies [N], eV, float64; with other coefficients [T] than the fitted ones if they are given."""
        if coefficients is None and self.weights is None:
            return self._fitted(geometry)
        return self._energies(geometry, self.acting if coefficients is None else coefficients)

    @with_cpu_kernel(kernel_linear_energy)
    def _fitted(self, geometry: EdgeGeometry) -> Tensor:
        return self._energies(geometry, self.coefficients)

    def tables(self, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients of the sines of every ordered pair [S^2, M]; of root, square and cube of the densities
        [S, 3 S X]; of the products of features, degree by degree, symmetric [S, l_max + 1, S F, S F]."""
        pair, embedded, product, _ = coefficients.split(self.sizes)
        pairs = pair.view(-1, len(self.basis.frequencies)).index_select(0, self.pair_rows)
        degrees, features = self.l_max + 1, self.n_species * self.radial
        products = product.view(self.n_species, degrees, -1).index_select(2, self.product_terms)
        over = 2.0 * torch.arange(degrees, device=product.device, dtype=product.dtype) + 1.0
        products = products.view(self.n_species, degrees, features, features) / over[:, None, None]
        return pairs, embedded.view(self.n_species, -1), products

    def _energies(self, geometry: EdgeGeometry, coefficients: Tensor) -> Tensor:
        pairs_of_elements, embedded, products = self.tables(coefficients)
        one_way = geometry.one_way
        envelope = polynomial_cutoff(one_way.scaled_distances.double(), EXPONENT)
        radial = self.basis(one_way.stretched_distances.double()) * envelope  # [P, pair]
        # 1. pair functions                                                         [P, 1] -> [N]
        ordered = pairs_of_elements.index_select(0, one_way.species_pairs(self.n_species))
        pairs = pairs_to_edges((radial * ordered).sum(1, keepdim=True), geometry)
        energy = 0.5 * neighbour_sum(pairs, geometry).squeeze(1)
        # 2. embedding functions                                                    [N, S X] -> [N]
        decays = torch.exp(self.exponents * (self.origin - one_way.distances.double())) * envelope
        decays = pairs_to_edges(decays, geometry)
        densities = neighbour_sum(self._by_element(decays, geometry), geometry)
        functions = torch.cat(
            [(densities + self.smooth_root).sqrt() - self.smooth_root**0.5, densities.square(), densities.pow(3)], dim=1
        )
        own = embedded.index_select(0, geometry.species)
        energy = energy + (functions * own).sum(1)
        # 3. products of densities, degree by degree                                [N, 2l + 1, F] -> [N]
        if self.radial:
            basis = self._by_element(pairs_to_edges(radial[:, : self.radial], geometry), geometry)
            harmonics = to_padded(self.harmonics(geometry.units.double()), geometry)
            density = outer_neighbour_sum(harmonics, basis, geometry)
            # as if every atom were each element in turn, since one matrix for all atoms is faster than one for each
            every = energy.new_zeros(geometry.n_atoms, self.n_species)
            for degree, matrix in enumerate(products.permute(1, 2, 0, 3).flatten(2)):
                part = density[:, block(degree)]
                every = every + ((part @ matrix).unflatten(2, (self.n_species, -1)) * part.unsqueeze(2)).sum((1, 3))
            energy = energy + every.gather(1, geometry.species[:, None]).squeeze(1)
        return energy

    def observe(self, geometries: Iterable[EdgeGeometry], scale: float) -> None:
        """Let the bound fade above the energies of atoms of these train frames, for the elements they have.

        scale: of the network, eV. The fade takes two bounds at least: were it steeper than the linear potential, a wall
        could fall inwards.
        """
        if self.bound is None or self.fade is None:
            return
        highest = torch.full_like(self.highest, -torch.inf)
        count, total = torch.zeros_like(highest), torch.zeros_like(highest)
        for geometry in geometries:
            energy = self(geometry)
            highest = highest.scatter_reduce(0, geometry.species, energy, "amax")
            count = count.index_add(0, geometry.species, torch.ones_like(energy))
            total = total.index_add(0, geometry.species, energy)
        seen = count > 0
        self.highest.copy_(torch.where(seen, highest, torch.inf))
        above_mean = torch.where(seen, highest - total / count.clamp_min(1.0), 0.0)
        self.reach.copy_((self.fade * above_mean).clamp_min(2.0 * self.bound * scale))

    def stop_fading(self) -> None:
        """Let the bound be the same everywhere."""
        if self.fade is not None:
            self.highest.fill_(torch.inf)

    def bounded(self, network: Tensor, energy: Tensor, geometry: EdgeGeometry) -> Tensor:
        """x / sqrt(1 + (x / b)^2) for what the network gives, x [N]; x without a bound and before the fit.

        energy: that of the linear potential [N]. b is the bound, less where it fades: not in training, since nothing
        is above the train frames there.
        """
        if self.bound is None:
            return network
        inverse = 1.0 / self.limit  # zero before the fit
        if self.fade is not None and not self.training:
            inverse = inverse * self._divisor(energy, geometry)
        return network * torch.rsqrt(1.0 + (network * inverse).square())

    @with_cpu_kernel(one_below)
    def _divisor(self, energy: Tensor, geometry: EdgeGeometry) -> Tensor:
        """Of the bound: 1 + h_i + sum_j u(r_ij) h_j, h = max(0, (energy - highest) / reach)^6, [N].

        Neighbours count too, since a network passes on what it makes of them.
        """
        highest, reach = (values.index_select(0, geometry.species) for values in (self.highest, self.reach))
        own = torch.relu((energy - highest) / reach).pow(6)
        envelope = polynomial_cutoff(geometry.scaled_distances.double(), EXPONENT).flatten()
        near = (envelope * own.index_select(0, geometry.neighbour))[:, None]
        return 1.0 + own + neighbour_sum(near, geometry).squeeze(1)

    @property
    def coulomb_share(self) -> Tensor:
        """Coefficient of the Coulomb energy [1]: the square of the share of the charges that acts."""
        return self.acting[-1:]

    @property
    def acting(self) -> Tensor:
        """The coefficients [T] of the energy, fitted or trained."""
        return self.coefficients if self.weights is None else self.weights * self.coefficients

    @property
    def blocks(self) -> dict[str, slice]:
        """Which of the coefficients belong to each kind of terms that there is."""
        ends = list(itertools.accumulate(self.sizes, initial=0))
        return {name: slice(*ends[k : k + 2]) for k, name in enumerate(BLOCKS) if self.sizes[k]}

    def groups(self, elements: Sequence[str]) -> dict[str, slice]:
        """The same, with the pair functions of every two of the elements [S] by themselves."""
        pairs = itertools.combinations_with_replacement(elements, 2)
        sines = len(self.basis.frequencies)
        of_pairs = {f"{PAIR} {a}-{b}": slice(k * sines, (k + 1) * sines) for k, (a, b) in enumerate(pairs)}
        return of_pairs | {name: terms for name, terms in self.blocks.items() if name != PAIR}

    def only(self, terms: slice) -> Tensor:
        """The coefficients [T] of the energy, zero for all but these terms."""
        kept = torch.zeros_like(self.coefficients)
        kept[terms] = self.acting.detach()[terms]
        return kept

    def _by_element(self, values: Tensor, geometry: EdgeGeometry) -> Tensor:
        """Values of edges, in the columns of the neighbour's element: [E, F] -> [E, S F]."""
        if self.n_species == 1:
            return values
        elements = torch.arange(self.n_species, device=values.device)
        chosen = (geometry.neighbour_species[:, None] == elements).to(values.dtype)
        return (chosen[:, :, None] * values[:, None, :]).flatten(1)
