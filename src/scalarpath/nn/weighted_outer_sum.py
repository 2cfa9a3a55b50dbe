"""The sum over neighbours of harmonics x weights x features, with first and second derivatives written out.

Everything follows from one form that is linear in each of its four arguments; for every group of paths

    Phi(G, Y, W, h) = sum_{n k m2 p m1 c} G[n m2 (p m1 c)] Y[n k m2] W[n k p c] h[n k m1 c].

The sum itself is its derivative by G; the first derivatives of the sum are those by Y, W and h; their derivatives are
sums of such terms again. Autograd would keep the product W h, as wide as all paths together, and copy it several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class PathGroup(NamedTuple):
    """Paths with the same input and harmonic: index of the input, where the harmonic lies, number of paths."""

    source: int
    where: slice
    paths: int


def weighted_outer_sum(
    groups: Sequence[PathGroup], harmonics: Tensor, weights: Sequence[Tensor], features: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """T_n = sum_k Y_nk (x) W_nk (x) h_nk of every group and channel, on the padded layout of K places per atom.

    harmonics [N, K, D], weights per group [N K, P C], features per input [N K, M, C] -> per group [N, 2l + 1, P M C].
    Differentiates twice.
    """
    return _Sum.apply(groups, harmonics, *weights, *features)


class _Group:
    """The factors of one group: Y [N, K, 2l + 1], W [N K, P, 1, C], h [N K, 1, M, C]."""

    def __init__(self, group: PathGroup, harmonics: Tensor, weights: Tensor, features: Tensor):
        self.y = harmonics[:, :, group.where]
        self.w = weights.unflatten(1, (group.paths, 1, features.shape[2]))
        self.h = features[:, None]
        self.padded = harmonics.shape[:2]

    def product(self, w: Tensor, h: Tensor) -> Tensor:
        """W h: [N, K, P M C]."""
        return (w * h).view(*self.padded, w.shape[1] * h.shape[2] * h.shape[3])

    def spread(self, y: Tensor, gradient: Tensor) -> Tensor:
        """V = Y G, what the gradient of the sum is for every neighbour: [N K, P, M, C]."""
        return torch.bmm(y, gradient).view(-1, self.w.shape[1], *self.h.shape[2:])


def _factors(groups: Sequence[PathGroup], tensors: Sequence[Tensor]) -> list[_Group]:
    harmonics, weights, features = tensors[0], tensors[1 : 1 + len(groups)], tensors[1 + len(groups) :]
    return [_Group(group, harmonics, w, features[group.source]) for group, w in zip(groups, weights, strict=True)]


def _over_features(values: Tensor) -> Tensor:
    """sum_m of [N K, P, M, C]: [N K, P C]."""
    return (values.sum(2) if values.shape[2] > 1 else values).flatten(1)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, groups: Sequence[PathGroup], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.groups = groups
        ctx.save_for_backward(*tensors)
        return tuple(torch.bmm(g.y.transpose(1, 2), g.product(g.w, g.h)) for g in _factors(groups, tensors))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *_FirstDerivatives.apply(ctx.groups, *gradients, *ctx.saved_tensors))


class _FirstDerivatives(torch.autograd.Function):
    """Derivatives of Phi(G, Y, W, h) by Y, W and h."""

    @staticmethod
    def forward(ctx: Any, groups: Sequence[PathGroup], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.groups = groups
        ctx.save_for_backward(*tensors)
        gradients, (harmonics, *rest) = tensors[: len(groups)], tensors[len(groups) :]
        by_harmonics = torch.zeros_like(harmonics)
        by_weights = []
        by_features = [torch.zeros_like(values) for values in rest[len(groups) :]]
        for k, (group, g) in enumerate(zip(groups, _factors(groups, [harmonics, *rest]), strict=True)):
            by_harmonics[:, :, group.where] += torch.bmm(g.product(g.w, g.h), gradients[k].transpose(1, 2))
            spread = g.spread(g.y, gradients[k])
            by_weights.append(_over_features(spread * g.h))
            for path in range(group.paths):
                by_features[group.source].addcmul_(spread[:, path], g.w[:, path])
        return by_harmonics, *by_weights, *by_features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Tensor | None, ...]:
        """Derivatives of Phi(G, y, W, h) + Phi(G, Y, w, h) + Phi(G, Y, W, h') by G, Y, W, h; y, w, h' the tangents."""
        groups = ctx.groups
        gradients, (harmonics, *rest) = ctx.saved_tensors[: len(groups)], ctx.saved_tensors[len(groups) :]
        by_gradients, by_weights = [], []
        by_harmonics = torch.zeros_like(harmonics)
        by_features = [torch.zeros_like(values) for values in rest[len(groups) :]]
        pairs = zip(_factors(groups, [harmonics, *rest]), _factors(groups, tangents), strict=True)
        for group, gradient, (g, t) in zip(groups, gradients, pairs, strict=True):
            mixed = g.product(t.w, g.h)
            mixed.view(-1, group.paths, *g.h.shape[2:]).addcmul_(g.w, t.h)
            by_gradient = torch.bmm(t.y.transpose(1, 2), g.product(g.w, g.h))
            by_gradients.append(by_gradient.baddbmm_(g.y.transpose(1, 2), mixed))
            by_harmonics[:, :, group.where] += torch.bmm(mixed, gradient.transpose(1, 2))
            spread, spread_t = g.spread(g.y, gradient), g.spread(t.y, gradient)
            by_weights.append(_over_features((spread_t * g.h).addcmul_(spread, t.h)))
            for path in range(group.paths):
                by_features[group.source].addcmul_(spread_t[:, path], g.w[:, path])
                by_features[group.source].addcmul_(spread[:, path], t.w[:, path])
        return None, *by_gradients, by_harmonics, *by_weights, *by_features
