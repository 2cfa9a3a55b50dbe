"""Scalar-pathway heads: the interface, the parts, and how a configuration composes them."""

from scalarpath.heads.build import PARTS, build_head, check_head
from scalarpath.heads.interface import Descriptors, LocalDescriptors, PathwayPart, PathwayShape, ScalarPathway

__all__ = [
    "PARTS",
    "Descriptors",
    "LocalDescriptors",
    "PathwayPart",
    "PathwayShape",
    "ScalarPathway",
    "build_head",
    "check_head",
]
