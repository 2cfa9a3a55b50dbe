"""What a backbone is, and how a configuration names one."""

from __future__ import annotations

import abc
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.core.errors import ConfigError
from scalarpath.core.options import known
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.interface import PathwaySpec, ScalarPathway

GIVEN = ("atomic_numbers", "cutoff", "generator")
BACKBONES: dict[str, str] = {
    "mace": "scalarpath.backbones.mace:MACE",
    "nequip": "scalarpath.backbones.nequip:NequIP",
    "allegro": "scalarpath.backbones.allegro:Allegro",
}


class Backbone(nn.Module, abc.ABC):
    """Maps the geometry of a batch to atomic energies, calling the hooks of its head on the scalar channels.

    A constructor takes (atomic_numbers: Sequence[int], cutoff: float, generator: torch.Generator, **options); every
    parameter is drawn from ``generator`` in float64. ``pathway`` describes the hooks it calls, and the buffer
    ``mean_degree`` (float64) holds the normalisation of sums over neighbours. ``hidden_widths`` holds the options
    with hidden widths of networks on invariants, one or a list: what a wider baseline may raise (see ``widening``).
    """

    pathway: PathwaySpec
    hidden_widths: Mapping[str, int | Sequence[int]] = {}
    mean_degree: Tensor

    @abc.abstractmethod
    def forward(self, geometry: EdgeGeometry, head: ScalarPathway) -> Tensor:
        """Atomic energies [N] before scale, shift and E0."""

    def set_mean_degree(self, mean_degree: float) -> None:
        """Set the mean number of neighbours of the training set, by which sums over neighbours are normalised.

        Fills the buffer ``mean_degree``, a scalar or one entry per species; what it does to the sums is the backbone's.
        """
        self.mean_degree.fill_(mean_degree)


def build_backbone(config: Mapping[str, Any], seed: int) -> Backbone:
    """Backbone of a potential's configuration, with the changes that the arm makes to it (``head.backbone``).

    Raises ConfigError for an unknown backbone, for an option or a change that it does not know, and for values that it
    refuses.
    """
    options, changes = dict(config["backbone"]), dict(config["head"].get("backbone") or {})
    kind = options.pop("kind")
    cls = backbone_class(kind)
    known("backbone", options, cls, GIVEN)
    for name in changes:
        if name in GIVEN or name not in inspect.signature(cls).parameters:
            raise ConfigError(
                f"head '{config['head'].get('name')}' sets backbone.{name}, which backbone '{kind}' does not have; use "
                "this head with a backbone that has it."
            )
    generator = torch.Generator().manual_seed(seed)
    return cls(list(config["species"]), float(config["cutoff"]), generator, **{**options, **changes})


def backbone_class(kind: str) -> type[Backbone]:
    """The class called ``kind``: a name of the registry, or ``package.module:Class`` for one that lives elsewhere.

    Raises ConfigError when there is none or it is no Backbone.
    """
    module_name, _, class_name = BACKBONES.get(kind, kind).partition(":")
    if not class_name:
        raise ConfigError(f"backbone '{kind}' is unknown; use {', '.join(BACKBONES)} or 'package.module:Class'.")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"backbone '{kind}' cannot be imported: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, Backbone)):
        raise ConfigError(f"backbone '{kind}' is not a subclass of scalarpath.backbones.Backbone.")
    return found
