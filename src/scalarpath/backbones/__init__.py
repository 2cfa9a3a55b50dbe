"""Equivariant backbones."""

from scalarpath.backbones.interface import Backbone, build_backbone, check_backbone

__all__ = ["Backbone", "build_backbone", "check_backbone"]
