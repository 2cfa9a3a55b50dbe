"""Floating-point operations of matrix products, as torch counts them."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def flops(step: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products of one step (torch's counter; elementwise work not counted)."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())
