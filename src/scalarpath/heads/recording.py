"""A head that keeps what its parts do in a forward pass. The parts need not know of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from scalarpath.graph.layout import from_padded
from scalarpath.heads.interface import PathwayInputs, ScalarPathway

ByPart = dict[str, dict[int, Tensor]]


class RecordingPathway(ScalarPathway):
    """The same parts as ``head``, not copied; what they give in the last forward pass is kept.

    inputs: what the parts have read; plain_weights: by layer, mean square over channels of F M [E]. By part and layer:
    edge_terms: the mean squares of b V [E]; edge_gates: factors [E]; pools: scalar channels after over before
    [N, pool_channels], NaN where they were zero; readouts: energies [N].
    """

    inputs: PathwayInputs

    def __init__(self, head: ScalarPathway):
        super().__init__(head.named_parts, head.descriptors)
        self._forget()

    def _forget(self) -> None:
        self.plain_weights: list[Tensor] = []
        self.edge_terms: ByPart = defaultdict(dict)
        self.edge_gates: ByPart = defaultdict(dict)
        self.pools: ByPart = defaultdict(dict)
        self.readouts: ByPart = defaultdict(dict)

    def prepare_parts(self, inputs: PathwayInputs) -> dict[str, Any]:
        """A new forward pass begins."""
        self._forget()
        self.inputs = inputs
        return super().prepare_parts(inputs)

    def edge_weights(
        self, layer: int, features: Tensor, matrix: Tensor, n_scalar: int, context: dict[str, Any]
    ) -> tuple[list[Tensor], Tensor | None]:
        """See ``ScalarPathway``."""
        self.plain_weights.append(self._mean_square(features @ matrix[:, :n_scalar]))
        for name, part in self.named_parts.items():
            term = part.edge_term(layer, context[name])
            if term is not None:
                self.edge_terms[name][layer] = self._mean_square(term[0] @ term[1])
        return super().edge_weights(layer, features, matrix, n_scalar, context)

    def edge_gate(self, layer: int, context: dict[str, Any]) -> Tensor | None:
        """See ``ScalarPathway``."""
        for name, part in self.named_parts.items():
            gate = part.edge_gate(layer, context[name])
            if gate is not None:
                self.edge_gates[name][layer] = from_padded(gate, self.inputs.geometry).squeeze(1)
        return super().edge_gate(layer, context)

    def pool(self, layer: int, features: Tensor, context: dict[str, Any]) -> Tensor:
        """See ``ScalarPathway``."""
        for name, part in self.named_parts.items():
            pooled = part.pool(layer, features, context[name])
            if pooled is not features:
                self.pools[name][layer] = torch.where(features == 0, torch.nan, pooled / features)
            features = pooled
        return features

    def readout(self, layer: int, features: Tensor, context: dict[str, Any]) -> Tensor | None:
        """See ``ScalarPathway``."""
        for name, part in self.named_parts.items():
            energy = part.readout(layer, features, context[name])
            if energy is not None:
                self.readouts[name][layer] = energy
        return super().readout(layer, features, context)

    def _mean_square(self, weights: Tensor) -> Tensor:
        """Over channels, of every edge: [R, F] -> [E]."""
        rows = weights.square().mean(1)
        return rows.index_select(0, self.inputs.geometry.edge_pair) if self.inputs.per_pair else rows
