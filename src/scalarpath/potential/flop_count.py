"""Floating-point operations of matrix products, as torch counts them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def flops(step: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products of one step (torch's counter; elementwise work not counted)."""
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        step()
    return int(counter.get_total_flops())


def _added_product(_total: Sequence[int], left: Sequence[int], right: Sequence[int], **_: Any) -> int:
    return 2 * math.prod(left) * right[-1]


IN_PLACE = dict.fromkeys((torch.ops.aten.addmm_, torch.ops.aten.baddbmm_), _added_product)  # not in torch's
