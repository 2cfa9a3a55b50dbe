"""From the configuration of a head to the head."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from scalarpath.core.errors import ConfigError
from scalarpath.core.options import choice, count, known, positive
from scalarpath.heads.controls import ConstantDescriptors, MlpReadout, ShuffledDescriptors
from scalarpath.heads.descriptors import NeighbourhoodDescriptors
from scalarpath.heads.interface import PathwayPart, PathwaySpec, ScalarPathway
from scalarpath.heads.pan import EdgeGate, Injection, NodeGate
from scalarpath.heads.pgs import EdgeBand, EmbeddingReadout, SpectralReadout

# In the order in which they act on the pooled scalars; on edge weights every term comes before every gate.
PARTS: dict[str, type[PathwayPart]] = {
    "edge_band": EdgeBand,
    "edge_gate": EdgeGate,
    "node_gate": NodeGate,
    "injection": Injection,
    "spectral_readout": SpectralReadout,
    "embedding_readout": EmbeddingReadout,
    "mlp_readout": MlpReadout,
}
DESCRIPTORS: dict[str, type[NeighbourhoodDescriptors]] = {
    "neighbourhood": NeighbourhoodDescriptors,
    "constant": ConstantDescriptors,
    "shuffled": ShuffledDescriptors,
}
GIVEN = ("spec", "descriptors", "generator", "cutoff", "n_species")


def build_head(config: Mapping[str, Any], spec: PathwaySpec, seed: int) -> ScalarPathway:
    """Head from {"name": ..., "parts": {part: options}, "descriptors": {"kind": ..., "shells": 4}}.

    Every part draws its parameters from a generator of its own (seed and part name), so that two heads that share a
    part share its start. Raises ConfigError for an unknown part or option.
    """
    parts = config.get("parts") or {}
    for key in config:
        if key not in ("name", "parts", "descriptors"):
            raise ConfigError(f"head: key '{key}' is unknown; a head has name, parts and descriptors.")
    for name in parts:
        if name not in PARTS:
            raise ConfigError(f"head.parts: '{name}' is unknown; the parts are: {', '.join(PARTS)}.")
    descriptors = None
    if any(_reads_descriptors(name) for name in parts):
        options = dict(config.get("descriptors") or {})
        kind = options.pop("kind", "neighbourhood")
        choice("head.descriptors", DESCRIPTORS, kind=kind)
        known("head.descriptors", options, DESCRIPTORS[kind], GIVEN)
        positive("head.descriptors", **options)
        descriptors = DESCRIPTORS[kind](spec.cutoff, spec.n_species, **options)
    built = {}
    for name in (part for part in PARTS if part in parts):
        options = dict(parts[name] or {})
        known(f"head.parts.{name}", options, PARTS[name], GIVEN)
        count(f"head.parts.{name}", at_least=0, **{key: options[key] for key in options if key == "first"})
        positive(f"head.parts.{name}", **{key: options[key] for key in options if key != "first"})
        given: dict[str, Any] = {"spec": spec, "generator": _generator(seed, name)}
        if _reads_descriptors(name):
            given["descriptors"] = descriptors
        built[name] = PARTS[name](**given, **options)
    return ScalarPathway(built, descriptors)


def _reads_descriptors(part: str) -> bool:
    return "descriptors" in inspect.signature(PARTS[part]).parameters


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/head/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
