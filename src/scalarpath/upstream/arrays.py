"""The state dict and the hyperparameters of an upstream model, read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from scalarpath.core.errors import UpstreamError

_WEIGHT = re.compile(r"\.weights?(_max|\.\d+)?$")


class UpstreamArrays:
    """The upstream state dict, read by name and shape; ``prefix`` stands before every name.

    All methods raise UpstreamError for a missing or misshapen array.
    """

    def __init__(self, state_dict: Mapping[str, ArrayLike], prefix: str = ""):
        self.state, self.prefix = state_dict, prefix
        self.unread = set(state_dict)

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.state

    def get(self, name: str) -> Tensor:
        """The array ``name`` as a tensor on the CPU."""
        if name not in self:
            raise UpstreamError(
                f"the upstream state dict has no '{self.prefix}{name}'; pass the whole state dict of the model."
            )
        self.unread.discard(self.prefix + name)
        value = self.state[self.prefix + name]
        return value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))

    def fill(self, target: Tensor, name: str, rows: Sequence[int] | None = None) -> None:
        """Copy the array ``name``, reshaped, into ``target``; ``rows``: its rows in this order."""
        values = self.get(name)
        self._copy(target, (values if rows is None else values[list(rows)]).flatten(), name)

    def fill_columns(self, target: Tensor, name: str, columns: Sequence[int]) -> None:
        """Copy the columns of the matrix ``name`` in this order into ``target``."""
        values = self.get(name)
        if values.shape != target.shape:
            raise UpstreamError(
                f"'{self.prefix}{name}' has shape {tuple(values.shape)} where the hyperparameters ask for "
                f"{tuple(target.shape)}."
            )
        self._copy(target, values[:, list(columns)].flatten(), name)

    def fill_blocks(self, targets: Sequence[Tensor] | nn.ParameterList, name: str) -> None:
        """Cut the flat array ``name`` into one block per target."""
        flat = self.get(name).flatten()
        sizes = [target.numel() for target in targets]
        if flat.numel() != sum(sizes):
            self._complain(name, flat.numel(), sum(sizes))
        for target, block in zip(targets, flat.split(sizes), strict=True):
            self._copy(target, block, name)

    def refuse_unread_weights(self) -> None:
        """Raise UpstreamError for weights that nothing has read: the model has more than the hyperparameters say."""
        for name in sorted(self.unread):
            if _WEIGHT.search(name) and 0 not in np.shape(self.state[name]):
                raise UpstreamError(f"'{name}' has no place in a model with these hyperparameters; check them.")

    def _copy(self, target: Tensor, flat: Tensor, name: str) -> None:
        if flat.numel() != target.numel():
            self._complain(name, flat.numel(), target.numel())
        target.data.copy_(flat.view(target.shape))

    def _complain(self, name: str, found: int, wanted: int) -> None:
        raise UpstreamError(f"'{self.prefix}{name}' has {found} entries where the hyperparameters ask for {wanted}.")


def check_hyperparameters(
    hyperparameters: Mapping[str, Any], required: Sequence[str], unsupported: Mapping[str, tuple[Any, ...]]
) -> None:
    """Raise UpstreamError for a missing hyperparameter, or one that has no native equivalent.

    ``unsupported``: options without a native equivalent, each with the values that leave the model as it is.
    """
    for name in required:
        if name not in hyperparameters:
            raise UpstreamError(
                f"the upstream hyperparameter '{name}' is missing; pass the arguments of the constructor."
            )
    for name, neutral in unsupported.items():
        if hyperparameters.get(name, neutral[0]) not in neutral:
            raise UpstreamError(
                f"upstream option {name} = {hyperparameters[name]} has no native equivalent; import a model without it."
            )
