"""Multilayer perceptron with biases and layer normalisation, as mace-torch's nonlinear interaction has it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scalarpath.nn.elementwise import silu
from scalarpath.nn.mlp import uniform


class NormMLP(nn.Module):
    """x <- silu(g norm(x W + b) + s) for every hidden layer, then x W + b; norm is that of ``torch.nn.LayerNorm``.

    ``widths`` = [in, hidden..., out]. Weights and biases start as those of ``torch.nn.Linear``, uniform below
    1 / sqrt(fan_in), gains g as one and shifts s as zero.
    """

    def __init__(self, widths: Sequence[int], generator: torch.Generator):
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for n_in, n_out in itertools.pairwise(widths):
            bound = 1.0 / math.sqrt(n_in)
            self.weights.append(nn.Parameter(uniform(n_in, n_out, bound=bound, generator=generator)))
            self.biases.append(nn.Parameter(uniform(n_out, bound=bound, generator=generator)))
        hidden = widths[1:-1]
        self.gains = nn.ParameterList(nn.Parameter(torch.ones(n, dtype=torch.float64)) for n in hidden)
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in hidden)

    def hidden(self, first: Tensor) -> Tensor:
        """x W + b of the first layer [..., widths[1]] -> activations of the last hidden layer [..., widths[-2]]."""
        x = first
        for layer, (gain, shift) in enumerate(zip(self.gains, self.shifts, strict=True)):
            if layer > 0:
                x = torch.addmm(self.biases[layer], x, self.weights[layer])
            x = silu(nn.functional.layer_norm(x, gain.shape, gain, shift))
        return x

    def last(self) -> Tensor:
        """The map from ``hidden``, with a column of ones behind it, to the output: [widths[-2] + 1, out]."""
        return torch.cat([self.weights[-1], self.biases[-1][None]])
