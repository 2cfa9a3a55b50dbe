"""The parts of a potential, by name: what a training may leave as it is, and which learn more slowly than others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

from torch import nn

from scalarpath.backbones.interface import Backbone
from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import Matching, checked, choose
from scalarpath.heads.interface import ScalarPathway

HEAD = "head"
Part = Annotated[str, Matching(r"embedding|layer_\d+|readout", "embedding, layer_1, layer_2 and so on, or readout")]

Parts = Mapping[str, Sequence[nn.Parameter]]


def parts_of(backbone: Backbone, head: ScalarPathway) -> dict[str, list[nn.Parameter]]:
    """Parameters by part, from the input to the output: those of the backbone (``Backbone.part_of``), then the head.

    A part without parameters is left out. Raises ConfigError where a backbone names a part that is none of these.
    """
    parts: dict[str, list[nn.Parameter]] = {}
    kind = type(backbone)
    for name, parameter in backbone.named_parameters():
        part = checked(backbone.part_of(name), Part, f"{kind.__module__}:{kind.__name__}.part_of('{name}')")
        parts.setdefault(part, []).append(parameter)
    ordered = {name: parts[name] for name in sorted(parts, key=_place)}
    own = list(head.parameters())
    return {**ordered, HEAD: own} if own else ordered


def freeze(parts: Parts, frozen: Collection[str]) -> None:
    """Train the parts called ``frozen`` no more: no gradient, no decay, no state of the optimizer.

    Raises ConfigError for a name that is none, and where nothing would be left to train.
    """
    for name in frozen:
        choose(name, parts, "frozen")
    if set(frozen) == set(parts):
        raise ConfigError("frozen names all parts, so that nothing is left to train; leave one out.")
    for name in frozen:
        for parameter in parts[name]:
            parameter.requires_grad_(False)


def rate_factors(parts: Parts, depth_factor: float) -> dict[nn.Parameter, float]:
    """What the learning rate of every parameter is multiplied by: ``depth_factor`` to the power of the number of parts
    between its part and the output.

    The head acts at all depths and, as it is new, has the full rate.
    """
    backbone = [name for name in parts if name != HEAD]
    factors = {name: depth_factor**distance for distance, name in enumerate(reversed(backbone))}
    return {parameter: factors.get(name, 1.0) for name, of_part in parts.items() for parameter in of_part}


def _place(part: str) -> tuple[int, int]:
    """Where a part of a backbone stands: embedding, layers by number, readout."""
    kind, _, number = part.partition("_")
    return ("embedding", "layer", "readout").index(kind), int(number or 0)
