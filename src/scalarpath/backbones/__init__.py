"""Equivariant backbones and their registry."""

from scalarpath.backbones.registry import Backbone, backbone_class

__all__ = ["Backbone", "backbone_class"]
