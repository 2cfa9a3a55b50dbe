"""Bias-free multilayer perceptron with activations of unit second moment, as equivariant potentials use it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from scalarpath.errors import ConfigError


def _scaled(function: Callable[[Tensor], Tensor], scale: float) -> Callable[[Tensor], Tensor]:
    return lambda x: scale * function(x)


# Scales that give each activation unit second moment on a standard normal, with the digits of e3nn.math.normalize2mom
# (a fixed Monte Carlo sample, so the digits matter for parity; a test compares them).
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": _scaled(nn.functional.silu, 1.6791767923989418),
    "tanh": _scaled(torch.tanh, 1.5937334472592695),
    "abs": _scaled(torch.abs, 1.001110600838467),  # has a kink: there for imported models that were trained with it
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The normalised activation called ``name``; raises ConfigError for an unknown one."""
    if name not in ACTIVATIONS:
        raise ConfigError(f"activation '{name}' is unknown; use one of: {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


class MLP(nn.Module):
    """x <- act(x W / sqrt(fan_in)) for every hidden layer, then a linear layer x W / sqrt(fan_in), without bias.

    ``widths`` = [in, hidden..., out]. Without bias a zero input gives a zero output, so that an envelope on the input
    switches the output off as well.
    """

    def __init__(self, widths: Sequence[int], generator: torch.Generator, act: str = "silu"):
        super().__init__()
        self.act = activation(act)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(n_in, n_out, generator=generator, dtype=torch.float64))
            for n_in, n_out in itertools.pairwise(widths)
        )

    def hidden(self, x: Tensor) -> Tensor:
        """x [..., in] -> output of the last hidden layer [..., widths[-2]]."""
        for weight in self.weights[:-1]:
            x = self.act(x @ (weight / math.sqrt(weight.shape[0])))
        return x

    def last(self) -> Tensor:
        """The linear map of the last layer, its scale included: [widths[-2], out]."""
        weight = self.weights[-1]
        return weight / math.sqrt(weight.shape[0])

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        return self.hidden(x) @ self.last()
