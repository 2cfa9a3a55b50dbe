"""Bias-free multilayer perceptron with activations of unit second moment, as equivariant potentials use it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scalarpath.nn.elementwise import silu


class Activation(NamedTuple):
    """A function, and the scale that gives it unit second moment on a standard normal."""

    function: Callable[[Tensor], Tensor]
    scale: float


def _identity(x: Tensor) -> Tensor:
    return x


# The scales have the digits of e3nn.math.normalize2mom (a fixed Monte Carlo sample), which parity needs.
ACTIVATIONS: dict[str, Activation] = {
    "silu": Activation(silu, 1.6791767923989418),
    "tanh": Activation(torch.tanh, 1.5937334472592695),
    "abs": Activation(torch.abs, 1.001110600838467),  # has a kink: there for imported models that were trained with it
    "mish": Activation(nn.functional.mish, 1.486847581273208),  # this one and the next by Gauss-Hermite quadrature
    "gelu": Activation(nn.functional.gelu, 1.5335304411955353),
}
IDENTITY = Activation(_identity, 1.0)


def uniform(*shape: int, bound: float, generator: torch.Generator) -> Tensor:
    """Uniform numbers in (-bound, bound), float64."""
    return bound * (2.0 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1.0)


def unit_uniform(*shape: int, generator: torch.Generator) -> Tensor:
    """Uniform numbers with mean 0 and variance 1, float64: the start of NequIP's and Allegro's weights."""
    return uniform(*shape, bound=math.sqrt(3.0), generator=generator)


class MLP(nn.Module):
    """x <- c act(x W / sqrt(fan_in)) for every hidden layer, then a linear layer x W / sqrt(fan_in), without bias.

    ``widths`` = [in, hidden..., out]; ``act`` None is linear; c is the scale of the activation, or ``gain``, folded
    into the next layer's weights. Weights start normal, or ``uniform``, with unit variance. Without bias a zero input
    gives a zero output, so that an envelope on the input switches the output off as well.
    """

    def __init__(
        self,
        widths: Sequence[int],
        generator: torch.Generator,
        act: str | None = "silu",
        *,
        gain: float | None = None,
        uniform: bool = False,
    ):
        super().__init__()
        self.act = ACTIVATIONS[act] if act else IDENTITY
        self.gain = self.act.scale if gain is None or act is None else gain
        self.weights = nn.ParameterList(
            nn.Parameter(
                unit_uniform(n_in, n_out, generator=generator)
                if uniform
                else torch.randn(n_in, n_out, generator=generator, dtype=torch.float64)
            )
            for n_in, n_out in itertools.pairwise(widths)
        )

    def _map(self, layer: int) -> Tensor:
        weight = self.weights[layer]
        scale = self.gain if layer > 0 else 1.0
        return weight * (scale / math.sqrt(weight.shape[0]))

    def hidden(self, x: Tensor) -> Tensor:
        """x [..., in] -> activations of the last hidden layer, without their scale [..., widths[-2]]."""
        for layer in range(len(self.weights) - 1):
            x = self.act.function(x @ self._map(layer))
        return x

    def last(self) -> Tensor:
        """The linear map from ``hidden`` to the output, all scales included: [widths[-2], out]."""
        return self._map(len(self.weights) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        return self.hidden(x) @ self.last()
