"""The wide controls: baseline, grown until it has as many parameters, or does as many operations, as another arm.

Only hidden widths of networks on invariants grow (``Backbone.hidden_widths``: radial and readout networks); channels,
degrees and everything else of the tensor part stay. What the search finds goes into the configuration as
``head.backbone``, so that a checkpoint carries explicit widths.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import nn

from scalarpath.backbones import Backbone
from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import Positive, read_settings
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.potential.configuration import build_networks
from scalarpath.potential.flop_count import flops

NEIGHBOURS = 40  # of an atom, where the data do not tell: as in a crystal with a usual cutoff
MAX_GROWTH = 32  # times its width in the configuration
AIM = 0.2  # of the tolerance: the search stops there. A head may cost little more than the tolerance itself.
Widths = tuple[int, ...]


@dataclass(frozen=True)
class Widening:
    """The section ``head.widen``: the head to match, what of it, and how near (relative)."""

    match: dict[str, Any]
    quantity: Literal["parameters", "flops"]
    tolerance: Positive


def resolved(config: Mapping[str, Any], neighbours: float = NEIGHBOURS) -> dict[str, Any]:
    """Configuration of a potential with ``head.widen`` replaced by the widths that it leads to (``head.backbone``).

    ``neighbours``: mean number of an atom's neighbours in the data, at which operations are counted.
    Raises ConfigError when the backbone has no widths to raise, or none that come within the tolerance.
    """
    head = dict(config["head"])
    section = head.pop("widen", None)
    if section is None:
        return {**config, "head": head}
    widening = read_settings(Widening, section, "head.widen")
    widths = matching_widths({**config, "head": head}, widening, neighbours)
    return {**config, "head": {**head, "backbone": {**(head.get("backbone") or {}), **widths}}}


def check_widening(section: Any, config: Mapping[str, Any], backbone: Backbone) -> None:
    """Raise ConfigError for a section ``head.widen`` that cannot be followed, without a search for widths.

    ``backbone``: that of ``config``.
    """
    build_networks({**config, "head": read_settings(Widening, section, "head.widen").match})
    start_widths(config, backbone)


def start_widths(config: Mapping[str, Any], backbone: Backbone) -> Mapping[str, int | Sequence[int]]:
    """The widths of ``backbone`` that may be raised; raises ConfigError where it names none."""
    if not backbone.hidden_widths:
        raise ConfigError(
            f"backbone '{config['backbone']['kind']}' names no widths that head '{config['head'].get('name')}' could "
            "raise (hidden_widths)."
        )
    return backbone.hidden_widths


def matching_widths(config: Mapping[str, Any], widening: Widening, neighbours: float) -> dict[str, int | list[int]]:
    """Widths with which the potential of ``config`` comes nearest to the one with the head to match.

    All widths grow in proportion to their start. Then units move between single widths while that helps.
    """
    kind, start = config["backbone"]["kind"], start_widths(config, build_networks(config)[0])

    def amount(of: Mapping[str, Any]) -> int:
        backbone, head = build_networks(of)
        if widening.quantity == "parameters":
            return parameters(backbone, head)
        return inference_flops(backbone, head.double(), neighbours, paired=of.get("pair_cutoffs") is None)

    target = amount({**config, "head": widening.match})

    @functools.cache
    def excess(widths: Widths) -> float:
        changes = {**(config["head"].get("backbone") or {}), **_as_options(start, widths)}
        return amount({**config, "head": {**config["head"], "backbone": changes}}) / target - 1.0

    found = nearest(_flat(start), excess, AIM * widening.tolerance)
    gap = abs(excess(found))
    if gap > widening.tolerance:
        raise ConfigError(
            f"head '{config['head'].get('name')}' on backbone '{kind}': the nearest widths found, "
            f"{_as_options(start, found)}, miss the {widening.quantity} of head '{widening.match.get('name')}' by "
            f"{gap:.2%} of {target}; allow head.widen.tolerance={1.1 * gap:.2g} or change the widths of the backbone."
        )
    return _as_options(start, found)


def parameters(backbone: Backbone, head: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in itertools.chain(backbone.parameters(), head.parameters()) if p.requires_grad)


def inference_flops(backbone: Backbone, head: nn.Module, neighbours: float, *, paired: bool) -> int:
    """Matrix-product operations of energy and forces: one atom per species, each with ``neighbours`` (rounded).

    Operations depend on shapes alone, so the edges point in random directions. ``paired``: every two edges count as an
    edge and its reverse, as they do without ``pair_cutoffs``.
    """
    pathway, degree = backbone.pathway, max(1, round(neighbours))
    species = torch.arange(pathway.n_species)
    centre, slot = species.repeat_interleave(degree), torch.arange(degree).repeat(pathway.n_species)
    directions = torch.randn(len(centre), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors = (0.5 * pathway.cutoff * nn.functional.normalize(directions)).requires_grad_()
    edges = torch.arange(len(centre))
    graph = SimpleNamespace(
        edge_index=torch.stack([centre, (centre + slot) % pathway.n_species]),
        edge_slot=slot,
        edge_reverse=(edges ^ 1).clamp(max=len(edges) - 1),
        edge_pair=edges // 2,
        pair_edge=edges[::2],
        max_degree=degree,
    )
    cutoffs = None if paired else vectors.new_full((pathway.n_species, pathway.n_species), pathway.cutoff)
    geometry = EdgeGeometry.from_vectors(vectors, graph, species, pathway.cutoff, cutoffs)
    return flops(lambda: torch.autograd.grad(backbone(geometry, head).sum(), vectors))


def nearest(start: Widths, excess: Callable[[Widths], float], aim: float) -> Widths:
    """The widths, none below ``start``, at which ``excess`` is nearest to zero, by growth and then by exchanges.

    ``excess`` rises with every width. Exchanges of single units go on while they help and |excess| is above ``aim``.
    """
    path = list(itertools.islice(_growth(start), (MAX_GROWTH - 1) * sum(start)))
    high = 1
    while high < len(path) and excess(path[high]) < 0.0:
        high *= 2
    low, high = high // 2, min(high, len(path) - 1)
    while high - low > 1:  # excess grows along the path: it changes its sign between the two
        middle = (low + high) // 2
        low, high = (middle, high) if excess(path[middle]) < 0.0 else (low, middle)
    best = min(path[0], path[low], path[high], key=lambda widths: abs(excess(widths)))
    while abs(excess(best)) > aim:
        exchanges = _exchanges(best, start)
        good = (widths for widths in exchanges if abs(excess(widths)) <= aim)
        better = next(good, None) or min(exchanges, key=lambda widths: abs(excess(widths)))
        if abs(excess(better)) >= abs(excess(best)):
            break
        best = better
    return best


def _growth(start: Widths) -> Iterator[Widths]:
    """``start``, then one unit more at each step, for the width that has grown least in proportion."""
    widths = list(start)
    while True:
        yield tuple(widths)
        least = min(range(len(widths)), key=lambda k: ((widths[k] + 1) / start[k], k))
        widths[least] += 1


def _exchanges(widths: Widths, start: Widths) -> list[Widths]:
    """Widths with one unit more or less in one place, or moved between two, none below the start."""
    units = [tuple(int(k == place) for k in range(len(widths))) for place in range(len(widths))]
    moves = [*units, *(tuple(-u for u in unit) for unit in units)]
    moves += [tuple(a - b for a, b in zip(one, other, strict=True)) for one, other in itertools.permutations(units, 2)]
    moved = (tuple(w + step for w, step in zip(widths, move, strict=True)) for move in moves)
    return [new for new in moved if all(w >= least for w, least in zip(new, start, strict=True))]


def _flat(options: Mapping[str, int | Sequence[int]]) -> Widths:
    return tuple(w for value in options.values() for w in ([value] if isinstance(value, int) else value))


def _as_options(like: Mapping[str, int | Sequence[int]], widths: Widths) -> dict[str, int | list[int]]:
    """The inverse of ``_flat``."""
    rest = iter(widths)
    return {
        name: next(rest) if isinstance(value, int) else list(itertools.islice(rest, len(value)))
        for name, value in like.items()
    }
