"""Structures as graphs: what the models read."""

from scalarpath.graph.atomic_graph import AtomicGraph, collate
from scalarpath.graph.neighbours import NeighbourList, neighbour_list

__all__ = ["AtomicGraph", "NeighbourList", "collate", "neighbour_list"]
