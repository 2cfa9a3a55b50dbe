"""MACE, higher-order equivariant message passing (arXiv:2206.07697), in parity with mace-torch 0.3.16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from scalarpath.backbones.interface import Backbone, Degree, Exponent, LayerInputs, Nonlinearity, one_per
from scalarpath.backbones.mace_nonlinear import NonlinearInteraction
from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import Among, Layers, Range, Width
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import to_padded, with_zero_row
from scalarpath.heads.interface import PathwayShape, ScalarPathway
from scalarpath.nn.angular import SphericalHarmonics, natural_irreps
from scalarpath.nn.contraction.symmetric import SymmetricContraction
from scalarpath.nn.convolution.channelwise import ChannelwiseConvolution
from scalarpath.nn.linear import DegreeLinear, SpeciesGroups, SpeciesLinear
from scalarpath.nn.mlp import MLP
from scalarpath.nn.neighbour_sum import learnt_density
from scalarpath.nn.radial import DISTANCE_TRANSFORMS, RADIAL_BASES, RadialEmbedding

Interaction = Literal["plain", "residual", "density", "density_residual", "nonlinear"]
Correlation = Annotated[int, Range(at_least=1, at_most=4)]


class MACELayer(nn.Module):
    """One MACE layer: message passing, product basis, update. C channels, degrees 0..L."""

    def __init__(
        self,
        *,
        layer: int,
        interaction: str,
        channels: int,
        l_in: int,
        l_edge: int,
        l_out: int,
        correlation: int,
        n_species: int,
        radial_widths: Sequence[int],
        generator: torch.Generator,
    ):
        super().__init__()
        self.layer = layer
        self.residual, self.density = interaction not in ("plain", "density"), "density" in interaction
        every_l = [channels] * (l_edge + 1)
        # 1. linear map of the features, and the skip connection of residual interactions
        self.linear_up = DegreeLinear([channels] * (l_in + 1), [channels] * (l_in + 1), generator)
        # 2. weights of the convolution from the radial features
        targets = [ir for _, ir in natural_irreps(l_edge)]
        self.convolution = ChannelwiseConvolution(natural_irreps(l_in, channels), l_edge, targets)
        self.nonlinear = None
        if interaction == "nonlinear":  # it has networks and maps of its own
            self.nonlinear = NonlinearInteraction(
                self.convolution, channels, l_in, l_out, n_species, radial_widths, generator
            )
        else:
            self.radial_mlp = MLP([*radial_widths, self.convolution.weight_numel], generator)
            self.density_mlp = MLP([radial_widths[0], 1], generator) if self.density else None
            # 4. atomic basis A
            self.linear = DegreeLinear(self.convolution.fan_out, every_l, generator)
            shared = min(l_in, l_out) + 1
            self.skip = (
                SpeciesLinear(n_species, [channels] * shared, [channels] * shared, generator)
                if self.residual
                else SpeciesLinear(n_species, every_l, every_l, generator)
            )
        # 6. product basis and update
        self.contraction = SymmetricContraction(l_edge, l_out, correlation, n_species, channels, generator)
        self.update = DegreeLinear([channels] * (l_out + 1), [channels] * (l_out + 1), generator)

    def forward(
        self, features: Sequence[Tensor], envelope: Tensor | None, mean_degree: Tensor, inputs: LayerInputs
    ) -> list[Tensor]:
        """features per degree [N, 2l + 1, C] -> features per degree.

        ``envelope`` [P, 1] multiplies the weights where the radial features do not carry it already.
        """
        radial, geometry, head, context = inputs.radial, inputs.geometry, inputs.head, inputs.context
        # 1. linear map of the features                                             per l [N, 2l + 1, C]
        up = self.linear_up(features)
        # 2. weights of every path and channel; the head changes the scalar ones    [P, scalar], [P, other]
        conv = self.convolution
        if self.nonlinear is None:
            hidden, matrix = self.radial_mlp.hidden(radial), self.radial_mlp.last()
            if envelope is not None:
                hidden = hidden * envelope
        else:
            assert envelope is not None  # see MACE
            hidden, matrix = self.nonlinear.edge_weights(radial, envelope, geometry)
            divisor = self.nonlinear.divisor(radial, envelope, geometry)
        weights, gate = head.edge_weights(self.layer, hidden, conv.by_group(matrix), conv.scalar_width, context)
        # 3. channelwise convolution, summed over neighbours                        per l [N, 2l + 1, P_l C]
        messages = conv(up, weights, inputs.harmonics, geometry, gate)
        # 4. atomic basis A                                                         per l [N, 2l + 1, C]
        if self.nonlinear is None:
            basis = self._atomic_basis(messages, mean_degree, envelope, inputs)
        else:
            basis = self.nonlinear.atomic_basis(messages, divisor, up)
        # 5. the head pools the scalar channels of A                                [N, C]
        basis[0] = head.pool(self.layer, basis[0].squeeze(1), context).unsqueeze(1)
        # 6. product basis B and update, with skip connection                       per l [N, 2l + 1, C]
        new = self.update(self.contraction(basis, inputs.groups))
        for degree, skipped in enumerate(self._skipped(features, inputs.groups)):
            new[degree] = new[degree] + skipped
        return new

    def _atomic_basis(
        self, messages: Sequence[Tensor], mean_degree: Tensor, envelope: Tensor | None, inputs: LayerInputs
    ) -> list[Tensor]:
        """Sums over neighbours, normalised by the mean degree or by the learnt density -> A per degree."""
        if self.density_mlp is None:
            basis = self.linear(messages, mean_degree)
        else:
            density = 1.0 + learnt_density(self.density_mlp(inputs.radial), envelope, inputs.geometry)
            basis = [message / density for message in self.linear(messages)]
        return basis if self.residual else self.skip(basis, inputs.groups)

    def _skipped(self, features: Sequence[Tensor], groups: SpeciesGroups) -> list[Tensor]:
        """What the skip connection adds, per degree; nothing where there is none."""
        if self.nonlinear is not None:
            return self.nonlinear.skip(features[: len(self.nonlinear.skip.weights)])
        return self.skip(features[: len(self.skip.weights)], groups) if self.residual else []


class MACE(Backbone):
    """MACE with hidden irreps ``num_channels`` x (0e + 1o + ... up to ``max_L``), natural parity.

    Options carry upstream's names and meaning; conf/backbone/mace.yaml explains each.

    With interaction_first = plain or density an atom without neighbours has network energy zero, so that E = E0.
    The nonlinear interaction tells the centre of an edge from its neighbour; each edge then is a pair by itself.
    Raises ConfigError for options that do not fit one another.
    """

    def __init__(
        self,
        atomic_numbers: Sequence[int],
        cutoff: float,
        generator: torch.Generator,
        *,
        num_channels: Width,
        max_L: Degree,
        max_ell: Degree,
        correlation: Correlation | Sequence[Correlation],
        num_interactions: Layers,
        num_bessel: Width,
        radial_type: Annotated[str, Among(RADIAL_BASES)],
        num_polynomial_cutoff: Exponent,
        radial_mlp: Sequence[Width],
        readout_mlp: Width,
        gate: Nonlinearity,
        interaction_first: Interaction,
        interaction: Interaction,
        distance_transform: Annotated[str, Among(DISTANCE_TRANSFORMS)] | None,
        envelope_on: Literal["features", "weights"],
    ):
        super().__init__()
        if radial_type == "gaussian" and num_bessel == 1:
            raise ConfigError("backbone.num_bessel must be at least 2 with backbone.radial_type=gaussian.")
        interactions = [interaction_first, *[interaction] * (num_interactions - 1)]
        nonlinear = "nonlinear" in interactions
        if nonlinear and envelope_on == "features":
            raise ConfigError(
                "backbone.interaction=nonlinear has biases in its radial network, so that neighbours would leave with "
                "a jump; set backbone.envelope_on=weights."
            )
        if nonlinear and not radial_mlp:
            raise ConfigError("backbone.interaction=nonlinear needs a hidden layer in backbone.radial_mlp.")
        orders = one_per("correlation", correlation, num_interactions, "interaction")
        n_species, c = len(atomic_numbers), num_channels
        self.n_species, self.envelope_on = n_species, envelope_on
        self.reach = num_interactions
        self.directed = nonlinear and n_species > 1
        self.hidden_widths = {"radial_mlp": list(radial_mlp), "readout_mlp": readout_mlp}
        self.register_buffer("mean_degree", torch.ones((), dtype=torch.float64))
        self.node_embedding = nn.Parameter(torch.randn(n_species, c, generator=generator, dtype=torch.float64))
        transform = DISTANCE_TRANSFORMS[distance_transform](atomic_numbers) if distance_transform else None
        self.radial = RadialEmbedding(RADIAL_BASES[radial_type](num_bessel, cutoff), num_polynomial_cutoff, transform)
        self.harmonics = SphericalHarmonics(max_ell)
        last = num_interactions - 1
        layers = [
            MACELayer(
                layer=t,
                interaction=interactions[t],
                channels=c,
                l_in=0 if t == 0 else max_L,
                l_edge=max_ell,
                l_out=0 if t == last else max_L,
                correlation=orders[t],
                n_species=n_species,
                radial_widths=[num_bessel, *radial_mlp],
                generator=generator,
            )
            for t in range(num_interactions)
        ]
        self.layers = nn.ModuleList(layers)
        # a single layer has the linear readout, as upstream
        self.readouts = nn.ModuleList(MLP([c, 1], generator) for _ in range(max(last, 1)))
        if num_interactions > 1:
            self.readouts.append(MLP([c, readout_mlp, 1], generator, gate))
        self.pathway = PathwayShape(
            cutoff=cutoff,
            n_species=n_species,
            n_radial=num_bessel,
            edge_channels=tuple(layer.convolution.scalar_width for layer in layers),
            pool_channels=(c,) * num_interactions,
            readout_channels=(c,) * num_interactions,
        )

    def forward(self, geometry: EdgeGeometry, head: ScalarPathway) -> Tensor:
        """Atomic energies [N] before scale, shift and E0."""
        groups = SpeciesGroups.from_species(geometry.species, self.n_species, geometry.atom_counts)
        if self.directed:
            geometry = geometry.directed()
        # 1. species embedding                                                      [N, 1, C]
        embedding = self.node_embedding / self.n_species**0.5
        features = [embedding.index_select(0, geometry.species).unsqueeze(1)]
        # 2. radial features, pair layout [P, B]; harmonics of the vectors neighbour -> centre, padded [N, K, n]
        radial, envelope = self.radial(geometry.one_way)
        carried = with_zero_row(radial * envelope, geometry)
        if self.envelope_on == "features":
            radial, envelope = carried, None
        else:
            radial, envelope = with_zero_row(radial, geometry), with_zero_row(envelope, geometry)
        harmonics = to_padded(self.harmonics(-geometry.units), geometry)
        context = head.prepare(geometry, carried, per_pair=True)
        inputs = LayerInputs(geometry, groups, radial, harmonics, head, context)
        # 3. layers, each read out                                                  [N]
        energy = features[0].new_zeros(geometry.n_atoms)
        for t, layer in enumerate(self.layers):
            features = layer(features, envelope, self.mean_degree, inputs)
            scalars = features[0].squeeze(1)
            energy = energy + self.readouts[t](scalars).squeeze(1)
            extra = head.readout(t, scalars, context)
            if extra is not None:
                energy = energy + extra
        return energy
