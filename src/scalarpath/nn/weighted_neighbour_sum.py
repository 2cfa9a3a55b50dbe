"""The sum over neighbours of harmonics x weights x features, with first and second derivatives written out.

Everything follows from one form that is linear in each of its four arguments; for every group of paths

    Phi(G, Y, W, h) = sum_{n k m2 p m1 c} G[n m2 (p m1 c)] Y[n k m2] W[n k p c] h[n k m1 c].

The sum itself is its derivative by G; the first derivatives of the sum are those by Y, W and h; their derivatives are
sums of such terms again. Autograd would keep the product W h, as wide as all paths together, and copy it several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scalarpath.nn.path_groups import Factors, PathGroup


def weighted_neighbour_sum(
    groups: Sequence[PathGroup],
    neighbour: Tensor,
    harmonics: Tensor,
    weights: Sequence[Tensor],
    features: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """T_n = sum_k Y_nk (x) W_nk (x) h_nk of every group and channel, on the padded layout of K places per atom.

    neighbour [N K], harmonics [N, K, D] (zero in free places), weights per group [N K, P C] (likewise), features per
    input [N, M, C] -> per group what ``PathGroup.total`` says. Differentiates twice; the harmonic of degree 0 is taken
    for the constant that it is.
    """
    return _Sum.apply(groups, neighbour, harmonics, *weights, *features)


class _Arguments:
    """Y [N, K, D], W per group [N, K, P, C] and h per input [N, K, M, C], gathered to the places of the neighbours."""

    def __init__(self, groups: Sequence[PathGroup], neighbour: Tensor, tensors: Sequence[Tensor]):
        self.harmonics, self.groups = tensors[0], groups
        self.places = tensors[0].shape[:2]
        self.weights, features = tensors[1 : 1 + len(groups)], tensors[1 + len(groups) :]
        self.gathered = [
            values.flatten(1).index_select(0, neighbour).view(*self.places, *values.shape[1:]) for values in features
        ]

    def factors(self) -> list[Factors]:
        """Y, W and h of every group."""
        out = []
        for group, w in zip(self.groups, self.weights, strict=True):
            h = self.gathered[group.source]
            out.append(Factors(self.harmonics[:, :, group.where], w.view(*self.places, group.paths, h.shape[3]), h))
        return out


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, groups: Sequence[PathGroup], neighbour: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.groups = groups
        ctx.save_for_backward(neighbour, *tensors)
        arguments = _Arguments(groups, neighbour, tensors)
        return tuple(group.total(f) for group, f in zip(groups, arguments.factors(), strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        neighbour, *tensors = ctx.saved_tensors
        return (None, None, *_FirstDerivatives.apply(ctx.groups, neighbour, *gradients, *tensors))


class _Derivatives:
    """Derivatives by Y, by W and by h, to which the groups add theirs."""

    def __init__(self, arguments: _Arguments):
        self.harmonics = torch.zeros_like(arguments.harmonics)
        self.weights: list[Tensor] = []
        self.gathered: list[Tensor | None] = [None for _ in arguments.gathered]

    def add(self, group: PathGroup, by_weights: Tensor, by_features: Sequence[tuple[Tensor, Tensor]]) -> None:
        """by_weights [N, K, P, C]; by_features: the factors of terms [N, K, M, C]."""
        self.weights.append(by_weights.flatten(2).flatten(0, 1))
        for a, b in by_features:
            known = self.gathered[group.source]
            if known is None:
                self.gathered[group.source] = a * b
            else:
                known.addcmul_(a, b)

    def by_arguments(self, neighbour: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
        """Derivatives by harmonics, weights and the features of the atoms."""
        scattered = []
        for values, gathered in zip(features, self.gathered, strict=True):
            total = torch.zeros_like(values)
            if gathered is not None:
                total.flatten(1).index_add_(0, neighbour, gathered.flatten(2).flatten(0, 1))
            scattered.append(total)
        return [self.harmonics, *self.weights, *scattered]


class _FirstDerivatives(torch.autograd.Function):
    """Derivatives of Phi(G, Y, W, h) by Y, W and h."""

    @staticmethod
    def forward(ctx: Any, groups: Sequence[PathGroup], neighbour: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.groups = groups
        ctx.save_for_backward(neighbour, *tensors)
        gradients, rest = tensors[: len(groups)], tensors[len(groups) :]
        arguments = _Arguments(groups, neighbour, rest)
        out = _Derivatives(arguments)
        for group, g, f in zip(groups, gradients, arguments.factors(), strict=True):
            by_weights, by_features = group.first(g, f, out.harmonics)
            out.add(group, by_weights, by_features)
        return tuple(out.by_arguments(neighbour, rest[1 + len(groups) :]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Tensor | None, ...]:
        """Derivatives of Phi(G, y, W, h) + Phi(G, Y, w, h) + Phi(G, Y, W, h') by G, Y, W, h; y, w, h' the tangents."""
        groups = ctx.groups
        neighbour, *tensors = ctx.saved_tensors
        gradients, rest = tensors[: len(groups)], tensors[len(groups) :]
        arguments, moved = _Arguments(groups, neighbour, rest), _Arguments(groups, neighbour, tangents)
        out, by_gradients = _Derivatives(arguments), []
        for group, g, f, t in zip(groups, gradients, arguments.factors(), moved.factors(), strict=True):
            by_gradient, by_weights, by_features = group.second(g, f, t, out.harmonics)
            by_gradients.append(by_gradient)
            out.add(group, by_weights, by_features)
        return None, None, *by_gradients, *out.by_arguments(neighbour, rest[1 + len(groups) :])
