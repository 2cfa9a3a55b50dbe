"""Limits on the length of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

WINDOW = 100  # steps, whose norms an automatic limit remembers
QUANTILE = 0.25  # of these norms is that limit


class GradientClip(nn.Module):
    """Shortens gradients over all parameters to a largest norm.

    ``limit``: that norm, in units of the loss over those of a weight; None does not clip; "auto" takes a quantile of
    the norms of the last steps (Seetharaman et al., arXiv:2007.14469), so that it suits any data and loss, follows the
    training, and no batch with an odd frame outweighs the others. The norms are part of the module's state.
    """

    norms: Tensor

    def __init__(self, limit: float | Literal["auto"] | None) -> None:
        super().__init__()
        self.limit = limit
        if limit == "auto":
            self.register_buffer("norms", torch.zeros(WINDOW))  # zero: no step yet

    @torch.no_grad()
    def forward(self, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Clip the gradients in place; returns their norm before."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.limit == "auto":
            self.norms.copy_(torch.cat([self.norms[1:], norm.to(self.norms)[None]]))
            seen = torch.where(self.norms > 0, self.norms, torch.nan)
            limit = torch.nanquantile(seen, QUANTILE).to(norm)
            # no branch: on a GPU it would wait for the numbers
            torch._foreach_mul_(gradients, torch.where(norm > limit, limit / norm, 1.0))
        elif self.limit is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.limit, norm)
        return norm
