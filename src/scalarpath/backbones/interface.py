"""What a backbone is, and how a configuration names one."""

from __future__ import annotations

import abc
import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from scalarpath.core.errors import ConfigError
from scalarpath.core.imports import class_named
from scalarpath.core.resources import CONF_DIR
from scalarpath.core.settings import Among, Range, checked_settings, read_settings
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.interface import PathwayShape, ScalarPathway
from scalarpath.nn.linear import SpeciesGroups
from scalarpath.nn.mlp import ACTIVATIONS

GIVEN = ("atomic_numbers", "cutoff", "generator")
BACKBONES = {
    "mace": "scalarpath.backbones.mace:MACE",
    "nequip": "scalarpath.backbones.nequip:NequIP",
    "allegro": "scalarpath.backbones.allegro:Allegro",
}

# what the section of a backbone says about the potential around it; no constructor of a backbone has these
OF_THE_POTENTIAL = ("cutoff", "pair_cutoffs", "avg_num_neighbors")

# options that backbones share
Degree = Annotated[int, Range(at_least=0, at_most=4)]
Exponent = Annotated[float, Range(at_least=2, at_most=12)]
Nonlinearity = Annotated[str, Among(ACTIVATIONS)] | None


class Backbone(nn.Module, abc.ABC):
    """Maps the geometry of a batch to atomic energies, calling the hooks of its head on the scalar channels.

    A constructor takes (atomic_numbers: Sequence[int], cutoff: float, generator: torch.Generator, *, options); every
    parameter is drawn from ``generator`` in float64. Annotations give type and range of the options (see
    ``core/settings.py``). ``pathway`` describes the hooks it calls, and the buffer ``mean_degree`` (float64) holds the
    normalisation of sums over neighbours. ``hidden_widths`` holds the options with hidden widths of networks on
    invariants, one or a list: what a wider baseline may raise (see ``widening``). ``reach``: how many cutoffs far an
    atomic energy depends on atoms, 1 without messages that are passed on; None: nobody has said.
    """

    pathway: PathwayShape
    hidden_widths: Mapping[str, int | Sequence[int]] = {}
    reach: int | None = None
    mean_degree: Tensor

    @abc.abstractmethod
    def forward(self, geometry: EdgeGeometry, head: ScalarPathway) -> Tensor:
        """Atomic energies [N] before scale, shift and E0."""

    def set_mean_degree(self, mean_degree: float) -> None:
        """Set the mean number of neighbours of the training set, by which sums over neighbours are normalised.

        Fills the buffer ``mean_degree``, a scalar or one entry per species; what it does to the sums is the backbone's.
        """
        self.mean_degree.fill_(mean_degree)

    def part_of(self, parameter: str) -> str:
        """The part that the parameter of this name belongs to: embedding, layer_1, layer_2, ..., or readout.

        Entry k of a list of modules belongs to layer k + 1, what is called readout to the readout, and all else, which
        comes before the layers, to the embedding.
        """
        first, second, *_ = *parameter.split("."), ""
        if first.startswith("readout"):
            return "readout"
        return f"layer_{int(second) + 1}" if isinstance(getattr(self, first), nn.ModuleList) else "embedding"


@dataclass(frozen=True)
class LayerInputs:
    """What all message-passing layers of a backbone read in one forward pass, besides the features of the atoms.

    radial: [P, B] radial features in the pair layout; harmonics: [N, K, (l_max + 1)^2] in the padded layout; groups:
    the atoms by species; context: what the head has prepared.
    """

    geometry: EdgeGeometry
    groups: SpeciesGroups
    radial: Tensor
    harmonics: Tensor
    head: ScalarPathway
    context: dict[str, Any]


def build_backbone(section: Mapping[str, Any], atomic_numbers: Sequence[int], cutoff: float, seed: int) -> Backbone:
    """Backbone of the section ``backbone``: ``kind`` and options, for elements of ascending atomic number.

    An option of MACE, NequIP or Allegro that the section leaves out has the value of conf/backbone/<kind>.yaml.
    Raises ConfigError for an unknown backbone or option, and for a value that does not fit.
    """
    options = complete_options(section)
    kind = options.pop("kind")
    given = {
        "atomic_numbers": list(atomic_numbers),
        "cutoff": cutoff,
        "generator": torch.Generator().manual_seed(seed),
    }
    return read_settings(backbone_class(kind), options, "backbone", given)


def check_backbone(section: Mapping[str, Any]) -> None:
    """Raise the ConfigError for an unknown backbone or option, or a value out of range; nothing is built."""
    options = complete_options(section)
    checked_settings(backbone_class(options.pop("kind")), options, "backbone", GIVEN)


def complete_options(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section with every option, and ``kind``, which is None where it has none; see ``build_backbone``."""
    kind = section.get("kind")
    return {**(_defaults(kind) if isinstance(kind, str) else {}), **section, "kind": kind}


def backbone_class(kind: Any) -> type[Backbone]:
    """The class called ``kind``: a key of BACKBONES, or ``package.module:Class``; raises ConfigError."""
    return class_named(kind, BACKBONES, Backbone, "backbone")  # type: ignore[type-abstract]


def one_per(name: str, value: int | Sequence[int], count: int, what: str) -> list[int]:
    """The option ``name`` for each of ``count`` layers or degrees (``what``): one number for all, or a list.

    Raises ConfigError for a list of another length.
    """
    values = [value] * count if isinstance(value, int) else list(value)
    if len(values) != count:
        raise ConfigError(
            f"backbone.{name} has {len(values)} entries for {count} {what}s; give one number, or one per {what}."
        )
    return values


def option_names(kind: Any) -> set[str]:
    """The names of the options of the backbone called ``kind``; raises ConfigError where there is none."""
    return set(inspect.signature(backbone_class(kind)).parameters) - set(GIVEN)


@functools.cache
def _defaults(kind: str) -> dict[str, Any]:
    """Options in the file of a backbone of this package; others have the defaults of their constructors."""
    if kind not in BACKBONES:
        return {}
    content = cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(CONF_DIR / "backbone" / f"{kind}.yaml")))
    return {name: value for name, value in content.items() if name not in ("kind", *OF_THE_POTENTIAL)}
