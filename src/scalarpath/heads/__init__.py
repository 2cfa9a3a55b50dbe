"""Scalar-pathway heads: the interface, the parts, and how a configuration composes them."""

from scalarpath.heads.build import PARTS, build_head
from scalarpath.heads.interface import PathwayPart, PathwaySpec, ScalarPathway

__all__ = ["PARTS", "PathwayPart", "PathwaySpec", "ScalarPathway", "build_head"]
