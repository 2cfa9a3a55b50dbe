"""From the configuration of a head to the head."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from scalarpath.core.errors import ConfigError
from scalarpath.core.imports import class_named
from scalarpath.core.settings import Name, checked_settings, read_settings
from scalarpath.heads.controls import ConstantDescriptors, MlpReadout, ShuffledDescriptors
from scalarpath.heads.descriptors import NeighbourhoodDescriptors
from scalarpath.heads.interface import Descriptors, PathwayPart, PathwayShape, ScalarPathway
from scalarpath.heads.pan import EdgeGate, Injection, NodeGate
from scalarpath.heads.pgs import EdgeBand, EmbeddingReadout, SpectralReadout

T = TypeVar("T")

# In the order in which they act. Parts from outside act after them, in the order in which the configuration names them.
PARTS: dict[str, type[PathwayPart]] = {
    "edge_band": EdgeBand,
    "edge_gate": EdgeGate,
    "node_gate": NodeGate,
    "injection": Injection,
    "spectral_readout": SpectralReadout,
    "embedding_readout": EmbeddingReadout,
    "mlp_readout": MlpReadout,
}
DESCRIPTORS: dict[str, type[Descriptors]] = {
    "neighbourhood": NeighbourhoodDescriptors,
    "constant": ConstantDescriptors,
    "shuffled": ShuffledDescriptors,
}
# what constructors may ask for by name, besides their options
OFFERED_TO_PARTS = ("pathway", "descriptors", "generator")
OFFERED_TO_DESCRIPTORS = ("cutoff", "n_species", "generator")


@dataclass(frozen=True)
class HeadSettings:
    """The section ``head``. The options of parts and descriptors are those of their constructors, and ``kind``."""

    name: Name | None = None
    parts: dict[str, dict[str, Any] | None] | None = None
    descriptors: dict[str, Any] | None = None


def build_head(config: Mapping[str, Any], pathway: PathwayShape, seed: int) -> ScalarPathway:
    """Head from {"name": ..., "parts": {name: options}, "descriptors": options}.

    ``kind`` among the options is a key of PARTS or DESCRIPTORS, or ``package.module:Class``; without it the name of a
    part is its kind. A constructor gets what it asks for by name: ``pathway``, ``descriptors``, ``generator`` (parts),
    ``cutoff``, ``n_species``, ``generator`` (descriptors), and the options. Every part draws its parameters from a
    generator of its own (seed and name), so that two heads that share a part share its start.

    Raises ConfigError for an unknown part or option, and for a value out of range.
    """
    (descriptors_kind, own), chosen = _chosen(config)
    offered = {"cutoff": pathway.cutoff, "n_species": pathway.n_species, "generator": _generator(seed, "descriptors")}
    descriptors = _built(descriptors_kind, own, "head.descriptors", offered)
    order = list(PARTS.values())
    parts = {}
    for name, (kind, options) in sorted(
        chosen.items(), key=lambda item: order.index(item[1][0]) if item[1][0] in order else len(order)
    ):
        offered = {"pathway": pathway, "descriptors": descriptors, "generator": _generator(seed, name)}
        parts[name] = _built(kind, options, f"head.parts.{name}", offered)
    read = any("descriptors" in inspect.signature(kind).parameters for kind, _ in chosen.values())
    return ScalarPathway(parts, descriptors if read else None)


def check_head(config: Mapping[str, Any]) -> None:
    """Raise the ConfigError for an unknown part or option, or a value out of range; nothing is built."""
    (kind, own), chosen = _chosen(config)
    checked_settings(kind, own, "head.descriptors", _asked(kind, OFFERED_TO_DESCRIPTORS))
    for name, (part, options) in chosen.items():
        checked_settings(part, options, f"head.parts.{name}", _asked(part, OFFERED_TO_PARTS))


def _chosen(
    config: Mapping[str, Any],
) -> tuple[tuple[type[Descriptors], dict[str, Any]], dict[str, tuple[type[PathwayPart], dict[str, Any]]]]:
    """Class and options of the descriptors, and of every part by its name."""
    settings = read_settings(HeadSettings, config, "head")
    own = dict(settings.descriptors or {})
    named = own.pop("kind", "neighbourhood")
    kind = class_named(named, DESCRIPTORS, Descriptors, "head.descriptors: kind")  # type: ignore[type-abstract]
    options = {name: dict(given or {}) for name, given in (settings.parts or {}).items()}
    return (kind, own), {name: (_part_class(name, given.pop("kind", name)), given) for name, given in options.items()}


def _part_class(name: str, kind: Any) -> type[PathwayPart]:
    """The class of the part called ``name``; raises ConfigError."""
    if not name.isidentifier() or hasattr(nn.ModuleDict, name):
        raise ConfigError(f"head.parts: '{name}' cannot be the name of a part; give it another one and set its kind.")
    return class_named(kind, PARTS, PathwayPart, "head.parts: part")


def _built(kind: Callable[..., T], options: Mapping[str, Any], where: str, offered: Mapping[str, Any]) -> T:
    """Call ``kind`` with its options and with those of the ``offered`` arguments that it has a parameter for."""
    return read_settings(kind, options, where, {name: offered[name] for name in _asked(kind, offered)})


def _asked(kind: Callable[..., Any], offered: Iterable[str]) -> list[str]:
    """Those of the ``offered`` arguments that ``kind`` has a parameter for."""
    return [name for name in offered if name in inspect.signature(kind).parameters]


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/head/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
