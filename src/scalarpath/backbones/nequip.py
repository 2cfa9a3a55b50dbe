"""NequIP, equivariant message passing with gates (arXiv:2101.03164), in parity with nequip 0.19."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from scalarpath.backbones.interface import Backbone, Degree, Exponent, LayerInputs, Nonlinearity, one_per
from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import Cutoff, Depth, Layers, Width
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import to_padded, with_zero_row
from scalarpath.heads.interface import PathwayShape, ScalarPathway
from scalarpath.nn.angular import SphericalHarmonics, couplings
from scalarpath.nn.convolution.channelwise import ChannelwiseConvolution
from scalarpath.nn.elementwise import XplorEnvelope
from scalarpath.nn.irreps import irreps
from scalarpath.nn.linear import AttributeLinear, DegreeLinear, SpeciesGroups
from scalarpath.nn.mlp import ACTIVATIONS, MLP, unit_uniform
from scalarpath.nn.radial import BesselBasis, RadialEmbedding

if TYPE_CHECKING:
    from e3nn import o3

SCALAR = (0, 1)  # degree and parity
GAIN = 2.0**0.5  # of the activations in MLPs; those of the gates have unit second moment instead
SILU, TANH = ACTIVATIONS["silu"], ACTIVATIONS["tanh"]


class GateNonlinearity(nn.Module):
    """Scalars pass through silu (even) or tanh (odd); every other irrep is multiplied by silu of its own gate."""

    def __init__(self, scalars: o3.Irreps, gated: o3.Irreps):
        super().__init__()
        self.n_odd = len(scalars) - 1
        self.n_scalars = scalars[0].mul
        self.n_gates = [channels for channels, _ in gated]
        self.irreps_out = scalars + gated
        self.irreps_in = irreps([(self.n_scalars + sum(self.n_gates), SCALAR), *scalars[1:], *gated])

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Per irrep of ``irreps_in`` [N, 2l + 1, C] -> per irrep of ``irreps_out``."""
        first, *rest = features
        active = SILU.scale * SILU.function(first)
        scalars, *gates = active.split([self.n_scalars, *self.n_gates], dim=2) if self.n_gates else [active]
        return [
            scalars,
            *(TANH.scale * TANH.function(values) for values in rest[: self.n_odd]),
            *(values * gate for values, gate in zip(rest[self.n_odd :], gates, strict=True)),
        ]


class NequIPLayer(nn.Module):
    """One NequIP layer: message passing, skip connection, gate."""

    def __init__(
        self,
        *,
        layer: int,
        irreps_in: o3.Irreps,
        irreps_hidden: o3.Irreps,
        l_edge: int,
        harmonic_parity: int,
        n_attributes: int | None,
        radial_widths: Sequence[int],
        generator: torch.Generator,
    ):
        """n_attributes: of the species, on which the skip connection depends; None: it is the same for all."""
        super().__init__()
        self.layer = layer
        reachable = [(c, ir) for c, ir in irreps_hidden if couplings(irreps_in, l_edge, [ir], harmonic_parity)]
        self.gate = GateNonlinearity(
            irreps([(c, ir) for c, ir in reachable if ir.l == 0]),
            irreps([(c, ir) for c, ir in reachable if ir.l > 0]),
        )
        channels_in = [c for c, _ in irreps_in]
        channels_out = [c for c, _ in self.gate.irreps_in]
        targets = [ir for _, ir in self.gate.irreps_in]
        # 1. skip connection; where it depends on the species, the first layer has none, so that an isolated atom has no
        # features
        skips = layer > 0 or n_attributes is None
        self.shared = [(s, targets.index(ir)) for s, (_, ir) in enumerate(irreps_in) if ir in targets and skips]
        fans = [channels_in[s] for s, _ in self.shared], [channels_out[t] for _, t in self.shared]
        self.skip = (
            DegreeLinear(*fans, generator) if n_attributes is None else AttributeLinear(n_attributes, *fans, generator)
        )
        # 2. linear map of the features
        self.linear_up = DegreeLinear(channels_in, channels_in, generator)
        # 3. weights of the convolution from the radial features
        self.convolution = ChannelwiseConvolution(irreps_in, l_edge, targets, harmonic_parity)
        widths = [*radial_widths, self.convolution.weight_numel]
        self.radial_mlp = MLP(widths, generator, gain=GAIN, uniform=True)
        # 5. linear map to scalars, gates and gated features
        self.linear = DegreeLinear(self.convolution.fan_out, channels_out, generator)

    def forward(
        self, features: Sequence[Tensor], attributes: Tensor, norm: Tensor, inputs: LayerInputs
    ) -> list[Tensor]:
        """features per irrep [N, 2l + 1, C], attributes of the species [S, V], norm [N, 1, 1] -> features per irrep."""
        groups, head, context = inputs.groups, inputs.head, inputs.context
        # 1. skip connection, a linear map that may depend on the species                 per irrep [N, 2l + 1, C']
        kept = [features[s] for s, _ in self.shared]
        skipped = self.skip(kept) if isinstance(self.skip, DegreeLinear) else self.skip(kept, attributes, groups)
        # 2. linear map of the features, over the root of the mean degree                 per irrep [N, 2l + 1, C]
        up = [values * norm for values in self.linear_up(features)]
        # 3. weights of every path; the head changes those with scalar output             [P, scalar], [P, other]
        conv = self.convolution
        hidden, matrix = self.radial_mlp.hidden(inputs.radial), conv.by_group(self.radial_mlp.last())
        weights, gate = head.edge_weights(self.layer, hidden, matrix, conv.scalar_width, context)
        # 4. channelwise convolution, summed over neighbours                              per irrep [N, 2l + 1, paths C]
        messages = conv(up, weights, inputs.harmonics, inputs.geometry, gate)
        # 5. linear map to scalars and gates [N, 1, C0 + gates] and gated features        per irrep [N, 2l + 1, C']
        mixed = self.linear(messages)
        # 6. the head pools the scalars, not the gates                                    [N, C0]
        scalars, gates = mixed[0].squeeze(1).tensor_split([self.gate.n_scalars], dim=1)
        pooled = head.pool(self.layer, scalars, context)
        if pooled is not scalars:
            mixed[0] = torch.cat([pooled, gates], dim=1).unsqueeze(1)
        # 7. skip connection and gate                                                     per irrep [N, 2l + 1, C]
        for (_, target), values in zip(self.shared, skipped, strict=True):
            mixed[target] = mixed[target] + values
        return self.gate(mixed)


class NequIP(Backbone):
    """NequIP. Options carry upstream's names and meaning; conf/backbone/nequip.yaml explains each.

    radial_mlp_width may be a list, one width per layer, which upstream does not have. mirror_symmetry,
    self_connection_type and cutoff_on are there for models of SevenNet (arXiv:2402.03789).

    An atom without neighbours has network energy zero, so that E = E0, unless self_connection_type is linear. Raises
    ConfigError for a list of the wrong length, and for settings that contradict one another.
    """

    def __init__(
        self,
        atomic_numbers: Sequence[int],
        cutoff: float,
        generator: torch.Generator,
        *,
        num_layers: Layers,
        l_max: Degree,
        parity: bool,
        mirror_symmetry: bool,
        num_features: Width | Sequence[Width],
        type_embed_num_features: Width | None,
        self_connection_type: Literal["nequip", "linear"],
        radial_mlp_depth: Depth,
        radial_mlp_width: Width | Sequence[Width],
        num_bessels: Width,
        bessel_trainable: bool,
        polynomial_cutoff_p: Exponent,
        cutoff_on: Cutoff | None,
        readout_mlp_hidden_layers_depth: Depth,
        readout_mlp_hidden_layers_width: Width | None,
        readout_mlp_nonlinearity: Nonlinearity,
    ):
        super().__init__()
        if parity and not mirror_symmetry:
            raise ConfigError(
                "backbone.parity=true is about mirror images; leave mirror_symmetry=false out, or parity=true."
            )
        if cutoff_on is not None and not cutoff_on < cutoff:
            raise ConfigError(f"backbone.cutoff_on = {cutoff_on} must be less than cutoff = {cutoff} Å.")
        channels = one_per("num_features", num_features, l_max + 1, "degree")
        radial_widths = one_per("radial_mlp_width", radial_mlp_width, num_layers, "layer")
        attributes = channels[0] if type_embed_num_features is None else type_embed_num_features
        width = channels[0] if readout_mlp_hidden_layers_width is None else readout_mlp_hidden_layers_width
        self.n_species, self.reach = len(atomic_numbers), num_layers
        self.hidden_widths = {"radial_mlp_width": radial_widths} if radial_mlp_depth else {}
        if readout_mlp_hidden_layers_depth:
            self.hidden_widths["readout_mlp_hidden_layers_width"] = width
        self.register_buffer("mean_degree", torch.ones(self.n_species, dtype=torch.float64))
        self.type_embedding = nn.Parameter(unit_uniform(self.n_species, attributes, generator=generator))
        basis = BesselBasis(num_bessels, cutoff, 2.0 / cutoff, bessel_trainable)
        envelope = polynomial_cutoff_p if cutoff_on is None else XplorEnvelope(cutoff_on / cutoff)
        self.radial = RadialEmbedding(basis, envelope)
        self.harmonics = SphericalHarmonics(l_max)
        sign = -1 if mirror_symmetry else 1
        hidden = irreps([(c, (l, p)) for l, c in enumerate(channels) for p in ((1, -1) if parity else (sign**l,))])  # noqa: E741
        carried, layers = irreps([(attributes, SCALAR)]), []
        for t in range(num_layers):
            layer = NequIPLayer(
                layer=t,
                irreps_in=carried,
                irreps_hidden=hidden if t < num_layers - 1 else irreps([(channels[0], SCALAR)]),
                l_edge=l_max,
                harmonic_parity=sign,
                n_attributes=attributes if self_connection_type == "nequip" else None,
                radial_widths=[num_bessels, *[radial_widths[t]] * radial_mlp_depth],
                generator=generator,
            )
            carried = layer.gate.irreps_out
            layers.append(layer)
        self.layers = nn.ModuleList(layers)
        widths = [channels[0], *[width] * readout_mlp_hidden_layers_depth, 1]
        self.readout = MLP(widths, generator, readout_mlp_nonlinearity, gain=GAIN, uniform=True)
        self.pathway = PathwayShape(
            cutoff=cutoff,
            n_species=self.n_species,
            n_radial=num_bessels,
            edge_channels=tuple(layer.convolution.scalar_width for layer in layers),
            pool_channels=(channels[0],) * num_layers,
            readout_channels=(channels[0],),
        )

    def forward(self, geometry: EdgeGeometry, head: ScalarPathway) -> Tensor:
        """Atomic energies [N] before scale, shift and E0."""
        groups = SpeciesGroups.from_species(geometry.species, self.n_species, geometry.atom_counts)
        norm = self.mean_degree.rsqrt().index_select(0, geometry.species)[:, None, None]
        # 1. species embedding, the first features and the attributes of all layers       [S, V], [N, 1, V]
        attributes = self.type_embedding
        features = [attributes.index_select(0, geometry.species).unsqueeze(1)]
        # 2. radial features, pair layout [P, B]; harmonics of the vectors centre -> neighbour, padded [N, K, n]
        basis, envelope = self.radial(geometry.one_way)
        radial = with_zero_row(basis * envelope, geometry)
        harmonics = to_padded(self.harmonics(geometry.units), geometry)
        context = head.prepare(geometry, radial, per_pair=True)
        inputs = LayerInputs(geometry, groups, radial, harmonics, head, context)
        # 3. layers                                                                       per irrep [N, 2l + 1, C]
        for layer in self.layers:
            features = layer(features, attributes, norm, inputs)
        # 4. readout of the last layer's scalars                                          [N]
        scalars = features[0].squeeze(1)
        energy = self.readout(scalars).squeeze(1)
        extra = head.readout(0, scalars, context)
        return energy if extra is None else energy + extra
