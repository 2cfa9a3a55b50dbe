"""A potential that starts from another one's weights: the same network for some of its elements, under any head."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from scalarpath.backbones.interface import complete_options
from scalarpath.backbones.mace import MACE
from scalarpath.backbones.mace_nonlinear import NonlinearInteraction
from scalarpath.core.errors import ConfigError
from scalarpath.nn.linear import SpeciesLinear
from scalarpath.potential.potential import Potential

HEAD = "head."


@torch.no_grad()
def start_from(potential: Potential, source: Potential, where: str) -> None:
    """Give ``potential`` the backbone, E0s, scale, shift and normalisation of ``source``, for its own elements.

    Its head stays as it is, an identity at the start, so that energies are those of ``source``; where ``source`` has a
    head with weights, it must be the same head, and they are taken over. ``where`` names ``source`` in errors. Raises
    ConfigError for elements that ``source`` does not know, and for another backbone, cutoff, repulsion or head.
    """
    if unknown := [chemical_symbols[z] for z in potential.species if z not in source.species]:
        raise ConfigError(f"{where} knows no {', '.join(unknown)}; start from a potential of all elements of the data.")
    if differing := list(_differences(potential.config, source.config)):
        raise ConfigError(f"{where} has {'; '.join(differing)}; set the same.")
    ours, theirs = ({**each.config["head"], "name": None} for each in (potential, source))
    if ours.get("linear") or theirs.get("linear"):
        raise ConfigError(
            f"{where} and head={potential.config['head'].get('name')}: a linear potential is fitted to its own data "
            "and is not carried over; take a file and a head without."
        )
    has_head = any(True for _ in source.head_parameters())
    if has_head and ours != theirs:
        raise ConfigError(
            f"{where} has the head {source.config['head'].get('name')} with weights of its own; take the same head, or "
            "start from a baseline."
        )
    rows = [source.species.index(z) for z in potential.species]
    state, given = potential.state_dict(), source.state_dict()
    taken = [name for name in state if has_head or not name.startswith(HEAD)]
    for name in taken:
        given[name] = _of_elements(given[name], state[name].shape, rows, len(source.species))
        if given[name].shape != state[name].shape:
            raise ConfigError(
                f"{where}: '{name}' cannot be cut down to the elements of the data; start with data that have all "
                f"{len(source.species)} elements."
            )
    for name in taken:
        state[name].copy_(given[name])
    for parameter in _divided_by_root_of_species(potential):
        parameter.mul_(math.sqrt(len(potential.species) / len(source.species)))


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """``key=value (here: value)`` of every setting that decides the network or what is added to it."""
    one, two = (_deciding(config) for config in (ours, theirs))
    kind = "backbone.kind"
    if one[kind] != two[kind]:  # whose other settings have other names
        one, two = {kind: one[kind]}, {kind: two[kind]}
    for key in sorted(one.keys() | two.keys()):
        if one.get(key) != two.get(key):
            yield f"{key}={two.get(key)} (here: {one.get(key)})"


def _deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    options = complete_options({**config["backbone"], **(config["head"].get("backbone") or {})})
    around = {"backbone.cutoff": float(config["cutoff"]), "backbone.pair_cutoffs": config.get("pair_cutoffs")}
    named = {f"backbone.{key}": value for key, value in options.items()}
    return {**around, **named, "repulsion": config.get("repulsion")}


def _of_elements(values: Tensor, shape: Sequence[int], rows: list[int], n_species: int) -> Tensor:
    """What belongs to some elements of an array with a row for every element, or ordered pair of elements.

    Any other array as it is.
    """
    if values.shape == shape or len(values) not in (n_species, n_species**2):
        return values
    if len(values) == n_species:
        return values[rows]
    return values.unflatten(0, (n_species, n_species))[rows][:, rows].flatten(0, 1)


def _divided_by_root_of_species(potential: Potential) -> Iterator[nn.Parameter]:
    """Weights that the network divides by the root of the number of elements."""
    for module in potential.backbone.modules():
        if isinstance(module, MACE):
            yield module.node_embedding
        elif isinstance(module, SpeciesLinear):
            yield from module.weights
        elif isinstance(module, NonlinearInteraction):
            yield from (module.source, module.target)
