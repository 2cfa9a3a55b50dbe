"""From the configuration of a head to the head."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from scalarpath.errors import ConfigError
from scalarpath.heads.descriptors import NeighbourhoodDescriptors
from scalarpath.heads.pan import EdgeGate, Injection, NodeGate
from scalarpath.heads.pgs import EdgeBand, SpectralReadout
from scalarpath.heads.scalar_pathway import PathwayPart, PathwaySpec, ScalarPathway

# In the order in which they act: the band widens the edge weights before the gate scales them.
PARTS: dict[str, type[PathwayPart]] = {
    "edge_band": EdgeBand,
    "edge_gate": EdgeGate,
    "node_gate": NodeGate,
    "injection": Injection,
    "spectral_readout": SpectralReadout,
}
_GIVEN = {"self", "spec", "descriptors", "generator"}


def build_head(config: Mapping[str, Any], spec: PathwaySpec, seed: int) -> ScalarPathway:
    """Head from {"name": ..., "parts": {part: options}, "descriptors": {"shells": 4}}.

    Every part draws its parameters from a generator of its own (seed and part name), so that two heads that share a
    part share its start. Raises ConfigError for an unknown part or option.
    """
    parts = config.get("parts") or {}
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ConfigError(f"head.parts: '{sorted(unknown)[0]}' is unknown; the parts are: {', '.join(PARTS)}.")
    extra = set(config) - {"name", "parts", "descriptors"}
    if extra:
        raise ConfigError(f"head: key '{sorted(extra)[0]}' is unknown; a head has name, parts and descriptors.")
    descriptors = None
    if any("descriptors" in inspect.signature(PARTS[name]).parameters for name in parts):
        descriptors = NeighbourhoodDescriptors(spec.cutoff, spec.n_species, **(config.get("descriptors") or {}))
    built = {}
    for name in (part for part in PARTS if part in parts):
        accepted = inspect.signature(PARTS[name]).parameters
        options = dict(parts[name] or {})
        wrong = set(options) - (set(accepted) - _GIVEN)
        if wrong:
            raise ConfigError(
                f"head.parts.{name}: option '{sorted(wrong)[0]}' is unknown; "
                f"the options are: {', '.join(sorted(set(accepted) - _GIVEN))}."
            )
        given: dict[str, Any] = {"spec": spec, "generator": _generator(seed, name)}
        if "descriptors" in accepted:
            given["descriptors"] = descriptors
        built[name] = PARTS[name](**given, **options)
    return ScalarPathway(built, descriptors)


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/head/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
