"""Which derivatives a backward pass is after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def wanted_derivatives(ctx: Any, is_tensor: Sequence[bool]) -> list[bool]:
    """Which inputs of a function the running backward pass wants derivatives by.

    ``ctx.needs_input_grad`` was settled in the forward pass and counts every parameter; a pass that asks for forces
    wants none of these.
    """
    edges = iter(ctx.next_functions)  # of the inputs that are tensors
    return [there and _will_run(next(edges)[0]) for there in is_tensor]


def _will_run(node: Any) -> bool:
    if node is None:
        return False
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:  # a leaf that was asked for
        return True
