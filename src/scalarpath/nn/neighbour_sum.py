"""Plain sums over the neighbours of every atom, in forms that differentiate twice."""

from __future__ import annotations

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import to_padded


def neighbour_sum(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """sum_j values_ij: edge layout [E, F] -> [N, F]."""
    zeros = values.new_zeros(geometry.n_atoms, values.shape[1])
    return zeros.index_add(0, geometry.centre, values)


def learnt_density(values: Tensor, envelope: Tensor | None, geometry: EdgeGeometry) -> Tensor:
    """sum_j tanh(f_ij^2), with the envelope as a factor where there is one: f in pair layout [R, 1] -> [N, 1, 1]."""
    density = torch.tanh(values.square())
    if envelope is not None:
        density = density * envelope
    return neighbour_sum(density.index_select(0, geometry.edge_pair), geometry).unsqueeze(2)


def outer_neighbour_sum(harmonics: Tensor, values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """sum_j Y_ij (x) values_ij: harmonics [N, K, D] on the padded layout, values [E, F] -> [N, D, F]."""
    return torch.bmm(harmonics.transpose(1, 2), to_padded(values, geometry))
