"""Structures as graphs: what the models read."""

from typing import TYPE_CHECKING, Any

from scalarpath.graph.neighbours import NeighbourList, neighbour_list

if TYPE_CHECKING:
    from scalarpath.graph.atomic_graph import AtomicGraph, collate

__all__ = ["AtomicGraph", "NeighbourList", "collate", "neighbour_list"]


def __getattr__(name: str) -> Any:
    # they come with torch, which takes seconds: who looks at neighbours alone, as the audit of a file, does without
    if name in ("AtomicGraph", "collate"):
        from scalarpath.graph import atomic_graph

        return getattr(atomic_graph, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
