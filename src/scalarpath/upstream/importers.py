"""Import of models trained with the upstream packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import ArrayLike

from scalarpath.core.errors import UpstreamError
from scalarpath.potential import Potential
from scalarpath.upstream.allegro import import_allegro
from scalarpath.upstream.mace import import_mace
from scalarpath.upstream.nequip import import_nequip
from scalarpath.upstream.sevennet import import_sevennet

IMPORTERS: dict[str, Callable[[Mapping[str, ArrayLike], Mapping[str, Any]], Potential]] = {
    "mace": import_mace,
    "nequip": import_nequip,
    "allegro": import_allegro,
    "sevennet": import_sevennet,
}


def from_upstream(kind: str, state_dict: Mapping[str, ArrayLike], hyperparameters: Mapping[str, Any]) -> Potential:
    """Native potential with the weights of an upstream model; energies, forces and stress agree to rounding.

    kind: "mace" | "nequip" | "allegro" | "sevennet"; state_dict: upstream parameter names to arrays or tensors;
    hyperparameters: the arguments of the upstream constructor (MACE: r_max, hidden_irreps, correlation,
    interaction_cls, ...; strings as in the CLI; NequIPGNNModel and AllegroModel: r_max, type_names, num_layers, ...;
    SevenNet: ``config`` of its checkpoint).
    The potential has the precision of the arrays and is in evaluation mode.
    Raises UpstreamError for an unknown kind, an option without native equivalent, or a missing or misshapen array.
    """
    if kind not in IMPORTERS:
        raise UpstreamError(f"upstream kind '{kind}' is unknown; use one of: {', '.join(IMPORTERS)}.")
    return IMPORTERS[kind](state_dict, hyperparameters).eval()
