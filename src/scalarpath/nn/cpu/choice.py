"""The one place that chooses between a CPU kernel and torch's operations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeDistances
from scalarpath.nn.cpu.library import TYPES, library

P = ParamSpec("P")
R = TypeVar("R")

_suspended = False


def with_cpu_kernel(kernel: Callable[..., Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a step that is written in torch's operations, and has a kernel for CPUs.

    The kernel takes the same arguments and gives the same values up to rounding. It returns None for sizes that it
    has no room for. Device and type of the numbers are those of the distances, where one of the arguments is a
    geometry, or else of the first tensor among the arguments and their lists.
    """

    def decorate(step: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(step)
        def chosen(*args: P.args, **kwargs: P.kwargs) -> R:
            result = kernel(*args, **kwargs) if usable(_numbers(args)) else None
            return step(*args, **kwargs) if result is None else result

        return chosen

    return decorate


def _numbers(args: tuple[Any, ...]) -> Tensor:
    geometry = next((value for value in args if isinstance(value, EdgeDistances)), None)
    if geometry is not None:
        return geometry.distances
    first = next(value for value in args if isinstance(value, (Tensor, list, tuple)))
    return first if isinstance(first, Tensor) else cast("Tensor", first[0])


def usable(values: Tensor) -> bool:
    """Whether kernels can take ``values``: on a CPU, float32 or float64, and no mode of torch watches the operations.

    A tracer or a counter of operations sees torch's operations only, so these are run for it.
    """
    return (
        values.device.type == "cpu"
        and values.dtype in TYPES
        and not _suspended
        and torch._C._len_torch_dispatch_stack() == 0
        and library() is not None
    )


@contextmanager
def in_torch_operations() -> Iterator[None]:
    """Run everything inside without kernels, for a comparison."""
    global _suspended
    before, _suspended = _suspended, True
    try:
        yield
    finally:
        _suspended = before
