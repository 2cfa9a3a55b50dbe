"""Groups of paths of a convolution with the same input and harmonic, summed over neighbours with their derivatives.

The kinds differ in what the paths need of the outer product Y (x) h: all of it, its trace (a scalar output couples h
and a harmonic of the same degree), or h alone (the harmonic of degree 0 is 1), where there is no outer product to form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Terms = list[tuple[Tensor, Tensor]]  # pairs of factors, to be multiplied and added up


class Factors(NamedTuple):
    """Y [N, K, 2l + 1], W [N, K, P, C] and h [N, K, M, C] of one group."""

    y: Tensor
    w: Tensor
    h: Tensor


@dataclass(frozen=True)
class PathGroup:
    """Paths with the same input and harmonic: index of the input, where the harmonic lies, number of paths.

    ``value`` is T = sum_k Y (x) W (x) h; ``vjp`` its gradients by Y, W and h, given G, that of the loss by T;
    ``jvp_of_vjp`` the tangents of T and of these gradients, given tangents t of Y, W and h. What belongs to Y is added
    to ``by_harmonics`` [N, K, D]; what belongs to W comes as [N, K, P, C], to h as factors of terms [N, K, M, C].
    """

    source: int
    where: slice
    paths: int

    def value(self, f: Factors) -> Tensor:
        """[N, 2l + 1, P M C]."""
        return torch.bmm(f.y.transpose(1, 2), _product(f.w, f.h))

    def vjp(self, g: Tensor, f: Factors, by_harmonics: Tensor) -> tuple[Tensor, Terms]:
        """Gradients of sum(G T) by W and h."""
        by_harmonics[:, :, self.where] += torch.bmm(_product(f.w, f.h), g.transpose(1, 2))
        spread = self._spread(f.y, g, f)
        by_weights = _over_m(spread * f.h[:, :, None])
        return by_weights, [(spread[:, :, p], f.w[:, :, p, None]) for p in range(self.paths)]

    def jvp_of_vjp(self, g: Tensor, f: Factors, t: Factors, by_harmonics: Tensor) -> tuple[Tensor, Tensor, Terms]:
        """Tangents of T, and of the gradients by W and h."""
        mixed = _product(t.w, f.h)
        mixed.view(*f.w.shape[:3], *f.h.shape[2:]).addcmul_(f.w[:, :, :, None], t.h[:, :, None])
        by_gradient = torch.bmm(t.y.transpose(1, 2), _product(f.w, f.h)).baddbmm_(f.y.transpose(1, 2), mixed)
        by_harmonics[:, :, self.where] += torch.bmm(mixed, g.transpose(1, 2))
        spread, spread_t = self._spread(f.y, g, f), self._spread(t.y, g, f)
        by_weights = _over_m((spread_t * f.h[:, :, None]).addcmul_(spread, t.h[:, :, None]))
        terms = [
            term
            for p in range(self.paths)
            for term in ((spread_t[:, :, p], f.w[:, :, p, None]), (spread[:, :, p], t.w[:, :, p, None]))
        ]
        return by_gradient, by_weights, terms

    def _spread(self, y: Tensor, g: Tensor, f: Factors) -> Tensor:
        """Y G, what the gradient of the sum is for every neighbour: [N, K, P, M, C]."""
        return torch.bmm(y, g).view(*f.w.shape[:3], *f.h.shape[2:])


class TraceGroup(PathGroup):
    """The path from degree l with a harmonic of degree l to a scalar: T = sum_k W sum_m Y_m h_m, [N, 1, C]."""

    def value(self, f: Factors) -> Tensor:
        """[N, 1, C]."""
        return (f.w.squeeze(2) * _dot(f.y, f.h)).sum(1, keepdim=True)

    def vjp(self, g: Tensor, f: Factors, by_harmonics: Tensor) -> tuple[Tensor, Terms]:
        """Gradients of sum(G T) by W and h."""
        spread = g * f.w.squeeze(2)  # [N, K, C]
        by_harmonics[:, :, self.where] += (f.h * spread[:, :, None]).sum(3)
        return (g * _dot(f.y, f.h))[:, :, None], [(f.y[:, :, :, None], spread[:, :, None])]

    def jvp_of_vjp(self, g: Tensor, f: Factors, t: Factors, by_harmonics: Tensor) -> tuple[Tensor, Tensor, Terms]:
        """Tangents of T, and of the gradients by W and h."""
        w, w_t = f.w.squeeze(2), t.w.squeeze(2)
        spread, spread_t = (g * w)[:, :, None], (g * w_t)[:, :, None]
        dot_t = _dot(f.y, t.h, _dot(t.y, f.h))
        by_gradient = (w_t * _dot(f.y, f.h)).addcmul_(w, dot_t).sum(1, keepdim=True)
        by_harmonics[:, :, self.where] += (f.h * spread_t).addcmul_(t.h, spread).sum(3)
        return by_gradient, (g * dot_t)[:, :, None], [(f.y[:, :, :, None], spread_t), (t.y[:, :, :, None], spread)]


class PlainGroup(PathGroup):
    """The path with the harmonic of degree 0, which is 1: T = sum_k W h, [N, M, C]."""

    def value(self, f: Factors) -> Tensor:
        """[N, M, C]."""
        return (f.w * f.h).sum(1)

    def vjp(self, g: Tensor, f: Factors, by_harmonics: Tensor) -> tuple[Tensor, Terms]:
        """Gradients of sum(G T) by W and h."""
        return _over_m((g[:, None] * f.h)[:, :, None]), [(g[:, None], f.w)]

    def jvp_of_vjp(self, g: Tensor, f: Factors, t: Factors, by_harmonics: Tensor) -> tuple[Tensor, Tensor, Terms]:
        """Tangents of T, and of the gradients by W and h."""
        by_gradient = (t.w * f.h).addcmul_(f.w, t.h).sum(1)
        return by_gradient, _over_m((g[:, None] * t.h)[:, :, None]), [(g[:, None], t.w)]


class GatedGroup(PathGroup):
    """The path from scalars to scalars with a factor Y of every edge: T = sum_k Y W h, [N, 1, C].

    With Y = 1 it adds up the same numbers in the same order as ``PlainGroup``.
    """

    def value(self, f: Factors) -> Tensor:
        """[N, 1, C]."""
        return _product(f.w, f.h).mul_(f.y).sum(1, keepdim=True)

    def _spread(self, y: Tensor, g: Tensor, f: Factors) -> Tensor:
        return (y * g)[:, :, None, None]


def _product(w: Tensor, h: Tensor) -> Tensor:
    """W h: [N, K, P M C]."""
    return (w[:, :, :, None] * h[:, :, None]).flatten(2)


def _over_m(values: Tensor) -> Tensor:
    """sum_m of [N, K, P, M, C]: [N, K, P, C]."""
    return values.sum(3) if values.shape[3] > 1 else values.squeeze(3)


def _dot(y: Tensor, h: Tensor, total: Tensor | None = None) -> Tensor:
    """sum_m Y_m h_m, added to ``total`` in place if that is given: [N, K, C]."""
    for m in range(y.shape[2]):
        a, b = y[:, :, m, None], h[:, :, m]
        total = a * b if total is None else total.addcmul_(a, b)
    assert total is not None
    return total
