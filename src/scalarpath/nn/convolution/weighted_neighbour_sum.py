"""The sum over neighbours of harmonics x weights x features, with first and second derivatives written out.

Everything follows from one form that is linear in each of its four arguments; for every group of paths

    Phi(G, Y, W, h) = sum_{n k m2 p m1 c} G[n m2 (p m1 c)] Y[n k m2] W[n k p c] h[n k m1 c].

The sum itself is its derivative by G; the first derivatives of the sum are those by Y, W and h; their derivatives are
sums of such terms again. Autograd would keep the product W h, as wide as all paths together, and copy it several times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scalarpath.nn.convolution.path_groups import Factors, PathGroup, Terms

BATCH = 2_000_000  # numbers of the widest array of a batch of atoms: some MB, which a processor's cache can hold


def weighted_neighbour_sum(
    groups: Sequence[PathGroup],
    neighbour: Tensor,
    harmonics: Tensor,
    weights: Sequence[Tensor],
    features: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """T_n = sum_k Y_nk (x) W_nk (x) h_nk of every group and channel, on the padded layout of K slots per atom.

    neighbour [N K], harmonics [N, K, D] (zero in empty slots), weights per group [N K, P C] (likewise), features per
    input [N, M, C] -> per group what ``PathGroup.value`` says. Differentiates twice; the harmonic of degree 0 is taken
    for the constant that it is.
    """
    return _Sum.apply(groups, neighbour, harmonics, *weights, *features)


class _Arguments:
    """Y [N, K, D], W per group [N K, P C] and h per input [N, M, C], of which batches of atoms are made ready."""

    def __init__(self, groups: Sequence[PathGroup], neighbour: Tensor, tensors: Sequence[Tensor]):
        self.groups, self.neighbour, self.harmonics = groups, neighbour, tensors[0]
        self.weights, self.features = tensors[1 : 1 + len(groups)], tensors[1 + len(groups) :]

    def factors(self, atoms: slice | None) -> list[Factors]:
        """Y, W and h of every group for the slots of these atoms, h fetched from the neighbours."""
        rows, y = self.rows(atoms), _part(self.harmonics, atoms)
        slots, neighbour = y.shape[:2], _part(self.neighbour, rows)
        gathered = [
            values.flatten(1).index_select(0, neighbour).view(*slots, *values.shape[1:]) for values in self.features
        ]
        out = []
        for group, w in zip(self.groups, self.weights, strict=True):
            h = gathered[group.source]
            out.append(Factors(y[:, :, group.where], _part(w, rows).view(*slots, group.paths, h.shape[3]), h))
        return out

    def rows(self, atoms: slice | None) -> slice | None:
        """The slots of these atoms."""
        k = self.harmonics.shape[1]
        return None if atoms is None else slice(atoms.start * k, atoms.stop * k)

    def batches(self) -> list[slice] | list[None]:
        """Atoms a batch at a time, so that what is made of their neighbours stays in a processor's cache; None: all."""
        n, k = self.harmonics.shape[:2]
        if isinstance(n, torch.SymInt) or self.harmonics.device.type != "cpu":  # a compiler or a GPU wants it all
            return [None]
        widest = max(
            self.features[group.source].shape[1] * w.shape[1]
            for group, w in zip(self.groups, self.weights, strict=True)
        )
        count = n * k * widest // BATCH
        if count <= 1:
            return [None]
        step = -(-n // count)
        return [slice(start, min(start + step, n)) for start in range(0, n, step)]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, groups: Sequence[PathGroup], neighbour: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.groups = groups
        ctx.save_for_backward(neighbour, *tensors)
        arguments = _Arguments(groups, neighbour, tensors)
        totals = [
            [group.value(f) for group, f in zip(groups, arguments.factors(atoms), strict=True)]
            for atoms in arguments.batches()
        ]
        return _joined(totals)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        neighbour, *tensors = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3 + len(ctx.groups) :]
        return (None, None, *_Vjp.apply(ctx.groups, wanted, neighbour, *gradients, *tensors))


def _part(values: Tensor, which: slice | None) -> Tensor:
    return values if which is None else values[which]


def _joined(batches: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Tensors of consecutive batches of atoms put together."""
    return tuple(batches[0] if len(batches) == 1 else (torch.cat(parts) for parts in zip(*batches, strict=True)))


class _Derivatives:
    """Derivatives by Y, by W and by those h that are wanted, collected from the groups, atoms by atoms."""

    def __init__(self, arguments: _Arguments, wanted: Sequence[bool]):
        self.arguments, self.wanted = arguments, wanted
        self.harmonics = torch.zeros_like(arguments.harmonics)
        self.weights: list[list[Tensor]] = []
        self.features = [torch.zeros_like(values) for values in arguments.features]

    def add(self, atoms: slice | None, derivatives: Iterable[tuple[Tensor, Terms]]) -> None:
        """Of every group the derivative by W [N, K, P, C] and, as factors of terms, that by h [N, K, M, C]."""
        gathered: list[Tensor | None] = [None for _ in self.features]
        by_weights = []
        for group, (by_w, by_h) in zip(self.arguments.groups, derivatives, strict=True):
            by_weights.append(by_w.flatten(2).flatten(0, 1))
            for a, b in by_h if self.wanted[group.source] else ():
                known = gathered[group.source]
                gathered[group.source] = a * b if known is None else known.addcmul_(a, b)
        self.weights.append(by_weights)
        neighbour = _part(self.arguments.neighbour, self.arguments.rows(atoms))
        for total, values in zip(self.features, gathered, strict=True):
            if values is not None:
                total.flatten(1).index_add_(0, neighbour, values.flatten(2).flatten(0, 1))

    def by_arguments(self) -> list[Tensor]:
        """Derivatives by harmonics, weights and the features of the atoms."""
        return [self.harmonics, *_joined(self.weights), *self.features]


class _Vjp(torch.autograd.Function):
    """Derivatives of Phi(G, Y, W, h) by Y, W and those h that are wanted."""

    @staticmethod
    def forward(
        ctx: Any, groups: Sequence[PathGroup], wanted: Sequence[bool], neighbour: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.groups = groups
        ctx.save_for_backward(neighbour, *tensors)
        gradients, arguments = tensors[: len(groups)], _Arguments(groups, neighbour, tensors[len(groups) :])
        out = _Derivatives(arguments, wanted)
        for atoms in arguments.batches():
            each = list(zip(groups, gradients, arguments.factors(atoms), strict=True))
            by_y = _part(out.harmonics, atoms)
            # the last group first: what those with scalar output add to the derivatives by Y comes in a sum at the end,
            # as it does with a gate, and an open gate changes no digit
            out.add(atoms, [group.vjp(_part(g, atoms), f, by_y) for group, g, f in reversed(each)][::-1])
        return tuple(out.by_arguments())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Tensor | None, ...]:
        """Derivatives of Phi(G, y, W, h) + Phi(G, Y, w, h) + Phi(G, Y, W, h') by G, Y, W, h; y, w, h' the tangents."""
        groups = ctx.groups
        neighbour, *tensors = ctx.saved_tensors
        gradients, arguments = tensors[: len(groups)], _Arguments(groups, neighbour, tensors[len(groups) :])
        tangent = _Arguments(groups, neighbour, tangents)
        out, by_gradients = _Derivatives(arguments, ctx.needs_input_grad[4 + 2 * len(groups) :]), []
        for atoms in arguments.batches():
            each = zip(groups, gradients, arguments.factors(atoms), tangent.factors(atoms), strict=True)
            by_y = _part(out.harmonics, atoms)
            parts = [group.jvp_of_vjp(_part(g, atoms), f, t, by_y) for group, g, f, t in each]
            by_gradients.append([by_gradient for by_gradient, _, _ in parts])
            out.add(atoms, [(by_w, by_h) for _, by_w, by_h in parts])
        return None, None, None, *_joined(by_gradients), *out.by_arguments()
